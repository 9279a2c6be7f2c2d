"""Exit criteria measured from the platform's own records. What is not recorded is not measured.

Everything is counted from the first day of the phase, in UTC; what was saved, from month 1 on.
Where there is nothing to count a share of, or nothing records it at all, the value is None and a
sentence says why: never a number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import F

from audit.selectors import count_verifications
from business.roadmap.models import Criterion, Measure
from business.scenarios.selectors import find_realised
from business.scenarios.wording import describe_realised
from monitoring.models import Account, Alert
from monitoring.selectors import find_time_in_service
from simulation.models import Run
from tenants.models import Membership, Tenant

IN_TIME = timedelta(minutes=15)
AT_MOST = frozenset({Measure.BROKEN_RUNS})
SHARES = frozenset(
    {
        *(Measure.DRILLS_CAUGHT, Measure.ACKNOWLEDGED, Measure.CONTROLS),
        *(Measure.UPTIME, Measure.ROI_REALISED),
    }
)


@dataclass(frozen=True)
class Found:
    """What was measured: a count or per cent, from what; or why nothing was."""

    value: float | None
    sentence: str


@dataclass(frozen=True)
class Judged:
    """A criterion and what became of it: MET, NOT_MET or NOT_MEASURED."""

    criterion: Criterion
    found: Found

    @property
    def status(self) -> str:
        """Whether the target is reached; unknown is never met."""
        value, target = self.found.value, self.criterion.target
        if value is None:
            return "NOT_MEASURED"
        is_met = value <= target if self.criterion.measure in AT_MOST else value >= target
        return "MET" if is_met else "NOT_MET"


def judge(criterion: Criterion, tenant: Tenant, now: datetime) -> Judged:
    """Measure a criterion of a phase that has begun. One query or two."""
    starts_on = criterion.phase.starts_on
    if now.date() < starts_on:
        return Judged(criterion, Found(None, f"The phase begins on {starts_on:%-d %b %Y}."))
    measure = _MEASURES[Measure(criterion.measure)]
    return Judged(criterion, measure(tenant, _midnight(starts_on), now))


def describe_target(measure: str, target: int) -> str:
    """Return a target as a person reads it, as in ``at least 95 %``."""
    bound = "at most" if measure in AT_MOST else "at least"
    return f"{bound} {target:,}{' %' if measure in SHARES else ''}"


def describe_value(measure: str, value: float | None) -> str:
    """Return what was measured, or that it was not."""
    if value is None:
        return "not measured"
    return f"{value:.1f} %" if measure in SHARES else f"{value:,.0f}"


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def _verified_runs(tenant: Tenant, since: datetime, now: datetime) -> Found:
    runs = Run.objects.filter(state=Run.State.DONE, fault__isnull=True, finished_at__gte=since)
    return Found(runs.count(), "Runs that ended since the phase began, every step verified.")


def _broken_runs(tenant: Tenant, since: datetime, now: datetime) -> Found:
    ended = Run.objects.filter(
        state__in=(Run.State.DONE, Run.State.VIOLATED), fault__isnull=True, finished_at__gte=since
    )
    if not ended.exists():
        return Found(None, "No run has ended since the phase began.")
    return Found(
        ended.filter(state=Run.State.VIOLATED).count(), f"Of {ended.count():,} runs that ended."
    )


def _drills_caught(tenant: Tenant, since: datetime, now: datetime) -> Found:
    drills = Run.objects.filter(
        state__in=(Run.State.DONE, Run.State.VIOLATED), fault__isnull=False, finished_at__gte=since
    )
    caught = drills.filter(state=Run.State.VIOLATED).count()
    return _share(caught, drills.count(), "fault drills", "No fault drill has ended since then.")


def _acknowledged(tenant: Tenant, since: datetime, now: datetime) -> Found:
    alerts = Alert.objects.filter(severity=Alert.Severity.CRITICAL, opened_at__gte=since)
    in_time = alerts.filter(acknowledged_at__lte=F("opened_at") + IN_TIME).count()
    return _share(in_time, alerts.count(), "critical alerts", "There was no critical alert.")


def _controls(tenant: Tenant, since: datetime, now: datetime) -> Found:
    found = count_verifications(since=since)
    what = "full verifications of the audit log, the one control whose results are kept"
    never = "No full verification of the audit log has run since then; no other control is kept."
    return _share(found.good, found.good + found.failed, what, never)


def _people(tenant: Tenant, since: datetime, now: datetime) -> Found:
    return Found(Membership.objects.filter(tenant=tenant).count(), "People with a role, today.")


def _outside_systems(tenant: Tenant, since: datetime, now: datetime) -> Found:
    accounts = Account.objects.exclude(kind="run").filter(opened_at__gte=since)
    count = accounts.values("kind", "reference").distinct().count()
    return Found(count, "Accounts other than runs, opened since the phase began.")


def _uptime(tenant: Tenant, since: datetime, now: datetime) -> Found:
    found = find_time_in_service(since=since, now=now)
    if found is None:
        return Found(None, "No second was counted yet.")
    sentence = (
        f"{found.seconds:,} of {found.of:,} seconds, in which the database, Redis, a web server "
        "and a worker answered"
    )
    if found.since > since:
        sentence += f"; counted since {found.since:%-d %b %Y, %H:%M} UTC"
    return Found(100.0 * found.seconds / found.of, f"{sentence}.")


def _roi_realised(tenant: Tenant, since: datetime, now: datetime) -> Found:
    # All months that have an entry: a benefit of an earlier phase is one, too.
    found = find_realised()
    if not found:
        return Found(None, "Nobody has recorded what was saved.")
    if len(found) > 1:
        return Found(None, "Savings are recorded in several currencies, which do not add up.")
    share, sentence = found[0].share, f"As members recorded: {describe_realised(found)}."
    if share is None:
        return Found(None, "The forecast for the recorded months is no saving.")
    return Found(100 * float(share), sentence)


def _share(count: int, of: int, what: str, nothing: str) -> Found:
    if not of:
        return Found(None, nothing)
    return Found(100.0 * count / of, f"{count:,} of {of:,} {what}.")


_MEASURES: dict[Measure, Callable[[Tenant, datetime, datetime], Found]] = {
    Measure.VERIFIED_RUNS: _verified_runs,
    Measure.BROKEN_RUNS: _broken_runs,
    Measure.DRILLS_CAUGHT: _drills_caught,
    Measure.ACKNOWLEDGED: _acknowledged,
    Measure.CONTROLS: _controls,
    Measure.PEOPLE: _people,
    Measure.OUTSIDE_SYSTEMS: _outside_systems,
    Measure.UPTIME: _uptime,
    Measure.ROI_REALISED: _roi_realised,
}
