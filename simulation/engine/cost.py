"""How long a run takes on this machine: measured once in each process, never a constant."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

from simulation.engine.integrate import advance
from simulation.engine.requests import check_request
from simulation.engine.state import State, prepare_state

_FEW_STEPS, _MANY_STEPS = 2000, 4
_MANY_BODIES = 512


@dataclass(frozen=True)
class Speed:
    """Seconds of a step: a fixed part, and a part for each of the N^2 interactions."""

    step_s: float
    interaction_s: float

    def of_step(self, bodies: int) -> float:
        """Return the seconds of one verified step."""
        return self.step_s + self.interaction_s * bodies * bodies


@lru_cache(maxsize=1)
def measure_speed() -> Speed:
    """Time three bodies and 512 bodies, some 20 ms in all (a machine's first use compiles)."""
    few = prepare_state(check_request("figure_eight"))
    many = prepare_state(check_request("plummer", bodies=_MANY_BODIES))
    few_s = _seconds_of_a_step(few, _FEW_STEPS)
    many_s = _seconds_of_a_step(many, _MANY_STEPS)
    interaction_s = max(many_s - few_s, 0.0) / (_MANY_BODIES**2 - few.bodies**2)
    return Speed(few_s, interaction_s)


def estimate_cost_s(
    scenario: str, *, bodies: int | None = None, steps: int | None = None, retrace: bool = False
) -> float:
    """Return the seconds that a run is expected to take here; a retraced run costs twice as much.

    Raises ``BadRequest``. An estimate for a machine that does nothing else.
    """
    request = check_request(scenario, bodies=bodies, steps=steps)
    seconds = measure_speed().of_step(request.bodies) * request.steps
    return 2.0 * seconds if retrace else seconds


def chunk_steps(state: State, seconds: float) -> int:
    """Return how many steps take about ``seconds`` here; at least one."""
    return max(1, int(seconds / measure_speed().of_step(state.bodies)))


def _seconds_of_a_step(state: State, steps: int) -> float:
    advance(state, 1)
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        advance(state, steps)
        best = min(best, time.perf_counter() - begun)
    return best / steps
