"""What a run costs, and how much proof of lost information it can afford. No database.

Each stretch of steps may be run backwards at once and compared bit for bit (cost x 2), and a whole
run again at its end (x 3), which gives the digest that an auditor compares with the start's.
Stretches that each map back to their own start make the whole a bijection, so the longer runs lose
no certainty by leaving out the last pass; the longest retrace one stretch in ten and say so. An
integrator that rounds and a collision have no way back: their runs prove nothing about information,
and say so too.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from simulation import engine
from simulation.engine.cost import Speed, measure_multipole, measure_periodic_s
from simulation.models import Run

WHOLE_S_MAX = 60.0
STRETCHES_S_MAX = 600.0
SAMPLE_EVERY = 10
# Bodies from which a run is shared out among processes, where the settings ask for it.
BODIES_SHARED_MIN = 2048
_COST = {
    Run.Proof.WHOLE: 3.0,
    Run.Proof.STRETCHES: 2.0,
    Run.Proof.SAMPLES: 1.0 + 1.0 / SAMPLE_EVERY,
    Run.Proof.NONE: 1.0,
}


# A slow machine, for a web server that has not timed its own yet: a run's proof is then chosen too
# short rather than too long. Seconds of a step, of a pair; of a body by the multipole method.
ASSUMED = Speed(step_s=2e-5, interaction_s=1e-8)
ASSUMED_MULTIPOLE_S = 2e-5
ASSUMED_PERIODIC_S = 1e-6
# A kind of force: an accuracy of the multipole method, a periodic box, or None, direct summation.
ForceKind = float | str | None
PERIODIC = "periodic"
# Those that this process has timed.
_measured: set[ForceKind] = set()


@dataclass(frozen=True)
class Cost:
    """How long a run is expected to take here, its proof included; which proof; and how long one
    step takes, without it.
    """

    total_s: float
    proof: Run.Proof
    step_s: float


def processes_of(request: engine.Request, workers: int | None) -> int:
    """Return how many processes share a run's forces: as many as it asks for, or the settings.

    Small runs are faster on one.
    """
    if request.runs_on_one_process:
        return 1
    if workers is None:
        return settings.AII_RUN_WORKERS if request.bodies >= BODIES_SHARED_MIN else 1
    return workers


def estimate_cost(request: engine.Request, workers: int | None = None) -> Cost:
    """Return what a checked request costs on this machine, on so many ``workers``.

    A web server never times it while somebody waits (see ``warm_up``): before it has, a slow
    machine is assumed.
    """
    if is_measured(request) or settings.AII_PROCESS != "web":
        processes = processes_of(request, workers)
        forward_s = engine.estimate_cost_s(request, workers=processes)
    else:
        forward_s = _assumed_s(request)
    if not request.is_reversible:
        proof = Run.Proof.NONE
    elif forward_s <= WHOLE_S_MAX:
        proof = Run.Proof.WHOLE
    elif forward_s <= STRETCHES_S_MAX:
        proof = Run.Proof.STRETCHES
    else:
        proof = Run.Proof.SAMPLES
    return Cost(_COST[proof] * forward_s, proof, forward_s / request.steps)


def _assumed_s(request: engine.Request) -> float:
    if request.accuracy is not None:
        return ASSUMED_MULTIPOLE_S * request.bodies * request.steps
    if request.box is not None:
        return ASSUMED_PERIODIC_S * request.bodies**2 * request.evaluations * request.steps
    return ASSUMED.of_step(request.bodies, request.evaluations) * request.steps


def is_measured(request: engine.Request) -> bool:
    """Return whether this process has timed what the request's estimate follows from."""
    return (PERIODIC if request.box is not None else request.accuracy) in _measured


def measure(kind: ForceKind) -> None:
    """Time a kind of force on this machine."""
    if kind is None:
        engine.measure_speed()
        engine.measure_speed_of_many()
    elif isinstance(kind, str):
        measure_periodic_s()
    else:
        measure_multipole(kind)
    _measured.add(kind)
