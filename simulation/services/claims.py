"""Who computes a run: one conditional UPDATE decides, and every later write repeats the condition.

The sweep may take a silent run away (RUNNING -> QUEUED) while its worker was only cut off from the
database. Such a worker takes its own run back by its next beat, unless another execution has
claimed it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce

from monitoring import services as monitoring
from simulation import engine, frames
from simulation.models import Checkpoint, Run
from simulation.services.readings import describe_series
from tenants.journal import Subject, note, process

STATE = Run.State


class LostClaim(Exception):
    """The run is no longer ours: another execution holds it, or it has ended."""


@transaction.atomic
def claim_run(*, run_id: UUID, claimed_at: datetime) -> Run | None:
    """Take a queued run and return it; ``None`` when it is not queued (delivered twice, cancelled,
    unknown).

    Opens the run's account with monitoring, a declared source, on the first claim.
    """
    claimed = Run.objects.filter(pk=run_id, state=STATE.QUEUED).update(
        state=STATE.RUNNING,
        claim=uuid4(),
        heartbeat_at=claimed_at,
        started_at=Coalesce("started_at", Value(claimed_at)),
        attempt=F("attempt") + 1,
    )
    if not claimed:
        return None
    run = Run.objects.get(pk=run_id)
    if run.account_id is None:
        account = monitoring.open_account(
            name=f"{run.title} {run.short_id}",
            kind="run",
            reference=str(run.pk),
            opened_at=claimed_at,
            subject_url=run.get_absolute_url(),
        )
        run.account_id = account.pk
        run.save(update_fields=["account_id"])
    note(
        who=process(),
        action="run.started",
        subject=Subject("run", str(run.pk)),
        at=claimed_at,
        after={"attempt": run.attempt, "account": run.account_id},
    )
    return run


def beat(run: Run, *, at: datetime, step_done: int, steps_retraced: int, phase: str) -> bool:
    """Say that we are alive and how far we are; return whether the run shall be cancelled.

    Raises ``LostClaim``. One statement, its own transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE simulation_run SET state = 'RUNNING', heartbeat_at = %s, step_done = %s,"
            " steps_retraced = %s, phase = %s"
            " WHERE id = %s AND claim = %s AND state IN ('QUEUED', 'RUNNING')"
            " RETURNING cancel_requested_at IS NOT NULL",
            [at, step_done, steps_retraced, phase, run.pk, run.claim],
        )
        row = cursor.fetchone()
    if row is None:
        raise LostClaim(str(run))
    return bool(row[0])


@transaction.atomic
def save_checkpoint(run: Run, state: engine.State, *, wall_s: float, saved_at: datetime) -> None:
    """Store a verified state to resume from. Raises ``LostClaim``; locks the run's row."""
    held = Run.objects.select_for_update().filter(pk=run.pk, claim=run.claim, state__in=Run.ACTIVE)
    if not held.exists():
        raise LostClaim(str(run))
    Checkpoint.objects.update_or_create(
        run_id=run.pk,
        defaults={
            "step": state.step,
            "state": state.to_bytes(),
            "digest": state.digest(),
            "wall_s": wall_s,
            "saved_at": saved_at,
            "frame": frames.encode(state, saved_at),
            "series": describe_series(state),
        },
    )
