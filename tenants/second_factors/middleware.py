"""allauth's own pages, where our rules are stricter than its."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from tenants.second_factors.policy import confirm_first, proved_recently

# The old password alone is no fresh proof for somebody who has a second factor.
CONFIRMED = frozenset({"account_change_password", "account_set_password"})


class AccountPagesMiddleware:
    """Ask for a fresh proof before the pages in ``CONFIRMED``."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass on."""
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Send somebody whose proof is old to the page where it is renewed."""
        match = request.resolver_match
        if match is None or match.url_name not in CONFIRMED or not request.user.is_authenticated:
            return None
        return None if proved_recently(request) else confirm_first(request)
