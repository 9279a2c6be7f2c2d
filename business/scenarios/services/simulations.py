"""Simulations that a request does not wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import transaction

from business import roi
from business.scenarios import results
from business.scenarios.models import LongSimulation, ScenarioVersion
from business.scenarios.services.errors import BadTrials, SimulationUnknown, TooMany
from tenants.context import current_schema
from tenants.journal import Subject, note, process
from tenants.models import User
from tenants.redis import get_redis
from tenants.tasks import enqueue_on_commit, queue_of

WAITING_MAX = 10
# A worker says something several times a second, and that is kept for a minute.
SILENT_AFTER = timedelta(minutes=2)
ATTEMPTS_MAX = 3
_REPORT_EVERY_S = 0.25
_KEPT_S = 60


@transaction.atomic
def request_simulation(
    *, acting_user: User, version: ScenarioVersion, trials: int, seed: int, requested_at: datetime
) -> LongSimulation:
    """Ask for a simulation; one that was asked for before and waits is sent again.

    Raises ``BadTrials`` and ``TooMany``.
    """
    if not results.TRIALS < trials <= roi.TRIALS_MAX or not 0 <= seed < 2**63:
        raise BadTrials(
            f"Ask for more than {results.TRIALS} and at most {roi.TRIALS_MAX} trials, with a seed"
            " of 0 or more."
        )
    if version.results["simulation"] is None:
        raise BadTrials("No input of this version is uncertain, or one is unknown.")
    waiting = LongSimulation.objects.filter(state=LongSimulation.State.WAITING)
    if waiting.count() >= WAITING_MAX:
        raise TooMany(f"{WAITING_MAX} simulations wait. Try again when one is done.")
    asked, is_new = LongSimulation.objects.get_or_create(
        version=version,
        trials=trials,
        seed=seed,
        defaults={"requested_at": requested_at, "sent_at": requested_at},
    )
    if asked.state == LongSimulation.State.FAILED:
        # What was given up is tried again when somebody asks again.
        asked.state, asked.failure, asked.finished_at = LongSimulation.State.WAITING, "", None
        asked.attempts, asked.sent_at, asked.requested_at = 1, requested_at, requested_at
        asked.save()
        is_new = True
    if is_new:
        note(
            who=acting_user,
            action="scenario.simulation_requested",
            subject=Subject("scenario", str(version.scenario_id), version.scenario.name),
            at=requested_at,
            after={"version": version.number, "trials": trials, "seed": seed},
        )
    if asked.state == LongSimulation.State.WAITING:
        enqueue_on_commit("scenarios.simulate", simulation_id=str(asked.pk))
    return asked


def execute_simulation(*, simulation_id: UUID, clock: Callable[[], datetime]) -> None:
    """Compute a simulation that waits. Safe to deliver twice: the answer is the same, and only
    WAITING is settled. Raises ``SimulationUnknown``.
    """
    asked = LongSimulation.objects.select_related("version").filter(pk=simulation_id).first()
    if asked is None:
        raise SimulationUnknown("There is no such simulation here.")
    if asked.state != LongSimulation.State.WAITING:
        return
    found: dict[str, Any] = {"state": LongSimulation.State.DONE}
    try:
        found["result"] = results.simulate(
            roi.read_scenario(asked.version.document),
            trials=asked.trials,
            seed=asked.seed,
            report=_reporter(asked.pk),
        )
    except roi.BadInput as refusal:
        found = {"state": LongSimulation.State.FAILED, "failure": str(refusal)}
    _settle(asked, found, clock())


@transaction.atomic
def _settle(asked: LongSimulation, found: dict[str, Any], settled_at: datetime) -> None:
    waiting = LongSimulation.objects.filter(pk=asked.pk, state=LongSimulation.State.WAITING)
    if waiting.update(**found, finished_at=settled_at):
        note(
            who=process(),
            action="scenario.simulated",
            subject=Subject("scenario", str(asked.version.scenario_id)),
            at=settled_at,
            after={
                "version": asked.version.number,
                "trials": asked.trials,
                "seed": asked.seed,
                "state": found["state"],
            },
        )


def reap_simulations(*, reaped_at: datetime) -> None:
    """Send again what waits and nobody computes, and give up what was lost too often.

    Computing twice does no harm. One query where nothing waits for long.
    """
    waiting = LongSimulation.objects.filter(
        state=LongSimulation.State.WAITING, sent_at__lt=reaped_at - SILENT_AFTER
    )
    silent = [asked for asked in waiting if find_progress(asked.pk) is None]
    # Messages that wait behind others are not lost; only an empty queue proves that they are.
    if not silent or get_redis().llen(queue_of(current_schema())):
        return
    for asked in silent:
        _take_up_again(asked, reaped_at)


@transaction.atomic
def _take_up_again(asked: LongSimulation, at: datetime) -> None:
    waiting = LongSimulation.objects.select_for_update(skip_locked=True)
    found = waiting.filter(
        pk=asked.pk, state=LongSimulation.State.WAITING, sent_at=asked.sent_at
    ).first()
    if found is None:
        return
    subject = Subject("scenario", str(asked.version.scenario_id))
    told = {"trials": found.trials, "seed": found.seed, "attempts": found.attempts}
    if found.attempts >= ATTEMPTS_MAX:
        found.state, found.finished_at = LongSimulation.State.FAILED, at
        found.failure = (
            f"Its worker was lost {found.attempts} times. Ask for fewer trials, or again when the"
            " workers are well."
        )
        found.save()
        note(who=process(), action="scenario.simulation_lost", subject=subject, at=at, after=told)
        return
    found.attempts, found.sent_at = found.attempts + 1, at
    found.save()
    note(who=process(), action="scenario.simulation_sent_again", subject=subject, at=at, after=told)
    enqueue_on_commit("scenarios.simulate", simulation_id=str(found.pk))


def find_progress(simulation_id: UUID) -> float | None:
    """Return the share of the trials that is done; None while no worker has said anything."""
    return cache.get(_key(simulation_id))


def _reporter(simulation_id: UUID) -> Callable[[float], None]:
    said_at_s = 0.0

    def report(share: float) -> None:
        nonlocal said_at_s
        if time.monotonic() - said_at_s >= _REPORT_EVERY_S:
            said_at_s = time.monotonic()
            cache.set(_key(simulation_id), share, _KEPT_S)

    return report


def _key(simulation_id: UUID) -> str:
    return f"scenarios.simulation.{simulation_id}"
