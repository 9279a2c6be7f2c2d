"""How long rows are kept. Alerts, and the violated readings behind them, are never deleted here."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import QuerySet

from monitoring.models import Observation, PerformanceSample, QuantitySample, Verdict
from tenants.context import current_schema
from tenants.journal import Subject, note, process

SAMPLES_KEPT = timedelta(hours=24)
OBSERVATIONS_KEPT = timedelta(days=7)
# Few enough that a delete takes milliseconds and blocks nobody.
ROWS_MAX = 5000


@transaction.atomic
def delete_old_rows(*, now: datetime) -> int:
    """Delete samples older than a day and observations older than a week; return how many rows.

    At most 5000 of each kind at a call: called each minute it keeps up with 80 rows a second.
    """
    observations = Observation.objects.filter(observed_at__lt=now - OBSERVATIONS_KEPT)
    deleted = {
        rows.model._meta.model_name: _delete_some(rows)
        for rows in (
            QuantitySample.objects.filter(taken_at__lt=now - SAMPLES_KEPT),
            PerformanceSample.objects.filter(taken_at__lt=now - SAMPLES_KEPT),
            observations.exclude(verdict=Verdict.VIOLATED),
        )
    }
    count = sum(deleted.values())
    if count:
        note(
            who=process(),
            action="rows.purged",
            subject=Subject("tenant", current_schema()),
            at=now,
            after={str(name): rows for name, rows in deleted.items()},
            why="kept no longer than their retention",
        )
    return count


def _delete_some(rows: QuerySet) -> int:
    batch = rows.order_by("pk").values("pk")[:ROWS_MAX]
    return rows.model._default_manager.filter(pk__in=batch).delete()[0]
