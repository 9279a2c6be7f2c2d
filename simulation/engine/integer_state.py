"""The integers of a run as they stand: what they are in physical units, and their digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np

from conservation import exact_sum
from simulation.engine.boundaries import box_exponent
from simulation.engine.collisions import HEAVIER
from simulation.engine.grid import Grid, choose_grid
from simulation.engine.integrators import INTEGRATORS
from simulation.engine.requests import Request
from simulation.engine.run_state import RunState


class IntegerState(RunState):
    """Positions and momenta as (3, N) int64 on a grid; ``State`` moves and verifies them.

    ``inertia`` (N,) are the masses by which momenta are counted, ``radius_q`` (N,) int64 the radii
    of bodies that collide.
    """

    grid: Grid
    x_q: np.ndarray
    p_q: np.ndarray
    inertia: np.ndarray
    radius_q: np.ndarray

    @property
    def is_reversible(self) -> bool:
        """Whether each step adds functions of what it does not change: yes, but collisions."""
        return self.request.collisions is None

    @property
    def momentum_unit_tu(self) -> float:
        """The momentum quantum."""
        return self.grid.momentum_quantum

    def momentum_q(self) -> tuple[int, int, int]:
        """Return the exact total momentum in quanta."""
        x, y, z = (exact_sum(component) for component in self.p_q[:, self.mass > 0.0])
        return x, y, z

    def integer_positions(self) -> np.ndarray:
        """Return the positions (N, 3) int64 in quanta."""
        return np.ascontiguousarray(self.x_q.T)

    def integer_momenta(self) -> np.ndarray:
        """Return the momenta (N, 3) int64 in quanta."""
        return np.ascontiguousarray(self.p_q.T)

    def positions_tu(self) -> np.ndarray:
        """Return the positions (N, 3) in N-body units."""
        return self.integer_positions() * self.grid.length_quantum

    def velocities_tu(self) -> np.ndarray:
        """Return the velocities (N, 3) in N-body units."""
        return self.integer_momenta() * self.grid.momentum_quantum / self.inertia[:, None]

    def radii_tu(self) -> np.ndarray | None:
        """Return the radii (N,) in N-body units; None without collisions."""
        if self.request.collisions is None:
            return None
        return self.radius_q * self.grid.length_quantum

    def digest(self) -> str:
        """Return the SHA-256 of masses, grid, positions and momenta: equal states, equal digests.

        Little-endian, body by body; the step and the time are no part of it, so that a run which
        came back to its start shows the start's digest.
        """
        grid = [self.grid.length_exponent, self.grid.momentum_exponent]
        head = json.dumps({"format": "aii-state-1", "bodies": self.bodies, "grid": grid})
        found = hashlib.sha256(head.encode("ascii") + b"\n")
        found.update(self.mass.astype("<f8").tobytes())
        found.update(self.integer_positions().astype("<i8").tobytes())
        found.update(self.integer_momenta().astype("<i8").tobytes())
        return found.hexdigest()


def grid_of(request: Request) -> Grid:
    """Return the integer grid of a request."""
    weight = INTEGRATORS[request.integrator].largest_kick
    heavier = HEAVIER if request.collisions == "merge" else 1.0
    grid = choose_grid(request.definition, request.bodies, request.softening_tu, weight, heavier)
    if request.box is not None:
        grid = replace(grid, length_exponent=box_exponent(request.box))
    return grid


def inertia_of(mass: np.ndarray) -> np.ndarray:
    """Return the masses (N,) by which momenta are counted in quanta.

    A test particle has the second heaviest body's: none but the heaviest would ask for a coarser
    grid than the bodies do.
    """
    heavy = np.sort(mass[mass > 0.0])[-2:]
    return np.where(mass > 0.0, mass, heavy[0])
