"""allauth's own pages, where our rules are stricter than its."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from tenants.json_input import NotThisJSON, read_json
from tenants.middleware import refusal_response
from tenants.second_factors.policy import confirm_first, proved_recently

# The field in which a browser posts what a passkey said: read by allauth without a bound.
PASSKEY_FIELD = "credential"
# The old password alone is no fresh proof for somebody who has a second factor.
CONFIRMED = frozenset({"account_change_password", "account_set_password"})


class AccountPagesMiddleware:
    """Ask for a fresh proof before the pages in ``CONFIRMED``; bound what a passkey says."""

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
        if PASSKEY_FIELD in request.POST:
            try:
                read_json(request.POST[PASSKEY_FIELD] or "null")
            except NotThisJSON as refusal:
                return refusal_response(request, refusal)
        if match is None or match.url_name not in CONFIRMED or not request.user.is_authenticated:
            return None
        return None if proved_recently(request) else confirm_first(request)
