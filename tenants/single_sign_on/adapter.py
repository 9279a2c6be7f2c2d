"""What allauth asks us about sign-ins by somebody else's word."""

from __future__ import annotations

from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base.constants import AuthError
from django.contrib import messages
from django.http import HttpRequest
from django.shortcuts import redirect

from tenants.single_sign_on.admission import AnswerRefused
from tenants.single_sign_on.fetching import GuardedSession
from tenants.single_sign_on.login import MemberLogin, finish, refuse


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Every answer ends in ``login.finish``; nothing of allauth's own tables is asked."""

    def pre_social_login(self, request: HttpRequest, sociallogin: MemberLogin) -> None:
        """Take over from allauth."""
        raise ImmediateHttpResponse(finish(request, sociallogin))

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Tell of an answer that was not accepted."""
        if error == AuthError.CANCELLED:
            messages.info(request, f"You left {provider.row.name} without signing in.")
            raise ImmediateHttpResponse(redirect("account_login"))
        what = type(exception).__name__ if exception else str(error)
        state = (extra_context or {}).get("state")
        sentence = f"The sign-in at {provider.row.name} did not come to an end: {what}."
        refusal = AnswerRefused(sentence)
        raise ImmediateHttpResponse(refuse(request, provider.row, refusal, state=state))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Say that nobody can sign up on their own."""
        return False

    def get_requests_session(self) -> GuardedSession:
        """Ask only where the open internet is."""
        return GuardedSession()
