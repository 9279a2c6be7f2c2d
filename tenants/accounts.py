"""Signing in: allauth, closed to sign-ups and to people who do not belong to the tenant at hand."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from django.http import HttpRequest

from tenants import selectors
from tenants.models import User
from tenants.origin import client_ip


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

    def set_password(self, user: User, password: str) -> None:
        """Write the password and nothing else: the tenant's role may change no other column."""
        user.set_password(password)
        user.save(update_fields=["password"])
