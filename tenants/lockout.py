"""Too many wrong passwords for one name from one address: a pause, and how to end it early."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.db.models import Max, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import http_date

from tenants.errors import DomainError
from tenants.middleware import refusal_response


class LockedOut(DomainError):
    """This name may not sign in from this address for a while."""

    code = "locked_out"
    status = 429


def name_of(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """Return the name that somebody tries to sign in with, as it is counted."""
    given = (credentials or {}).get("email") or request.POST.get("login") or ""
    return str(given).strip().lower().replace("\0", "")[:255]


def locked_out_response(
    request: HttpRequest, response: HttpResponse, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """Say until when; the same for a name that exists and one that does not."""
    latest = _recent().filter(
        username=name_of(request, credentials),
        ip_address=request.axes_ip_address,  # type: ignore[attr-defined]
    )
    at = latest.aggregate(at=Max("attempt_time"))["at"] or timezone.now()
    until = at + settings.AXES_COOLOFF_TIME
    answer = refusal_response(
        request,
        LockedOut(
            "Too many wrong passwords for this name from this address."
            f" Signing in is possible again at {until:%H:%M:%S} UTC on {until:%d %B %Y}."
        ),
    )
    answer["Retry-After"] = http_date(until.timestamp())
    return answer


def list_locked(email: str) -> list[tuple[str, datetime]]:
    """Return the addresses from which a name is locked out here now, and until when."""
    rows = (
        _recent()
        .filter(username=email.lower())
        .values("ip_address")
        .annotate(failures=Sum("failures_since_start"), at=Max("attempt_time"))
        .filter(failures__gte=settings.AXES_FAILURE_LIMIT)
        .order_by("ip_address")
    )
    return [(str(row["ip_address"]), row["at"] + settings.AXES_COOLOFF_TIME) for row in rows]


def unlock(email: str) -> int:
    """Forget the wrong passwords of a name in the current tenant; return how many rows went."""
    return AccessAttempt.objects.filter(username=email.lower()).delete()[0]


def _recent() -> Any:
    return AccessAttempt.objects.filter(
        attempt_time__gte=timezone.now() - settings.AXES_COOLOFF_TIME
    )
