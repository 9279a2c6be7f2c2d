"""Executing a run: claim -> compute -> settle -> publish.

No transaction is open while it computes. The computing goes on while the database or Redis is away;
what could not be written is written when they are back, and the end of the run is settled however
long that takes. Whoever finds that the run is no longer theirs (``LostClaim``) stops without a
word: the row is the truth, and another execution from the last checkpoint ends on the same digest.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from simulation import engine
from simulation.compile_ahead import compile_for
from simulation.cost import SAMPLE_EVERY, processes_of
from simulation.engine import CheckpointDamaged, OutOfRange
from simulation.engine.distribution import DistributedForce, NoAnswer, distribute
from simulation.engine.integrate import note_retraced
from simulation.engine.outcome import measure_force_rms
from simulation.engine.starting import prepare_state
from simulation.models import Checkpoint, Run
from simulation.services.claims import LostClaim, claim_run
from simulation.services.keeping import CancelAsked, Keeper
from simulation.services.own_bodies import scenario_of_file
from simulation.services.settling import Ending, settle_run

logger = logging.getLogger(__name__)

# A stretch of steps, its retrace included, ends well before the next beat is due.
STRETCH_S = 0.1
STRETCH_S_MAX = 0.2
SETTLE_AGAIN_S = 0.5

Clock = Callable[[], datetime]


def execute_run(*, run_id: UUID, clock: Clock, node: str) -> None:
    """Execute a queued run to its end. Does nothing when it is not queued: safe to deliver twice.

    A long call. Whatever goes wrong inside ends the run as FAILED with a sentence; a bug is raised
    as well.
    """
    queued = Run.objects.filter(pk=run_id, state=Run.State.QUEUED).first()
    if queued is not None:
        # Before the claim: meanwhile nobody waits for a sign of life. On a new machine kernels take
        # longer to compile than a worker may be silent.
        compile_for(queued.engine_request)
        with open_force(queued) as force:
            run = claim_run(run_id=run_id, claimed_at=clock())
            if run is not None:
                _execute_claimed(run, force, clock, node)
                return
    logger.info("run %s is not queued: nothing to execute", run_id)


def open_force(run: Run) -> AbstractContextManager[DistributedForce | None]:
    """Return the force shared out among the run's processes; None for one process."""
    request = run.engine_request
    workers = processes_of(request, run.workers)
    if workers == 1:
        return nullcontext()
    return distribute(request, workers=workers)


def _execute_claimed(run: Run, force: DistributedForce | None, clock: Clock, node: str) -> None:
    bug: Exception | None = None
    keeper = Keeper(run, clock, node)
    try:
        state = load_state(run, keeper)
        if force is not None:
            state.force = force
        try:
            ending = compute(run, state, keeper)
        except CancelAsked:
            ending = Ending(Run.State.CANCELLED, clock(), state)
        except (OutOfRange, NoAnswer) as refusal:
            ending = Ending(Run.State.FAILED, clock(), state, failure=str(refusal))
        except LostClaim:
            raise
        except Exception as error:  # noqa: BLE001  (recorded on the run, then raised again below)
            bug = error
            ending = Ending(
                Run.State.FAILED,
                clock(),
                failure=f"An error inside AII stopped the run ({type(error).__name__}). "
                "The worker's log has the details.",
            )
        ending = replace(
            ending,
            force_rms=measure_error(ending.engine_state),
            distribution=None if force is None else force.report,
            wall_s=keeper.wall_s,
            steps_retraced=keeper.steps_retraced,
            provenance=engine.describe_run(run.engine_request),
            node=node,
        )
        settle_with_patience(run, ending)
    except LostClaim:
        logger.info("run %s is no longer ours: stopping", run.pk)
    if bug is not None:
        raise bug


def measure_error(state: engine.State | None) -> float | None:
    """Return the rms error of the forces at the end; None where they are exact, or unknown."""
    if state is None or state.request.accuracy is None:
        return None
    return measure_force_rms(state)


def load_state(run: Run, keeper: Keeper) -> engine.State:
    """Return the state to go on from: the checkpoint's, or the scenario's start.

    A damaged checkpoint is left aside: from the start the run ends on the same digest.
    """
    checkpoint = Checkpoint.objects.filter(run_id=run.pk).first()
    if checkpoint is not None:
        try:
            state = engine.State.from_bytes(bytes(checkpoint.state))
        except CheckpointDamaged as damage:
            logger.warning("run %s starts anew: %s", run.pk, damage)
        else:
            keeper.resume_from(checkpoint)
            return state
    # Not engine.prepare, which knows no number of steps: a fault is held to the run's own.
    return prepare_state(starting_request(run))


def starting_request(run: Run) -> engine.Request:
    """Return what the engine is asked for, with the bodies of the run's own file."""
    request = run.engine_request
    if run.bodies_file is None:
        return request
    return replace(request, custom=scenario_of_file(run.bodies_file, run.softening_tu))


def compute(run: Run, state: engine.State, keeper: Keeper) -> Ending:
    """Integrate and verify every step, then prove that no bit was lost, as far as the run can
    afford it.
    """
    keeper.turn(state, force=True)
    violation = integrate(run, state, keeper)
    if violation is not None:
        return Ending(Run.State.VIOLATED, keeper.clock(), state, violation)
    digest_reversed = ""
    if run.proof == Run.Proof.WHOLE:
        digest_reversed = retrace_whole(run, state, keeper)
    if state.information_lost:
        # Not a law that a step can be stopped at: it shows on the way back.
        return Ending(
            Run.State.FAILED,
            keeper.clock(),
            state,
            failure="Run backwards, this run did not come back to where it started: information "
            "was lost. Please report it with this page's digests.",
            digest_reversed=digest_reversed,
        )
    return Ending(Run.State.DONE, keeper.clock(), state, digest_reversed=digest_reversed)


def integrate(run: Run, state: engine.State, keeper: Keeper) -> engine.Violation | None:
    """Advance to the last step in stretches, each ended soon enough to beat and to be cancelled."""
    fault = run.engine_fault
    steps = engine.chunk_steps(state, STRETCH_S / 4)
    stretch = 0
    while state.step < run.steps:
        begun_s = time.perf_counter()
        with_retrace = is_retraced(run.proof, stretch)
        report = engine.advance(
            state, min(steps, run.steps - state.step), retrace=with_retrace, fault=fault
        )
        if report.violation is not None:
            return report.violation
        keeper.turn(state)
        steps = next_stretch(steps, time.perf_counter() - begun_s)
        stretch += 1
    return None


def is_retraced(proof: str, stretch: int) -> bool:
    """Return whether a stretch is run backwards at once."""
    if proof == Run.Proof.SAMPLES:
        return stretch % SAMPLE_EVERY == 0
    return proof != Run.Proof.NONE


def next_stretch(steps: int, took_s: float) -> int:
    """Return how many steps the next stretch takes, from how long the last one took."""
    if took_s > STRETCH_S_MAX:
        return max(1, steps // 2)
    return steps * 2 if took_s < STRETCH_S / 2 else steps


def retrace_whole(run: Run, state: engine.State, keeper: Keeper) -> str:
    """Run the whole run backwards in stretches, and return the digest it came to."""
    run.phase = Run.Phase.RETRACE
    keeper.turn(state, force=True)
    back = state
    steps = engine.chunk_steps(state, STRETCH_S / 4)
    while back.step > 0:
        begun_s = time.perf_counter()
        wanted = max(0, back.step - steps)
        back = engine.retrace(back, back.step - wanted)
        if back.step != wanted:
            break  # A law broke on the way back: the digest below tells.
        keeper.steps_retraced = state.step - back.step
        keeper.turn(state)
        steps = next_stretch(steps, time.perf_counter() - begun_s)
    digest = back.digest()
    note_retraced(state, digest == state.digest_start)
    return digest


def settle_with_patience(run: Run, ending: Ending) -> None:
    """Settle, as often as it takes while the database is away. Raises ``LostClaim``."""
    while True:
        try:
            return settle_run(run, ending)
        except (OperationalError, InterfaceError) as error:
            logger.warning("run %s could not be settled, trying again: %s", run.pk, error)
            connection.close()
            time.sleep(SETTLE_AGAIN_S)
