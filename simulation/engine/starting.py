"""The first state of a run: the scenario's bodies on the integer grid, or as doubles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from simulation.engine.boundaries import check_within
from simulation.engine.collisions import masses_for
from simulation.engine.errors import BadRequest
from simulation.engine.forces import Force
from simulation.engine.forces.user import UserForce
from simulation.engine.grid import quantise
from simulation.engine.integer_state import grid_of, inertia_of
from simulation.engine.integrators import REAL_METHODS
from simulation.engine.requests import Request
from simulation.engine.state import State


def prepare_state(
    request: Request, force: Force | None = None, user_forces: Iterable[UserForce] = ()
) -> State:
    """Build the scenario's initial state on its integer grid. Raises ``OutOfRange``.

    For an integrator on doubles it is a ``RealState``, which takes steps by the same calls.
    """
    if request.integrator in REAL_METHODS:
        return _prepare_doubles(request, user_forces)
    bodies = request.definition.build(request.bodies, request.seed)
    check_within(request, bodies.position)
    grid = grid_of(request)
    mass = masses_for(request, bodies.mass)
    inertia = inertia_of(mass)
    return State(
        request,
        bodies.names,
        mass,
        quantise(bodies.position, grid.length_exponent),
        quantise(inertia[:, None] * bodies.velocity, grid.momentum_exponent),
        force,
        user_forces,
    )


def check_start(request: Request) -> None:
    """Hold the bodies that a request starts from to its method and its box; raise ``BadRequest``.

    For a custom scenario, of which ``check_request`` knows the limits alone.
    """
    bodies = request.definition.build(request.bodies, request.seed)
    check_within(request, bodies.position)
    if request.integrator in REAL_METHODS:
        REAL_METHODS[request.integrator].check(bodies.mass, request.softening_tu)


def _prepare_doubles(request: Request, user_forces: Iterable[UserForce]) -> Any:
    from simulation.engine.real_state import prepare_real_state

    if tuple(user_forces):
        raise BadRequest(
            f"The integrator {request.integrator} knows gravity alone; forces of your own go with "
            "leapfrog and yoshida4, 6, 8."
        )
    return prepare_real_state(request)
