"""allauth's own pages, where our rules are stricter than its."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from tenants.json_input import NotThisJSON, read_json
from tenants.middleware import refusal_response
from tenants.second_factors.policy import (
    OwnProofNeeded,
    confirm_by_oneself_first,
    entered_by,
    may_change_credentials,
)

# The field in which a browser posts what a passkey said: read by allauth without a bound.
PASSKEY_FIELD = "credential"
# The old password alone is no fresh proof for somebody who has a second factor.
CONFIRMED = frozenset({"account_change_password", "account_set_password"})
# For these allauth asks itself, but takes an identity provider's word.
FACTORS = frozenset(
    {
        *("mfa_activate_totp", "mfa_deactivate_totp"),
        *("mfa_view_recovery_codes", "mfa_generate_recovery_codes", "mfa_download_recovery_codes"),
        *("mfa_list_webauthn", "mfa_add_webauthn", "mfa_edit_webauthn", "mfa_remove_webauthn"),
    }
)


class AccountPagesMiddleware:
    """Ask for a fresh proof of one's own before the pages in ``CONFIRMED`` and ``FACTORS``; bound
    what a passkey says.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Send somebody whose proof is old to the page where it is renewed."""
        if PASSKEY_FIELD in request.POST:
            try:
                read_json(request.POST[PASSKEY_FIELD] or "null")
            except NotThisJSON as problem:
                return refusal_response(request, problem)
        name = request.resolver_match.url_name if request.resolver_match else None
        came_by_provider = bool(entered_by(request.session))
        is_guarded = name in CONFIRMED or (name in FACTORS and came_by_provider)
        if not is_guarded or not request.user.is_authenticated:
            return None
        if name == "account_set_password" and came_by_provider:
            refusal = OwnProofNeeded(
                "A first password is asked for by e-mail: “Forgot your password?” on the sign-in"
                " page."
            )
            return refusal_response(request, refusal)
        if may_change_credentials(request):
            return None
        return confirm_by_oneself_first(request)
