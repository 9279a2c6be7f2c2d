"""Reads for the pages: the dashboard as of now, alerts by state, and the history behind the
strips.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Aggregate, Count, F, FloatField, Min, QuerySet, Sum
from django.db.models.functions import Extract
from redis.exceptions import RedisError

from monitoring import live, nodes, wording
from monitoring.live_values import alert_key, alert_value, epoch_ms
from monitoring.models import (
    Account,
    Alert,
    Node,
    Observation,
    PerformanceSample,
    QuantitySample,
    ServiceHour,
)
from monitoring.quantities import list_sums, sum_values
from monitoring.readings import CARDS
from monitoring.services.alerts import AlertUnknown
from tenants.context import current_schema

logger = logging.getLogger(__name__)

# What the strips may ask for, beside the quantities.
PERFORMANCE_SERIES = (
    "latency_ms_p50",
    "latency_ms_p95",
    "latency_ms_p99",
    "screen_ms_p50",
    "screen_ms_p95",
    "load_1m",
    "cpu_percent",
    "memory_percent",
    "queue",
    "events_per_s",
    "clients",
    "lateness_ms",
)
ACTIVE_ALERTS_MAX = 50
EVIDENCE_AROUND = timedelta(seconds=30)
EVIDENCE_ROWS_MAX = 40


@dataclass(frozen=True)
class Dashboard:
    """Everything the dashboard shows when it is loaded."""

    answer: wording.Answer
    quantities: dict[str, dict[str, Any]]
    nodes: dict[str, dict[str, Any]]
    alerts: dict[str, dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    performance: dict[str, Any]
    is_redis_up: bool
    open_accounts: list[Account] = field(default_factory=list)

    @property
    def accounts(self) -> int:
        """How many accounts are open."""
        return len(self.open_accounts)


def get_dashboard(now: datetime) -> Dashboard:
    """Return the dashboard: rows from the database, and what only lives in Redis if it answers."""
    try:
        state = live.read_state(current_schema())[1]
        beats = nodes.read_beats()
        is_redis_up = True
    except RedisError as error:
        logger.warning("dashboard without Redis: %s", error)
        state, beats, is_redis_up = {}, {}, False
    rows = [_judged(row, beats.get(row.name), now) for row in Node.objects.all()]
    alerts = list_alerts(Alert.State.FIRING, Alert.State.ACKNOWLEDGED)[:ACTIVE_ALERTS_MAX]
    sums = list_sums(now)
    newest = PerformanceSample.objects.filter(taken_at__gte=now - timedelta(seconds=5))
    return Dashboard(
        answer=wording.answer(sums=sums, nodes=rows, alerts=alerts, is_redis_up=is_redis_up),
        quantities={
            key.removeprefix("quantity."): value for key, value in sum_values(sums, now).items()
        },
        nodes={
            f"node.{row.pk}": nodes.node_value(row, beats.get(row.name))
            for row in rows
            if row.state != Node.State.LEFT
        },
        alerts={alert_key(alert): alert_value(alert) for alert in alerts},
        runs={key: value for key, value in state.items() if key.startswith("run.")},
        performance=newest.order_by("-taken_at").values(*PERFORMANCE_SERIES).first() or {},
        is_redis_up=is_redis_up,
        open_accounts=list(Account.objects.filter(closed_at=None)),
    )


def _judged(row: Node, beat: nodes.Beat | None, now: datetime) -> Node:
    """Judge a node now: its row is written every ten seconds, and not at all without a
    collector.
    """
    row.last_seen_at = nodes.last_seen(beat, row.last_seen_at, now)
    row.state = nodes.judge(beat, row.last_seen_at, now)
    return row


def list_alerts(*states: Alert.State) -> QuerySet[Alert]:
    """Return alerts in these states, the newest first."""
    alerts = Alert.objects.select_related("acknowledged_by", "resolved_by", "account")
    if set(states) == {Alert.State.RESOLVED}:
        return alerts.filter(resolved_at__isnull=False).order_by("-resolved_at")
    alerts = alerts.filter(resolved_at=None)
    if Alert.State.ACKNOWLEDGED not in states:
        alerts = alerts.filter(acknowledged_at=None)
    if Alert.State.FIRING not in states:
        alerts = alerts.filter(acknowledged_at__isnull=False)
    return alerts


def count_alerts() -> dict[str, int]:
    """Return the number of alerts in each state."""
    return {str(state): list_alerts(state).count() for state in Alert.State}


class _Quantile(Aggregate):
    """What a share of the values lie below, between the neighbours where needed."""

    template = "percentile_cont(%(share)s) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


@dataclass(frozen=True)
class AlertTimes:
    """Critical alerts, and how long people took to acknowledge them; ``slow_s``: nine in ten."""

    opened: int
    acknowledged: int
    median_s: float | None
    slow_s: float | None
    first_opened_at: datetime | None


def get_alert_times(until: datetime) -> AlertTimes:
    """Return how critical alerts opened by then were answered. One query."""
    alerts = Alert.objects.filter(severity=Alert.Severity.CRITICAL, opened_at__lte=until)
    taken_s = Extract(F("acknowledged_at") - F("opened_at"), "epoch")
    return AlertTimes(
        **alerts.order_by()
        .annotate(taken_s=taken_s)
        .aggregate(
            opened=Count("pk"),
            acknowledged=Count("acknowledged_at"),
            median_s=_Quantile("taken_s", share=0.5),
            slow_s=_Quantile("taken_s", share=0.9),
            first_opened_at=Min("opened_at"),
        )
    )


def get_screen_times(until: datetime) -> float | None:
    """Return the median of the seconds' 95th percentiles from event to screen, in milliseconds;
    None where no open page reported one.
    """
    samples = PerformanceSample.objects.filter(taken_at__lte=until, screen_ms_p95__isnull=False)
    found = samples.order_by().aggregate(median=_Quantile("screen_ms_p95", share=0.5))["median"]
    return None if found is None else float(found)


def get_alert(alert_id: UUID) -> Alert:
    """Return an alert; raise ``AlertUnknown``."""
    alerts = Alert.objects.select_related("acknowledged_by", "resolved_by", "account")
    alert = alerts.filter(pk=alert_id).first()
    if alert is None:
        raise AlertUnknown(f"There is no alert {alert_id}.")
    return alert


def list_evidence(alert: Alert) -> list[Observation]:
    """Return the readings of the alert's account and quantity around its onset, the newest
    first.
    """
    if alert.account_id is None:
        return []
    rows = Observation.objects.filter(
        account_id=alert.account_id,
        quantity=alert.quantity,
        observed_at__gte=alert.opened_at - EVIDENCE_AROUND,
        observed_at__lte=alert.opened_at + EVIDENCE_AROUND,
    )
    return list(rows.select_related("node").order_by("-observed_at", "-pk")[:EVIDENCE_ROWS_MAX])


def get_quantity_history(quantity: str, now: datetime, window_s: int) -> dict[str, list[Any]]:
    """Return the balance of a quantity and its limit, a value a second; None where it is
    unknown.
    """
    assert quantity in CARDS, quantity
    samples = QuantitySample.objects.filter(
        quantity=quantity, taken_at__gte=now - timedelta(seconds=window_s), taken_at__lte=now
    ).order_by("taken_at")
    rows = list(samples.values_list("taken_at", "balance", "limit"))
    return {
        "t": [epoch_ms(taken_at) for taken_at, _, _ in rows],
        "value": [balance for _, balance, _ in rows],
        "limit": [limit for _, _, limit in rows],
    }


def get_performance_history(series: str, now: datetime, window_s: int) -> dict[str, list[Any]]:
    """Return one series of performance, a value a second; None where nothing was measured."""
    assert series in PERFORMANCE_SERIES, series
    samples = PerformanceSample.objects.filter(
        taken_at__gte=now - timedelta(seconds=window_s), taken_at__lte=now
    ).order_by("taken_at")
    rows = list(samples.values_list("taken_at", series))
    return {
        "t": [epoch_ms(taken_at) for taken_at, _ in rows],
        "value": [value for _, value in rows],
    }


@dataclass(frozen=True)
class TimeInService:
    """Seconds in service, of all since a time: what was asked for, or when counting began."""

    since: datetime
    seconds: int
    of: int


def find_time_in_service(*, since: datetime, now: datetime) -> TimeInService | None:
    """Return how long the platform was in service since a full hour; None where nothing was counted
    yet.

    A second that nobody counted, because the collector or the database was away, was none.
    """
    begun_at = ServiceHour.objects.aggregate(at=Min("first_at"))["at"]
    if begun_at is None or begun_at > now:
        return None
    since = max(since, begun_at)
    hours = ServiceHour.objects.filter(last_at__gte=since, hour__lte=now)
    seconds = hours.aggregate(total=Sum("seconds"))["total"] or 0
    of = int((now - since).total_seconds()) + 1
    return TimeInService(since, min(seconds, of), of)
