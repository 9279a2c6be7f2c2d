"""One row a second for the strips."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from monitoring.models import PerformanceSample, QuantitySample
from monitoring.quantities import Sum


@transaction.atomic
def record_samples(
    *, sums: Sequence[Sum], performance: dict[str, Any], taken_at: datetime, lateness_ms: float
) -> None:
    """Keep this second's sums (of what is open) and performance; a second time does nothing."""
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
