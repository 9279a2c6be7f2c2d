"""Times when a part that all nodes need was away."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from monitoring.models import Alert
from monitoring.services.alerts import clear_alert, open_alert

REDIS_KEY = "redis-away"
DATABASE_KEY = "database-away"


@transaction.atomic
def record_redis(*, is_up: bool, now: datetime) -> None:
    """Open the alert about Redis while it is away, and clear it when it is back."""
    firing = Alert.objects.filter(dedupe_key=REDIS_KEY, resolved_at=None).exists()
    if is_up and firing:
        clear_alert(dedupe_key=REDIS_KEY, resolved_at=now, note="Redis answers again.")
    if not is_up and not firing:
        _open(REDIS_KEY, "Redis does not answer", "Pages are not live and tasks wait.", now)


@transaction.atomic
def record_database_outage(*, since: datetime, now: datetime) -> None:
    """Keep an outage of the database that is over: while it lasted nothing could be written."""
    seconds = (now - since).total_seconds()
    detail = f"Nothing was recorded for {seconds:.0f} s."
    _open(DATABASE_KEY, "The database did not answer", detail, since)
    clear_alert(dedupe_key=DATABASE_KEY, resolved_at=now, note="The database answers again.")


def _open(key: str, title: str, detail: str, opened_at: datetime) -> None:
    open_alert(
        severity="warning",
        title=title,
        detail=detail,
        quantity="",
        value=None,
        limit=None,
        unit="",
        dedupe_key=key,
        opened_at=opened_at,
    )
