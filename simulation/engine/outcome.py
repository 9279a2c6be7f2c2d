"""A whole run in one call: chunk by chunk, with progress and snapshots, and backwards if asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from simulation.engine.archive import Archive
from simulation.engine.cost import chunk_steps
from simulation.engine.distribution import Report, distribute
from simulation.engine.errors import BadRequest, NoAnswer
from simulation.engine.forces import Force
from simulation.engine.integrate import advance, note_retraced, rewind, turn_round
from simulation.engine.integrators import REAL_METHODS
from simulation.engine.laws import Violation, summary
from simulation.engine.provenance import describe_run
from simulation.engine.requests import Fault, Request, check_fault
from simulation.engine.starting import prepare_state
from simulation.engine.state import State, make_force, make_summation

# Long enough that a chunk's own cost does not count, short enough to be told of and to be stopped.
_CHUNK_S = 0.1
_SAMPLE = 256


@dataclass(frozen=True)
class Progress:
    """Where a run stands: steps done of all steps, in which direction, and the seconds left."""

    steps_done: int
    steps: int
    backwards: bool
    left_s: float
    state: State


@dataclass(frozen=True)
class Outcome:
    """The end of a run. ``wall_s`` covers all steps, both directions, without compilation.

    ``force_rms`` is the rms relative error of the forces at the end, measured on a sample of bodies
    against direct summation in the same arithmetic; None where it was not measured.
    ``distribution`` tells how the work was shared out among processes, and which of them failed.
    """

    request: Request
    state: State
    violation: Violation | None
    stopped: bool
    wall_s: float
    digest_end: str
    digest_reversed: str | None
    threads: int = 1
    force_rms: float | None = None
    distribution: Report | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``manage.py simulate --json`` prints."""
        request, state = self.request, self.state
        found: dict[str, Any] = {
            "scenario": request.scenario,
            "bodies": request.bodies,
            "steps": request.steps,
            "steps_done": state.step,
            "dt_tu": request.dt_tu,
            "integrator": request.integrator,
            "force": request.force,
            "accuracy": request.accuracy,
            "softening_tu": request.softening_tu,
            "seed": request.seed,
            "workers": 1 if self.distribution is None else self.distribution.workers,
            "threads": self.threads,
            "wall_s": self.wall_s,
            "force_rms": self.force_rms,
            "residual": max(map(abs, state.residual_q)) * state.momentum_unit_tu,
            "residual_quanta": list(state.residual_q),
            "timings": {**state.timings_s, "total": self.wall_s},
            "digest_start": state.digest_start,
            "digest_end": self.digest_end,
        }
        if self.distribution is not None:
            found["distribution"] = self.distribution.to_json()
        if self.digest_reversed is not None:
            found["digest_reversed"] = self.digest_reversed
        if self.violation is not None:
            found["violation"] = asdict(self.violation)
        return {**found, "quantities": summary(state), "provenance": describe_run(request)}


def run(
    request: Request,
    *,
    start: State | None = None,
    threads: int = 1,
    workers: int = 1,
    transport: str = "auto",
    strategy: str = "load",
    reverse: bool = False,
    fault: Fault | None = None,
    archive: Archive | None = None,
    snapshot_every: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Run a request from its start, or from the state ``start`` of a snapshot, to its last step.

    On ``workers`` processes of ``threads`` threads each, reached by ``transport`` and dealt out by
    ``strategy`` (``distribution``); the result depends on none of these. Backwards too with
    ``reverse``. ``archive`` takes a snapshot of the start, of each step that
    ``snapshot_every`` divides, and of the end. Ends early on a violation or when ``should_stop``
    says so, asked ten times a second. Raises ``BadRequest``, ``OutOfRange``, and ``NoAnswer`` when
    processes fall silent: the state then stands at the last step that all agreed on.
    """
    if fault is not None:
        check_fault(fault, request)
    if snapshot_every is not None and (archive is None or snapshot_every < 1):
        raise BadRequest("Snapshots are taken every 1 or more steps, into an archive.")
    options = (threads, reverse, fault, archive, snapshot_every, on_progress, should_stop)
    if workers == 1:
        return _run_state(_state_of(request, start, make_force(request, threads)), *options)
    if request.integrator in REAL_METHODS:
        raise BadRequest(
            f"The integrator {request.integrator} runs in one process; ask for one worker."
        )
    with distribute(
        request, workers=workers, transport=transport, strategy=strategy, threads=threads
    ) as force:
        outcome = _run_state(_state_of(request, start, force), *options)
        return replace(outcome, distribution=force.report)


def _run_state(
    state: State,
    threads: int,
    reverse: bool,
    fault: Fault | None,
    archive: Archive | None,
    snapshot_every: int | None,
    on_progress: Callable[[Progress], None] | None,
    should_stop: Callable[[], bool] | None,
) -> Outcome:
    if reverse and not state.is_reversible:
        raise BadRequest("This run cannot be run backwards: its steps are not reversible.")
    request = state.request
    pace = _Pace(chunk_steps(state, _CHUNK_S), request.steps - state.step, reverse, on_progress)
    begun = time.perf_counter()
    violation, stopped = None, False
    _keep(archive, state)
    while state.step < request.steps and violation is None and not stopped:
        steps = min(pace.chunk, request.steps - state.step)
        if snapshot_every is not None:
            steps = min(steps, snapshot_every - state.step % snapshot_every)
        try:
            violation = advance(state, steps, fault=fault).violation
        except NoAnswer:
            _keep(archive, state)
            raise
        pace.turn(state, state.step, request.steps, steps, backwards=False)
        stopped = should_stop is not None and should_stop()
        if snapshot_every is not None and state.step % snapshot_every == 0:
            _keep(archive, state)
    _keep(archive, state)
    reached = state.digest()
    back = _go_back(state, pace) if reverse and not stopped else None
    wall_s = time.perf_counter() - begun
    # Doubles are summed directly: there is nothing to measure them against.
    rms = measure_force_rms(state) if isinstance(state, State) else None
    return Outcome(request, state, violation, stopped, wall_s, reached, back, threads, rms)


def request_to_continue(state: State, steps: int | None = None) -> Request:
    """Return the request of a snapshot's run, or of the same run with another last step.

    Raises ``BadRequest`` where that step lies behind.
    """
    if steps is None:
        return state.request
    if not state.step <= steps <= state.definition.steps_max:
        raise BadRequest(
            f"Steps must lie between {state.step}, where the run stands, and "
            f"{state.definition.steps_max}, not {steps}."
        )
    return replace(state.request, steps=steps)


def measure_force_rms(state: State, sample: int = _SAMPLE) -> float:
    """Return the rms relative error of the state's forces over evenly chosen bodies.

    Against direct summation in the same integers; 0 for direct summation. O(sample * N).
    """
    kick = state.kicks[-1]
    found_q = np.zeros_like(state.k_q)
    state.force.evaluate(state.x, kick, found_q, np.zeros_like(state.u_q))
    summation = make_summation(state.request)
    chosen = np.unique(np.linspace(0, state.bodies - 1, sample).astype(np.int64))
    exact, potential = np.zeros_like(state.k_q), np.zeros_like(state.u_q)
    for i in chosen:
        summation.rows(state.x, kick, exact, potential, i, i + 1)
    size = np.linalg.norm(exact[:, chosen], axis=0)
    error = np.linalg.norm((found_q - exact)[:, chosen], axis=0)
    felt = size > 0.0
    return float(np.sqrt(np.mean((error[felt] / size[felt]) ** 2))) if np.any(felt) else 0.0


class _Pace:
    """How many steps a chunk takes, and how long all that are left will."""

    def __init__(
        self,
        chunk: int,
        steps: int,
        reverse: bool,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.chunk = chunk
        self._left = 2 * steps if reverse else steps
        self._done = 0
        self._tell = on_progress
        self._begun = self._turned = time.perf_counter()

    def turn(self, state: State, done: int, steps: int, taken: int, *, backwards: bool) -> None:
        """Note a chunk, say so, and choose the next from the time that it took."""
        now = time.perf_counter()
        took_s, self._turned = now - self._turned, now
        self._done += taken
        self._left -= taken
        left_s = max(0, self._left) * (now - self._begun) / self._done
        if took_s < _CHUNK_S / 2:
            self.chunk = max(self.chunk, min(2 * taken, 2 * self.chunk))
        elif took_s > 2 * _CHUNK_S:
            self.chunk = max(1, taken // 2)
        if self._tell is not None:
            self._tell(Progress(done, steps, backwards, left_s, state))


def _state_of(request: Request, start: State | None, force: Force) -> State:
    if start is None:
        return prepare_state(request, force)
    start.request = request
    start.force = force
    return start


def _keep(archive: Archive | None, state: State) -> None:
    if archive is None or (archive.snapshots and archive.snapshots[-1].step == state.step):
        return
    archive.append(state)


def _go_back(state: State, pace: _Pace) -> str:
    back = turn_round(state)
    steps = state.step
    while back.step:
        chunk = min(pace.chunk, back.step)
        if not rewind(back, chunk):
            break
        pace.turn(back, steps - back.step, steps, chunk, backwards=True)
    state.timings_s = back.timings_s
    digest = back.digest()
    note_retraced(state, digest == state.digest_start)
    return digest
