"""Idle log-off: a session that nobody used for a while ends."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

from tenants.middleware import NotSignedIn, wants_json
from tenants.sessions.services import is_idle, note_activity


class SignedOutIdle(NotSignedIn):
    """The session was idle for too long."""

    code = "signed_out_idle"


class IdleMiddleware:
    """Sign an idle member out; note the activity of others.

    A live page asks again and again by itself, so only what a person does counts: opening a page
    or sending a form. Comes after MemberMiddleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on, after the session has been looked at."""
        if request.user.is_authenticated:
            if is_idle(request.session, request.membership):  # type: ignore[attr-defined]
                _sign_out(request)
            elif is_persons_act(request):
                note_activity(request)
        return self.get_response(request)


def _sign_out(request: HttpRequest) -> None:
    request.ends_idle = True  # type: ignore[attr-defined]
    logout(request)
    request.membership = None  # type: ignore[attr-defined]
    minutes = f"{settings.AII_IDLE_MINUTES:g}"
    sentence = f"You were signed out after {minutes} minutes without activity."
    # MemberMiddleware tells a program; a person reads it on the sign-in page.
    request.signed_out = SignedOutIdle(sentence)  # type: ignore[attr-defined]
    messages.info(request, sentence)


def is_persons_act(request: HttpRequest) -> bool:
    """Tell whether a person did this, not a page by itself."""
    if request.method not in ("GET", "HEAD"):
        return True
    # Browsers say whether a page is being opened or a script fetches something.
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return mode == "navigate"
    return "HX-Request" not in request.headers and not wants_json(request)
