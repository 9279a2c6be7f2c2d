"""The end of a run, in one transaction: state, results, last reading, alert, closed account."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from monitoring import services as monitoring
from monitoring.heartbeat import node_name
from simulation import engine, frames
from simulation.engine import CheckpointDamaged
from simulation.engine.distribution import Report
from simulation.models import Checkpoint, Run, RunResult
from simulation.services import live
from simulation.services.claims import LostClaim
from simulation.services.readings import describe_series, readings_at_the_end
from tenants.journal import Subject, note, process

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a run ended. ``engine_state`` is its last verified state; None when it never computed."""

    state: Run.State
    at: datetime
    engine_state: engine.State | None = None
    violation: engine.Violation | None = None
    failure: str = ""
    wall_s: float | None = None
    digest_reversed: str = ""
    steps_retraced: int | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    node: str = ""
    # The rms relative error of the forces at the end, measured; None where they are exact.
    force_rms: float | None = None
    # How the work was shared out among processes; None for one.
    distribution: Report | None = None


def settle_run(run: Run, ending: Ending) -> None:
    """End a run that we hold. Raises ``LostClaim`` when we do not, and then writes nothing."""
    with transaction.atomic():
        held = (
            Run.objects.select_for_update()
            .filter(pk=run.pk, claim=run.claim, state__in=Run.ACTIVE)
            .first()
        )
        if held is None:
            raise LostClaim(str(run))
        end_run(held, ending)


def end_run(run: Run, ending: Ending) -> None:
    """Write the end of an active run whose row is locked; publish it after commit."""
    assert transaction.get_connection().in_atomic_block and run.is_active
    run.state = ending.state
    run.finished_at = ending.at
    run.failure = ending.failure
    run.violation = describe_violation(ending.violation)
    run.digest_reversed = ending.digest_reversed
    run.provenance = ending.provenance or run.provenance
    run.wall_s = ending.wall_s
    if ending.steps_retraced is not None:
        run.steps_retraced = ending.steps_retraced
    if ending.engine_state is not None:
        _store_result(run, ending.engine_state, ending)
    run.save()
    note(
        who=process(ending.node),
        action="run.ended",
        subject=Subject("run", str(run.pk)),
        at=ending.at,
        after={
            "state": run.state,
            "step": run.step_done,
            "failure": run.failure,
            "violation": run.violation,
            "digest_start": run.digest_start,
            "digest_end": run.digest_end,
            "digest_reversed": run.digest_reversed,
        },
    )
    Checkpoint.objects.filter(run_id=run.pk).delete()
    if run.account_id is not None:
        if ending.engine_state is not None:
            monitoring.record_observation(
                account_id=run.account_id,
                node=ending.node,
                observed_at=ending.at,
                readings=readings_at_the_end(ending.engine_state, ending.violation),
            )
        monitoring.close_account(
            account_id=run.account_id, closed_at=ending.at, outcome=ending.state
        )
    live.publish_row_on_commit(run)


def end_unattended(run: Run, state: Run.State, *, at: datetime, failure: str = "") -> None:
    """End an active run that nobody computes, with what its checkpoint holds; its row is locked."""
    checkpoint = Checkpoint.objects.filter(run_id=run.pk).first()
    engine_state, wall_s = None, None
    if checkpoint is not None:
        wall_s = checkpoint.wall_s
        try:
            engine_state = engine.State.from_bytes(bytes(checkpoint.state))
        except CheckpointDamaged as damage:
            logger.warning("run %s: %s", run.pk, damage)
    # Who ends it is the process that does: the scheduler's sweep, or the web server.
    ending = Ending(state, at, engine_state, failure=failure, wall_s=wall_s, node=node_name())
    end_run(run, ending)


def _store_result(run: Run, state: engine.State, ending: Ending) -> None:
    outcome = engine.Outcome(
        request=run.engine_request,
        state=state,
        violation=ending.violation,
        stopped=ending.state != Run.State.DONE,
        wall_s=ending.wall_s or 0.0,
        digest_end=state.digest(),
        digest_reversed=ending.digest_reversed or None,
        force_rms=ending.force_rms,
        distribution=ending.distribution,
    )
    run.summary = outcome.to_json()
    run.step_done = state.step
    run.digest_start = state.digest_start
    run.digest_end = outcome.digest_end
    RunResult.objects.create(
        run_id=run.pk,
        step=state.step,
        state=state.to_bytes(),
        frame=frames.encode(state, ending.at),
        series=describe_series(state),
    )


def describe_violation(violation: engine.Violation | None) -> dict[str, Any] | None:
    """Return what the page and the alert say about a broken law."""
    if violation is None:
        return None
    return {
        "quantity": violation.quantity,
        "also_broken": list(violation.also_broken),
        "law": violation.law,
        "step": violation.step,
        "expected": violation.expected,
        "found": violation.found,
        "error": violation.error,
        "limit": violation.limit,
        "unit": violation.unit,
        "sentence": violation.sentence,
    }
