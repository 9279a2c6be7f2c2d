"""The forms of second factors, as allauth's views use them."""

from __future__ import annotations

from typing import Any

from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.internal.flows.add import validate_can_add_authenticator
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from django import forms

from tenants.second_factors.codes import find_step, new_secret, spend_code
from tenants.second_factors.sealing import open_secret, seal_secret


def _code_field(label: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=40,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "one-time-code",
                "inputmode": "numeric",
                "autocapitalize": "off",
                "spellcheck": "false",
                "autofocus": True,
            }
        ),
    )


class _Code(forms.Form):
    code = _code_field("One-time code or recovery code")
    user: Any

    def clean_code(self) -> str:
        """Take a code of the app or a recovery code, each once."""
        forget_failure = check_rate_limit(self.user)
        code = str(self.cleaned_data["code"])
        factors = list(
            Authenticator.objects.filter(user=self.user).exclude(type=Authenticator.Type.WEBAUTHN)
        )
        for factor in factors:
            is_totp = factor.type == Authenticator.Type.TOTP
            if spend_code(factor, code) if is_totp else factor.wrap().validate_code(code):
                factor.user = self.user
                self.authenticator = factor
                forget_failure()
                return code
        if factors:
            self._emit_authentication_failed(factors[0])  # type: ignore[attr-defined]
        raise get_adapter().validation_error("incorrect_code")


class Authenticate(_Code, AuthenticateForm):
    """The second step of a sign-in."""


class Reauthenticate(_Code, ReauthenticateForm):
    """Showing once more that it is you."""


class ActivateTOTP(forms.Form):
    """Enrolment of an authenticator app; the secret waits sealed in the session until then."""

    code = _code_field("The code that the app shows")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.user = kwargs.pop("user")
        super().__init__(*args, **kwargs)
        session = context.request.session
        kept = session.get(SECRET_SESSION_KEY) if self.is_bound else None
        self.secret = open_secret(kept) if kept else new_secret()
        if not kept:
            session[SECRET_SESSION_KEY] = seal_secret(self.user.pk, self.secret)

    def clean_code(self) -> str:
        """Compare with the secret that was shown."""
        validate_can_add_authenticator(self.user)
        forget_failure = check_rate_limit(self.user, error_key="rate_limited")
        step = find_step(self.secret, self.cleaned_data["code"])
        if step is None:
            raise get_adapter().validation_error("incorrect_code")
        forget_failure()
        # Marked as used once the factor has its row (services.on_added).
        context.request.enrolled_step = step
        return str(self.cleaned_data["code"])
