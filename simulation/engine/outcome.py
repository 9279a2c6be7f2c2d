"""A whole run in one call: chunk by chunk, with progress, and backwards if asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from simulation.engine.cost import chunk_steps
from simulation.engine.integrate import advance, note_retraced, rewind, turn_round
from simulation.engine.integrators import INTEGRATORS
from simulation.engine.laws import Violation, summary
from simulation.engine.requests import Fault, Request, check_fault
from simulation.engine.state import State, prepare_state

_CHUNK_S = 0.1


@dataclass(frozen=True)
class Progress:
    """Where a run stands: steps done of all steps, in which direction."""

    steps_done: int
    steps: int
    backwards: bool
    state: State


@dataclass(frozen=True)
class Outcome:
    """The end of a run. ``wall_s`` covers all steps, both directions, without compilation."""

    request: Request
    state: State
    violation: Violation | None
    stopped: bool
    wall_s: float
    digest_end: str
    digest_reversed: str | None

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``manage.py simulate --json`` prints."""
        found: dict[str, Any] = {
            "scenario": self.request.scenario,
            "bodies": self.request.bodies,
            "steps": self.request.steps,
            "steps_done": self.state.step,
            "dt_tu": self.request.dt_tu,
            "integrator": INTEGRATORS[self.request.integrator].title,
            "seed": self.request.seed,
            "wall_s": self.wall_s,
            "digest_start": self.state.digest_start,
            "digest_end": self.digest_end,
        }
        if self.digest_reversed is not None:
            found["digest_reversed"] = self.digest_reversed
        if self.violation is not None:
            found["violation"] = asdict(self.violation)
        return {**found, "quantities": summary(self.state)}


def run(
    request: Request,
    *,
    reverse: bool = False,
    fault: Fault | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Run a request from its start, ten chunks a second; backwards too with ``reverse``.

    Ends early on a violation or when ``should_stop`` says so. Raises ``BadRequest``,
    ``OutOfRange``.
    """
    if fault is not None:
        check_fault(fault, request)
    state = prepare_state(request)
    chunk = chunk_steps(state, _CHUNK_S)
    begun = time.perf_counter()
    violation, stopped = None, False
    while state.step < request.steps and violation is None and not stopped:
        steps = min(chunk, request.steps - state.step)
        violation = advance(state, steps, fault=fault).violation
        _tell(on_progress, Progress(state.step, request.steps, False, state))
        stopped = should_stop is not None and should_stop()
    reached = state.digest()
    back = _go_back(state, chunk, on_progress) if reverse and not stopped else None
    wall_s = time.perf_counter() - begun
    return Outcome(request, state, violation, stopped, wall_s, reached, back)


def _go_back(state: State, chunk: int, on_progress: Callable[[Progress], None] | None) -> str:
    back = turn_round(state)
    while back.step and rewind(back, min(chunk, back.step)):
        _tell(on_progress, Progress(state.step - back.step, state.step, True, back))
    digest = back.digest()
    note_retraced(state, digest == state.digest_start)
    return digest


def _tell(on_progress: Callable[[Progress], None] | None, progress: Progress) -> None:
    if on_progress is not None:
        on_progress(progress)
