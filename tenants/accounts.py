"""Signing in: allauth, closed to sign-ups and to people who do not belong to the tenant at hand."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.core import context
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse

from tenants import selectors
from tenants.middleware import NotAMember
from tenants.models import User
from tenants.origin import client_ip
from tenants.second_factors.policy import proved_recently

_METHODS = {
    "reauthenticate": "Use your password",
    "mfa_reauthenticate": "Use a code",
    "mfa_reauthenticate:webauthn": "Use your passkey",
}


class MemberBackend(AuthenticationBackend):
    """Accept a password only from a member of the tenant whose host is asked.

    Row-level security hides other tenants' people already; this holds without it, too.
    """

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return the member, or nobody: the answer for a stranger is that of a wrong password."""
        user = super().authenticate(request, **credentials)
        tenant = getattr(request, "tenant", None)
        if user is None or tenant is None or selectors.find_membership(user, tenant) is None:
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
        if response is None and selectors.find_membership(user, request.tenant) is None:  # type: ignore[attr-defined]
            raise NotAMember("You are not a member of this tenant.")
        return response

    def get_reauthentication_methods(self, user: User | AnonymousUser) -> list[dict[str, str]]:
        """Offer the factors alone to whoever has one: a password is no fresh proof of them."""
        methods = [
            {**method, "description": _METHODS[method["id"]]}
            for method in super().get_reauthentication_methods(user)
        ]
        return [each for each in methods if each["id"] != "reauthenticate"] or methods

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Ask again unless the person proved who they are a moment ago; a sign-in counts."""
        return not proved_recently(context.request)

    def set_password(self, user: User, password: str) -> None:
        """Write the password and nothing else: the tenant's role may change no other column."""
        user.set_password(password)
        user.save(update_fields=["password"])
