"""Rows as the small JSON objects of the live contract."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from monitoring.models import Alert


def epoch_ms(moment: datetime | None) -> int | None:
    """Return milliseconds since 1970, or None."""
    return None if moment is None else round(moment.timestamp() * 1000)


def alert_key(alert: Alert) -> str:
    """Return the key of an alert."""
    return f"alert.{alert.pk}"


def alert_value(alert: Alert) -> dict[str, Any]:
    """Return what a page shows of an alert."""
    return {
        "id": str(alert.pk),
        "severity": alert.severity,
        "title": alert.title,
        "detail": alert.detail,
        "quantity": alert.quantity or None,
        "value": alert.value,
        "limit": alert.limit,
        "unit": alert.unit or None,
        "opened_t": epoch_ms(alert.opened_at),
        "state": alert.state.value,
        "acknowledged_by": alert.acknowledged_by.email if alert.acknowledged_by else None,
        "acknowledged_t": epoch_ms(alert.acknowledged_at),
        "run_url": alert.subject_url or None,
        "url": f"/alerts/{alert.pk}/",
    }
