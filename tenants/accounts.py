"""Signing in: allauth, closed to sign-ups and to people who do not belong to the tenant at hand."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.core import context
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from tenants import selectors
from tenants.errors import Forbidden
from tenants.middleware import NotAMember
from tenants.models import User
from tenants.origin import client_ip
from tenants.second_factors.policy import entered_by, may_change_credentials, records_of
from tenants.single_sign_on import services as single_sign_on

_METHODS = {
    "reauthenticate": "Use your password",
    "mfa_reauthenticate": "Use a code",
    "mfa_reauthenticate:webauthn": "Use your passkey",
}


class SingleSignOnNeeded(Forbidden):
    """The tenant lets this member in by its identity provider alone."""

    code = "single_sign_on_needed"


class MemberBackend(AuthenticationBackend):
    """Accept a password only from a member of the tenant whose host is asked.

    Row-level security hides other tenants' people already; this holds without it, too.
    """

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return the member, or nobody: the answer for a stranger is that of a wrong password."""
        user = super().authenticate(request, **credentials)
        tenant = getattr(request, "tenant", None)
        if user is None or tenant is None:
            return None
        membership = selectors.find_membership(user, tenant)
        if membership is None or not single_sign_on.may_use_password(membership, tenant):
            return None
        return user


class AccountAdapter(DefaultAccountAdapter):
    """People join by invitation."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say that nobody can sign up on their own."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that rate limits count."""
        return client_ip(request)

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Leave wrong passwords to axes: a limit by name alone lets a stranger lock anybody out."""

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Refuse whoever is no member here, however they proved who they are."""
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        if response is not None:
            return response
        tenant = request.tenant  # type: ignore[attr-defined]
        membership = selectors.find_membership(user, tenant)
        if membership is None:
            raise NotAMember("You are not a member of this tenant.")
        by_provider = entered_by(request.session) and records_of(request.session, user.pk)
        # Asked here, too: a passkey passes the backend by.
        if not by_provider and not single_sign_on.may_use_password(membership, tenant):
            raise SingleSignOnNeeded("This tenant asks its members for single sign-on.")
        return None

    def get_login_stages(self) -> list[str]:
        """Put our second factor in the place of allauth's."""
        ours = "tenants.second_factors.stages.FactorStage"
        theirs = "allauth.mfa.stages.AuthenticateStage"
        return [ours if each == theirs else each for each in super().get_login_stages()]

    def get_reauthentication_methods(self, user: User | AnonymousUser) -> list[dict[str, str]]:
        """Offer what is the person's own and, where they came by one, their provider."""
        own = self.get_own_methods(user)
        provider = single_sign_on.find_enabled(entered_by(context.request.session))
        if provider is None:
            return own
        ask = {
            "id": "single_sign_on",
            "description": f"Continue with {provider.name}",
            "url": reverse("single_sign_on_confirm"),
        }
        if any(each["id"] != "reauthenticate" for each in own):
            return [*own, ask] if provider.factor_counts else own
        return [ask, *own]

    def get_own_methods(self, user: User | AnonymousUser) -> list[dict[str, str]]:
        """Return the factors alone for whoever has one: a password is no fresh proof of them."""
        methods = [
            {**method, "description": _METHODS[method["id"]]}
            for method in super().get_reauthentication_methods(user)
        ]
        return [each for each in methods if each["id"] != "reauthenticate"] or methods

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Ask again unless the person proved who they are a moment ago; a sign-in counts."""
        return not may_change_credentials(context.request)

    def set_password(self, user: User, password: str) -> None:
        """Write the password and nothing else: the tenant's role may change no other column."""
        user.set_password(password)
        user.save(update_fields=["password"])
