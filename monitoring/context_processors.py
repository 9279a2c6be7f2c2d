"""What the shell shows of this app on every page: how many alerts fire."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest

from monitoring import selectors
from monitoring.models import Alert


def alerts(request: HttpRequest) -> dict[str, Any]:
    """Return the count for members; asked of the database once, where a template shows it."""
    if getattr(request, "membership", None) is None:
        return {}
    return {"alert_count": cache(selectors.list_alerts(Alert.State.FIRING).count)}
