"""N-body simulation on integers, verified at every step. NumPy and Numba; no Django, no database.

>>> from simulation import engine
>>> state = engine.prepare("kepler")
>>> engine.advance(state, 1000).violation is None
True
"""

from simulation.engine.cost import chunk_steps, estimate_cost_s, measure_speed
from simulation.engine.errors import BadRequest, CheckpointDamaged, OutOfRange
from simulation.engine.integrate import StepReport, advance, prove_by_retracing, retrace
from simulation.engine.laws import LAWS, Violation, live, series, summary, verdicts
from simulation.engine.outcome import INTEGRATOR, Outcome, Progress, run
from simulation.engine.requests import QUANTITIES, Fault, Request, check_fault, check_request
from simulation.engine.scenarios import SCENARIOS, Scenario
from simulation.engine.series import Series
from simulation.engine.state import State, prepare_state

__all__ = [
    "INTEGRATOR",
    "LAWS",
    "QUANTITIES",
    "SCENARIOS",
    "BadRequest",
    "CheckpointDamaged",
    "Fault",
    "OutOfRange",
    "Outcome",
    "Progress",
    "Request",
    "Scenario",
    "Series",
    "State",
    "StepReport",
    "Violation",
    "advance",
    "check_fault",
    "check_request",
    "chunk_steps",
    "estimate_cost_s",
    "live",
    "measure_speed",
    "prepare",
    "prove_by_retracing",
    "retrace",
    "run",
    "series",
    "summary",
    "verdicts",
]


def prepare(
    scenario: str,
    *,
    bodies: int | None = None,
    dt_tu: float | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> State:
    """Return the initial state of a scenario, checked against its limits (``BadRequest``).

    ``steps`` is how far the run is meant to go: a fault must lie within it.
    """
    return prepare_state(
        check_request(scenario, bodies=bodies, dt_tu=dt_tu, steps=steps, seed=seed)
    )
