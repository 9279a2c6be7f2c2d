"""What a page sees of a run within a second: the key ``run.<id>`` of the live contract."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from conservation import Status, worst
from monitoring import services as monitoring
from monitoring.live import publish as publish_live
from simulation import engine
from simulation.models import Run
from simulation.wording import describe_run
from tenants.context import current_schema


@dataclass(frozen=True)
class Numbers:
    """The figures of a run that move: relative to the start's energy, and in SI."""

    energy_rel_error: float | None = None
    energy_limit: float | None = None
    momentum_error: float | None = None
    information: str | None = None
    proved_steps: int = 0
    verdict: str = "UNKNOWN"


def numbers_now(state: engine.State) -> Numbers:
    """Return the figures of a state that is being computed."""
    now = engine.live(state)
    energy = now["energy"]
    scale = abs(energy["value"] or 0.0)
    return Numbers(
        energy_rel_error=_ratio(energy["balance"], scale),
        energy_limit=_ratio(energy["limit"], scale),
        momentum_error=now["momentum"]["balance"],
        information=now["information"]["verdict"],
        proved_steps=state.proved_steps,
        verdict=worst_of([quantity["verdict"] for quantity in now.values()]),
    )


def numbers_of_summary(summary: dict[str, Any] | None) -> Numbers:
    """Return the figures of a run that has ended."""
    if not summary:
        return Numbers()
    quantities = summary["quantities"]
    energy = quantities["energy"]
    scale = abs(energy["initial"] or 0.0)
    return Numbers(
        energy_rel_error=energy["max_rel_error"],
        energy_limit=_ratio(energy["limit"], scale),
        momentum_error=quantities["momentum"]["max_abs_error"],
        information=quantities["information"]["verdict"],
        proved_steps=quantities["information"]["proved_steps"],
        verdict=worst_of([quantity["verdict"] for quantity in quantities.values()]),
    )


def worst_of(verdicts: list[str]) -> str:
    """Return the gravest of several verdicts."""
    return str(worst([Status(verdict) for verdict in verdicts]))


def _ratio(value: float | None, scale: float) -> float | None:
    return value / scale if value is not None and scale else None


def describe(run: Run, numbers: Numbers, eta_s: float | None) -> dict[str, Any]:
    """Return the value of the run's key."""
    return {
        "id": str(run.pk),
        "scenario": run.title,
        "state": run.state,
        "phase": run.phase,
        "step": run.step_done,
        "steps": run.steps,
        "steps_retraced": run.steps_retraced,
        "progress": run.progress,
        "eta_s": eta_s,
        "energy_rel_error": numbers.energy_rel_error,
        "energy_limit": numbers.energy_limit,
        "momentum_error": numbers.momentum_error,
        "information": numbers.information,
        "proved_share": min(1.0, numbers.proved_steps / run.step_done) if run.step_done else None,
        "verdict": numbers.verdict,
        "cancelling": run.is_active and run.cancel_requested_at is not None,
        "sentence": describe_run(run),
        "url": run.get_absolute_url(),
    }


def publish(run: Run, numbers: Numbers, eta_s: float | None) -> None:
    """Publish a run at once; a Redis that is away costs nothing but this message."""
    monitoring.publish_run(run_id=str(run.pk), fields=describe(run, numbers, eta_s))


def publish_row_on_commit(run: Run) -> None:
    """Publish a run as its row stands once the current transaction has been committed."""
    transaction.on_commit(partial(_publish_row, run.pk), robust=True)


def _publish_row(run_id: UUID) -> None:
    run = Run.objects.get(pk=run_id)
    publish(run, numbers_of_summary(run.summary), None)


def withdraw(run: Run) -> None:
    """Take the run's key out of the live state. Raises ``RedisError`` where Redis is away."""
    publish_live(current_schema(), {f"run.{run.pk}": None})
