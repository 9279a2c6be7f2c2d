"""The sweep: runs whose worker fell silent, whose message got lost, or whose live key is no longer
needed.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from redis.exceptions import RedisError

from simulation import engine
from simulation.engine import CheckpointDamaged
from simulation.models import Checkpoint, Run
from simulation.services import live
from simulation.services.settling import Ending, end_run
from tenants.context import current_schema
from tenants.redis import get_redis
from tenants.tasks import enqueue_on_commit, queue_of

logger = logging.getLogger(__name__)

SILENT_AFTER = timedelta(seconds=10)
RESUMES_MAX = 2
SEND_AGAIN_AFTER = timedelta(seconds=60)
LIVE_AFTER_THE_END = timedelta(seconds=60)


def reap_runs(*, reaped_at: datetime) -> None:
    """Look after the tenant's runs that nobody else looks after. Cheap when there are none: three
    queries.
    """
    silent = Run.objects.filter(
        state=Run.State.RUNNING, heartbeat_at__lt=reaped_at - SILENT_AFTER
    ).values_list("pk", flat=True)
    for run_id in silent:
        with transaction.atomic():
            # Looked at again under its lock: the worker may have come back meanwhile.
            run = (
                Run.objects.select_for_update(skip_locked=True)
                .filter(
                    pk=run_id, state=Run.State.RUNNING, heartbeat_at__lt=reaped_at - SILENT_AFTER
                )
                .first()
            )
            if run is not None:
                _take_up_again(run, reaped_at)
    _send_lost_messages(reaped_at)
    _withdraw_old_keys(reaped_at)


def _take_up_again(run: Run, at: datetime) -> None:
    if run.cancel_requested_at is not None:
        return _end(run, Run.State.CANCELLED, "", at)
    if run.resumes >= RESUMES_MAX:
        sentence = (
            f"Its worker stopped {run.resumes + 1} times, the last time after step "
            f"{run.step_done}. Look at the worker's log before you ask for it again."
        )
        return _end(run, Run.State.FAILED, sentence, at)
    logger.warning("run %s fell silent at step %s: queued again", run.pk, run.step_done)
    run.state = Run.State.QUEUED
    run.resumes += 1
    run.sent_at = at
    # The claim stays: a worker that was only cut off may take its own run back (claims.beat).
    run.save(update_fields=["state", "resumes", "sent_at"])
    enqueue_on_commit("simulation.execute_run", run_id=str(run.pk))
    return None


def _end(run: Run, state: Run.State, failure: str, at: datetime) -> None:
    """End a run that nobody computes any more with what its checkpoint holds."""
    checkpoint = Checkpoint.objects.filter(run_id=run.pk).first()
    engine_state, wall_s = None, None
    if checkpoint is not None:
        wall_s = checkpoint.wall_s
        try:
            engine_state = engine.State.from_bytes(bytes(checkpoint.state))
        except CheckpointDamaged as damage:
            logger.warning("run %s: %s", run.pk, damage)
    ending = Ending(state, at, engine_state, failure=failure, wall_s=wall_s, node="sweep")
    end_run(run, ending)


def _send_lost_messages(at: datetime) -> None:
    waiting = Run.objects.filter(state=Run.State.QUEUED, sent_at__lt=at - SEND_AGAIN_AFTER)
    if not waiting.exists():
        return
    # Messages that wait behind long runs are not lost; only an empty queue proves that they are.
    if get_redis().llen(queue_of(current_schema())):
        return
    with transaction.atomic():
        for run in waiting.select_for_update(skip_locked=True):
            run.sent_at = at
            run.save(update_fields=["sent_at"])
            enqueue_on_commit("simulation.execute_run", run_id=str(run.pk))


def _withdraw_old_keys(at: datetime) -> None:
    ended = Run.objects.filter(is_live=True, finished_at__lt=at - LIVE_AFTER_THE_END)
    for run in ended:
        try:
            live.withdraw(run)
        except RedisError:
            return  # The next sweep tries again.
        Run.objects.filter(pk=run.pk).update(is_live=False)
