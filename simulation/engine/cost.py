"""How long a run takes on this machine: measured once in each process, never a constant."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache

from simulation.engine.forces.direct import FEW
from simulation.engine.integrate import advance
from simulation.engine.requests import Request, check_request
from simulation.engine.starting import prepare_state
from simulation.engine.state import State

_FEW_STEPS, _MANY_STEPS = 2000, 4
# Direct summation goes another way from FEW bodies on.
_BODIES, _MANY_BODIES = 3 * FEW // 4, 2 * FEW
_MULTIPOLE_BODIES = 4096
# Stages of the multipole method that processes share out; trees and moments each has its own.
_SHARED = ("traversal", "far", "near", "downward")
_PERIODIC_BODIES, _PERIODIC_BOX = 64, 128.0


@dataclass(frozen=True)
class Speed:
    """Seconds of a step of one force evaluation: a fixed part, and one for each interaction.

    Processes share the interactions out, not the rest.
    """

    step_s: float
    interaction_s: float

    def of_step(self, bodies: int, evaluations: int = 1, processes: float = 1.0) -> float:
        """Return the seconds of one verified step."""
        return self.step_s + self.interaction_s * bodies * bodies * evaluations / processes


@dataclass(frozen=True)
class MultipoleSpeed:
    """Seconds of a step for each body: what each process does again, and what they share out."""

    repeated_s: float
    shared_s: float

    def of_step(self, bodies: int, processes: float = 1.0) -> float:
        """Return the seconds of one verified step."""
        return bodies * (self.repeated_s + self.shared_s / processes)


@cache
def measure_speed() -> Speed:
    """Time three bodies and some 200, 10 ms in all (a machine's first use compiles)."""
    few = prepare_state(check_request("figure_eight"))
    more = prepare_state(check_request("plummer", bodies=_BODIES))
    few_s = _seconds_of_a_step(few, _FEW_STEPS)
    more_s = _seconds_of_a_step(more, _MANY_STEPS)
    return Speed(few_s, max(more_s - few_s, 0.0) / (_BODIES**2 - few.bodies**2))


@cache
def measure_speed_of_many() -> Speed:
    """Time twice ``FEW`` bodies, 10 ms in all; on a machine's first use seconds of compiling."""
    many = prepare_state(check_request("plummer", bodies=_MANY_BODIES))
    return Speed(0.0, _seconds_of_a_step(many, _MANY_STEPS) / _MANY_BODIES**2)


@cache
def measure_multipole(accuracy: float) -> MultipoleSpeed:
    """Time a step of the fast multipole method.

    Some 0.2 s in all, and several seconds of compiling on a machine's first use.
    """
    request = check_request("plummer", bodies=_MULTIPOLE_BODIES, force="fmm", accuracy=accuracy)
    state = prepare_state(request)
    step_s = _seconds_of_a_step(state, 1)
    before = dict(state.timings_s)
    advance(state, 1)
    spent_s = {stage: state.timings_s[stage] - before[stage] for stage in before}
    share = sum(spent_s[stage] for stage in _SHARED) / sum(spent_s.values())
    body_s = step_s / _MULTIPOLE_BODIES
    return MultipoleSpeed((1.0 - share) * body_s, share * body_s)


@cache
def measure_periodic_s() -> float:
    """Time a step in a periodic box; return its seconds for each interaction, images included.

    Some 10 ms, and seconds of compiling on a machine's first use.
    """
    request = check_request(
        "plummer", bodies=_PERIODIC_BODIES, boundary="periodic", box=_PERIODIC_BOX
    )
    return _seconds_of_a_step(prepare_state(request), 1) / _PERIODIC_BODIES**2


def estimate_cost_s(request: Request, *, retrace: bool = False, workers: int = 1) -> float:
    """Return the seconds that a run is expected to take here; a retraced run costs twice as much.

    An estimate for ``workers`` processes of one thread each on a machine that does nothing else;
    more of them than it has cores share these.
    """
    seconds = _step_s(request, min(workers, _cores())) * request.steps
    return 2.0 * seconds if retrace else seconds


def chunk_steps(state: State, seconds: float) -> int:
    """Return how many steps take about ``seconds`` here; at least one."""
    return max(1, int(seconds / _step_s(state.request)))


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _step_s(request: Request, processes: int = 1) -> float:
    if request.accuracy is not None:
        return measure_multipole(request.accuracy).of_step(request.bodies, processes)
    if request.box is not None:
        return measure_periodic_s() * request.bodies**2 * request.evaluations / processes
    speed = measure_speed() if request.bodies < FEW else measure_speed_of_many()
    return speed.of_step(request.bodies, request.evaluations, processes)


def _seconds_of_a_step(state: State, steps: int) -> float:
    advance(state, 1)
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        advance(state, steps)
        best = min(best, time.perf_counter() - begun)
    return best / steps
