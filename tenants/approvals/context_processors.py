"""What the shell shows on every page: how many requests wait for this person."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from tenants.approvals import selectors
from tenants.permissions import has_permission


def approvals(request: HttpRequest) -> dict[str, Any]:
    """Return the count for people who decide; asked of the database once, where it is shown."""
    membership = getattr(request, "membership", None)
    if membership is None or not has_permission(membership, "approvals.decide"):
        return {}
    return {"waiting_count": cache(selectors.list_waiting_for(membership, timezone.now()).count)}
