"""What a run costs, and how much proof of lost information it can afford. No database.

Each stretch of steps may be run backwards at once and compared bit for bit (cost x 2), and a whole
run again at its end (x 3), which gives the digest that an auditor compares with the start's.
Stretches that each map back to their own start make the whole a bijection, so the longer runs lose
no certainty by leaving out the last pass; the longest retrace one stretch in ten and say so. An
integrator that rounds has no way back: its runs prove nothing about information, and say so too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simulation import engine
from simulation.models import Run

WHOLE_S_MAX = 60.0
STRETCHES_S_MAX = 600.0
SAMPLE_EVERY = 10
_COST = {
    Run.Proof.WHOLE: 3.0,
    Run.Proof.STRETCHES: 2.0,
    Run.Proof.SAMPLES: 1.0 + 1.0 / SAMPLE_EVERY,
    Run.Proof.NONE: 1.0,
}


@dataclass(frozen=True)
class Cost:
    """How long a run is expected to take here, its proof included; which proof; and how long one
    step takes, without it.
    """

    total_s: float
    proof: Run.Proof
    step_s: float


def estimate_cost(request: engine.Request) -> Cost:
    """Return what a checked request costs on this machine."""
    forward_s = engine.estimate_cost_s(request)
    if not is_reversible(request.scenario, request.integrator):
        proof = Run.Proof.NONE
    elif forward_s <= WHOLE_S_MAX:
        proof = Run.Proof.WHOLE
    elif forward_s <= STRETCHES_S_MAX:
        proof = Run.Proof.STRETCHES
    else:
        proof = Run.Proof.SAMPLES
    return Cost(_COST[proof] * forward_s, proof, forward_s / request.steps)


def is_measured() -> bool:
    """Return whether this process knows the machine's speed.

    The first to ask waits until a few steps are timed, and on a new machine until they are
    compiled.
    """
    return engine.measure_speed.cache_info().currsize > 0


@cache
def is_reversible(scenario: str, integrator: str) -> bool:
    """Return whether an integrator's steps can be run backwards bit for bit.

    The states of an integrator know it: a state of the scenario's fewest bodies is asked.
    """
    known = engine.SCENARIOS[scenario]
    bodies = None if known.is_fixed else known.bodies_min
    return engine.prepare(scenario, bodies=bodies, integrator=integrator).is_reversible
