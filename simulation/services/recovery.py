"""The sweep: runs whose worker fell silent, whose message got lost, or whose live key is no longer
needed.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from redis.exceptions import RedisError

from simulation.models import Run
from simulation.services import live
from simulation.services.settling import end_unattended
from tenants.context import current_schema
from tenants.journal import Subject, note, process
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
    # A beat from the future was written before the clock was set back: whoever lives beats again.
    is_silent = Q(state=Run.State.RUNNING) & (
        Q(heartbeat_at__lt=reaped_at - SILENT_AFTER) | Q(heartbeat_at__gt=reaped_at + SILENT_AFTER)
    )
    for run_id in Run.objects.filter(is_silent).values_list("pk", flat=True):
        with transaction.atomic():
            # Looked at again under its lock: the worker may have come back meanwhile.
            run = (
                Run.objects.select_for_update(skip_locked=True).filter(is_silent, pk=run_id).first()
            )
            if run is not None:
                _take_up_again(run, reaped_at)
    _send_lost_messages(reaped_at)
    _withdraw_old_keys(reaped_at)


def _take_up_again(run: Run, at: datetime) -> None:
    if run.cancel_requested_at is not None:
        return end_unattended(run, Run.State.CANCELLED, at=at)
    if run.resumes >= RESUMES_MAX:
        sentence = (
            f"Its worker stopped {run.resumes + 1} times, the last time after step "
            f"{run.step_done}. Look at the worker's log before you ask for it again."
        )
        return end_unattended(run, Run.State.FAILED, at=at, failure=sentence)
    logger.warning("run %s fell silent at step %s: queued again", run.pk, run.step_done)
    run.state = Run.State.QUEUED
    run.resumes += 1
    run.sent_at = at
    # The claim stays: a worker that was only cut off may take its own run back (claims.beat).
    run.save(update_fields=["state", "resumes", "sent_at"])
    note(
        who=process(),
        action="run.queued_again",
        subject=Subject("run", str(run.pk)),
        at=at,
        after={"step": run.step_done, "resumes": run.resumes},
        why="its worker fell silent",
    )
    live.publish_row_on_commit(run)
    enqueue_on_commit("simulation.execute_run", run_id=str(run.pk))
    return None


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
