"""N-body simulation on integers, verified at every step. NumPy and Numba; no Django, no database.

>>> from simulation import engine
>>> state = engine.prepare("kepler")
>>> engine.advance(state, 1000).violation is None
True
"""

from collections.abc import Iterable
from typing import Any

from simulation.engine.archive import Archive, list_snapshots, read_snapshot
from simulation.engine.bodies_csv import read_bodies, write_bodies
from simulation.engine.cost import (
    chunk_steps,
    estimate_cost_s,
    measure_speed,
    measure_speed_of_many,
)
from simulation.engine.custom import scenario_from_bodies, scenario_of_limits
from simulation.engine.errors import ArchiveDamaged, BadRequest, CheckpointDamaged, OutOfRange
from simulation.engine.forces.user import UserForce, galactic_tide, uniform_field
from simulation.engine.integrate import StepReport, advance, prove_by_retracing, retrace
from simulation.engine.integrators import INTEGRATORS
from simulation.engine.laws import Violation, live, series, summary, verdicts
from simulation.engine.outcome import Outcome, Progress, request_to_continue, run
from simulation.engine.promises import LAWS, promises
from simulation.engine.provenance import describe_run
from simulation.engine.real_state import RealState
from simulation.engine.requests import (
    ACCURACIES,
    COLLISIONS,
    FORCES,
    QUANTITIES,
    Fault,
    Request,
    check_fault,
    check_request,
)
from simulation.engine.run_state import RunState
from simulation.engine.scenarios import SCENARIOS, Bodies, Scenario
from simulation.engine.series import Series
from simulation.engine.starting import check_start, prepare_state
from simulation.engine.state import State, make_force

__all__ = [
    "ACCURACIES",
    "COLLISIONS",
    "FORCES",
    "INTEGRATORS",
    "LAWS",
    "QUANTITIES",
    "SCENARIOS",
    "Archive",
    "ArchiveDamaged",
    "BadRequest",
    "Bodies",
    "CheckpointDamaged",
    "Fault",
    "OutOfRange",
    "Outcome",
    "Progress",
    "RealState",
    "Request",
    "RunState",
    "Scenario",
    "Series",
    "State",
    "StepReport",
    "UserForce",
    "Violation",
    "advance",
    "check_fault",
    "check_request",
    "check_start",
    "chunk_steps",
    "describe_run",
    "estimate_cost_s",
    "galactic_tide",
    "list_snapshots",
    "live",
    "measure_speed",
    "measure_speed_of_many",
    "prepare",
    "promises",
    "prove_by_retracing",
    "read_bodies",
    "read_snapshot",
    "request_to_continue",
    "retrace",
    "run",
    "scenario_from_bodies",
    "scenario_of_limits",
    "series",
    "summary",
    "uniform_field",
    "verdicts",
    "write_bodies",
]


def prepare(
    scenario: str | Scenario,
    *,
    threads: int = 1,
    user_forces: Iterable[UserForce] = (),
    **options: Any,
) -> State:
    """Return the initial state of a scenario, checked against its limits (``BadRequest``).

    ``user_forces`` act beside gravity. ``options`` are those of ``check_request``; ``steps`` is how
    far the run is meant to go: a fault must lie within it. The results do not depend on
    ``threads``.
    """
    request = check_request(scenario, **options)
    return prepare_state(request, make_force(request, threads), user_forces)
