"""One row a second for the strips."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from monitoring.models import PerformanceSample, QuantitySample
from monitoring.quantities import Sum

# A collector that was restarted within the second, or whose clock was set back, adds nothing.
_COUNT_SECOND = (
    "INSERT INTO monitoring_servicehour AS kept (hour, first_at, last_at, seconds)"
    " VALUES (%(hour)s, %(at)s, %(at)s, %(seconds)s) ON CONFLICT (hour) DO UPDATE"
    " SET last_at = EXCLUDED.last_at, seconds = LEAST(3600, kept.seconds + EXCLUDED.seconds)"
    " WHERE kept.last_at < EXCLUDED.last_at"
)


@transaction.atomic
def record_samples(
    *,
    sums: Sequence[Sum],
    performance: dict[str, Any],
    taken_at: datetime,
    lateness_ms: float,
    in_service: bool,
) -> None:
    """Keep this second's sums (of what is open) and performance, and count it if the platform is in
    service; a second time does nothing.
    """
    QuantitySample.objects.bulk_create(
        [
            QuantitySample(
                taken_at=taken_at,
                quantity=each.quantity,
                unit=each.unit,
                value=each.value,
                balance=each.balance,
                limit=each.limit,
                verdict=each.verdict,
                accounts=each.accounts,
            )
            for each in sums
            if each.accounts
        ],
        # A collector that was restarted within the second.
        ignore_conflicts=True,
    )
    PerformanceSample.objects.bulk_create(
        [PerformanceSample(taken_at=taken_at, lateness_ms=lateness_ms, **performance)],
        ignore_conflicts=True,
    )
    with connection.cursor() as cursor:
        hour = taken_at.replace(minute=0, second=0, microsecond=0)
        cursor.execute(_COUNT_SECOND, {"hour": hour, "at": taken_at, "seconds": int(in_service)})
