"""What a run costs, and how much proof of lost information it can afford. No database.

Each stretch of steps may be run backwards at once and compared bit for bit (cost x 2), and a whole
run again at its end (x 3), which gives the digest that an auditor compares with the start's.
Stretches that each map back to their own start make the whole a bijection, so the longer runs lose
no certainty by leaving out the last pass; the longest retrace one stretch in ten and say so.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulation import engine
from simulation.models import Run

WHOLE_S_MAX = 60.0
STRETCHES_S_MAX = 600.0
SAMPLE_EVERY = 10
_COST = {
    Run.Proof.WHOLE: 3.0,
    Run.Proof.STRETCHES: 2.0,
    Run.Proof.SAMPLES: 1.0 + 1.0 / SAMPLE_EVERY,
}


@dataclass(frozen=True)
class Cost:
    """How long a run is expected to take here, its proof included, and which proof that is."""

    total_s: float
    proof: Run.Proof


def estimate_cost(request: engine.Request) -> Cost:
    """Return what a checked request costs on this machine."""
    forward_s = engine.estimate_cost_s(request)
    if forward_s <= WHOLE_S_MAX:
        proof = Run.Proof.WHOLE
    elif forward_s <= STRETCHES_S_MAX:
        proof = Run.Proof.STRETCHES
    else:
        proof = Run.Proof.SAMPLES
    return Cost(_COST[proof] * forward_s, proof)
