"""What the platform recorded for the tenant, as figures of a case. What nothing records is not
measured, and a sentence says so.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from audit.selectors import count_verifications
from business.cases.inputs import Figure, Measured, Month, Record
from business.scenarios.selectors import Realised, find_realised
from business.scenarios.wording import describe_realised
from monitoring.selectors import AlertTimes, get_alert_times, get_screen_times
from simulation.figures import count, percent, sci, seconds
from simulation.selectors import Outcomes, count_outcomes

_BEFORE_TAX = "Benefits less running costs, before tax; each entry names its source"
_NO_CONTROLS = "the platform keeps no results of other control tests yet"


def measure(now: datetime, scenario_id: UUID) -> Measured:
    """Return the figures of the current tenant, from its first record on, and what was saved of a
    scenario's forecast. Seven queries.
    """
    outcomes, alerts = count_outcomes(now), get_alert_times(now)
    figures = (*_runs(outcomes), *_alerts(alerts), _screen(now), *_log(now))
    return Measured(
        figures,
        _realised(find_realised(scenario_id)),
        (
            Record("runs", "Runs of this tenant", _since(outcomes.first_ended_at)),
            Record("alerts", "Critical alerts of this tenant", _since(alerts.first_opened_at)),
            Record("screen", "Times from event to screen, reported by open pages", _kept()),
            Record(
                "log",
                "Audit log of this tenant",
                "What its full verifications recorded",
            ),
            Record("controls", "Results of control tests", "None are kept"),
            Record("benefits", "Savings that members recorded for this scenario", _BEFORE_TAX),
        ),
        tuple(Month(*each) for each in outcomes.months),
    )


def _runs(found: Outcomes) -> list[Figure]:
    ended = found.kept + found.broken
    nothing = "" if ended else "no run has ended yet"
    no_drill = "" if found.drills else "no fault drill has ended yet"
    share = percent(found.drills_caught / found.drills) if found.drills else ""
    caught = f"{count(found.drills_caught)} of {count(found.drills)} ({share})"
    return [
        Figure("runs_kept", "Runs that kept every law", count(found.kept), "runs", nothing),
        Figure(
            "steps",
            "Steps verified in them",
            f"{found.steps_kept:,}".replace(",", "\u202f"),
            "runs",
            nothing,
        ),
        Figure("runs_broken", "Runs that broke a law", count(found.broken), "runs", nothing),
        Figure("drills_caught", "Fault drills that were caught", caught, "runs", no_drill),
    ]


def _alerts(found: AlertTimes) -> list[Figure]:
    none = "there was no critical alert"
    quiet = none if not found.opened else "" if found.acknowledged else "none was acknowledged"
    return [
        Figure("alerts", "Critical alerts", count(found.opened), "alerts"),
        Figure(
            "alerts_median", "Time to acknowledge, median", seconds(found.median_s), "alerts", quiet
        ),
        Figure(
            "alerts_slow",
            "Time to acknowledge, nine in ten within",
            seconds(found.slow_s),
            "alerts",
            quiet,
        ),
    ]


def _screen(now: datetime) -> Figure:
    found_ms = get_screen_times(now)
    # Two digits: what moves below that is the sample, not the platform.
    text = "" if found_ms is None else f"{sci(float(f'{found_ms:.2g}'))} ms"
    why = "no open page has reported one" if found_ms is None else ""
    label = "From event to screen, median of the slowest in twenty of each second"
    return Figure("screen", label, text, "screen", why)


def _log(now: datetime) -> list[Figure]:
    found = count_verifications(until=now)
    ran = found.good + found.failed
    never = "" if ran else "no full verification has run yet"
    last = f", the last on {found.last_at:%-d %b %Y}" if found.last_at else ""
    return [
        Figure(
            "verifications",
            "Control: full verifications of the log that found it whole",
            f"{count(found.good)} of {count(ran)}{last}",
            "log",
            never,
        ),
        Figure("controls", "Other controls that were tested", "", "controls", _NO_CONTROLS),
    ]


def _realised(found: list[Realised]) -> Figure:
    why = "" if found else "nobody has recorded what was saved"
    text = describe_realised(found) if found else ""
    return Figure("realised", "Realised savings", text, "benefits", why)


def _since(first: datetime | None) -> str:
    return f"From {first:%Y-%m-%d} on" if first else "No record yet"


def _kept() -> str:
    return "As long as samples are kept"
