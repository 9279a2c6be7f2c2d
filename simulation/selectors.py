"""Reads of runs for the pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from simulation import engine
from simulation.figures import count
from simulation.models import Checkpoint, Run, RunQuerySet, RunResult
from simulation.services.requests import RunUnknown
from simulation.services.settling import describe_series
from simulation.wording import describe_proof, describe_proof_of
from tenants.errors import NotFound


class NoState(NotFound):
    """The run has no stored state yet."""

    code = "no_state"


def get_run(run_id: UUID) -> Run:
    """Return a run of this tenant, or raise ``RunUnknown``."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise RunUnknown("There is no such run here.")
    return run


def list_runs(*, state: str = "", scenario: str = "") -> RunQuerySet:
    """Return runs, newest first; without what only a run's own page needs."""
    runs = Run.objects.defer("summary", "provenance")
    if state:
        runs = runs.filter(state=state)
    if scenario:
        runs = runs.filter(scenario=scenario)
    return runs


def count_active() -> int:
    """Return how many runs wait or compute."""
    return Run.objects.active().count()


def get_final_state(run: Run) -> engine.State:
    """Return the last verified state of a finished run, checked against its checksum; raises
    ``NoState``.
    """
    result = RunResult.objects.filter(run_id=run.pk).first()
    if result is None:
        raise NoState("This run has stored no state. It appears when the run has ended.")
    return engine.State.from_bytes(bytes(result.state))


def find_series(run: Run) -> dict[str, dict[str, Any]] | None:
    """Return the series of a run for its plots: the result's, or the checkpoint's while it
    computes.
    """
    result = RunResult.objects.filter(run_id=run.pk).only("series").first()
    if result is not None:
        return dict(result.series)
    checkpoint = Checkpoint.objects.filter(run_id=run.pk).first()
    if checkpoint is None:
        return None
    return describe_series(engine.State.from_bytes(bytes(checkpoint.state)))


@dataclass(frozen=True)
class Phase:
    """A step of a run's way, for its page: ``done``, ``now``, ``todo`` or ``missed``."""

    title: str
    state: str
    note: str = ""


def list_phases(run: Run) -> list[Phase]:
    """Return the way of a run: what is behind it, what it does now, what is to come."""
    titles = ["Queued", "Integrate and verify"]
    if run.proof == Run.Proof.WHOLE:
        titles.append("Retrace to the start")
    titles.append("Store")
    at = _position(run, len(titles))
    states = ["done" if i < at else "now" if i == at else "todo" for i in range(len(titles))]
    if run.state in (Run.State.VIOLATED, Run.State.FAILED, Run.State.CANCELLED):
        states = ["missed" if state in ("now", "todo") else state for state in states]
        if run.summary:
            # Cut short, and yet its last verified state was stored.
            states[-1] = "done"
    notes = [""] * len(titles)
    if run.started_at:
        notes[1] = f"{count(run.step_done)} of {count(run.steps)} steps"
    return [Phase(*row) for row in zip(titles, states, notes, strict=True)]


def _position(run: Run, count: int) -> int:
    if run.state == Run.State.DONE:
        return count
    if run.started_at is None or run.state == Run.State.QUEUED:
        return 0
    return 2 if run.phase == Run.Phase.RETRACE else 1


@dataclass(frozen=True)
class Law:
    """A row of the table of laws on a run's page, in SI."""

    name: str
    unit: str
    law: str
    verdict: str
    error: float | None
    limit: float | None
    share: float | None
    meaning: str


def list_laws(run: Run) -> list[Law]:
    """Return what became of each law, in the words of the platform; empty before the end."""
    if not run.summary:
        return []
    rows = []
    for name in engine.QUANTITIES:
        found = run.summary["quantities"][name]
        share = found["worst_margin"]
        rows.append(
            Law(
                name=name.replace("_", " ").capitalize(),
                unit=found["unit"],
                law=found["law"],
                verdict=found["verdict"],
                error=found["max_abs_error"],
                limit=found["limit"],
                share=share if share is not None and math.isfinite(share) else None,
                meaning=_meaning(name, found, run),
            )
        )
    return rows


def _meaning(name: str, found: dict[str, Any], run: Run) -> str:
    steps = run.summary["steps_done"] if run.summary else run.step_done
    if name == "information":
        if run.proof == Run.Proof.NONE:
            return describe_proof_of(run)
        return describe_proof(found["proved_steps"], steps)
    if found["verdict"] == "VIOLATED":
        return f"Broken in step {count(found['worst_step'])}."
    if found["law"] == "exact":
        return "Exact: the same integer after every step."
    if found["worst_margin"] is None:
        return ""
    kind = "Bounded" if found["law"] == "bounded" else "To round-off"
    share = 100 * found["worst_margin"]
    return f"{kind}: at most {share:.3g} % of the limit, in step {count(found['worst_step'])}."
