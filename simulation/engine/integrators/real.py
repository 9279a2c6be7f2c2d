"""The integrators on doubles, one file and one signature each: Wisdom-Holman, SABA, IAS15.

Not reversible to the bit, but accurate far beyond their order on integers. Each file has ``start``,
``advance``, ``read`` and ``output``; see ``wisdom_holman``.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from simulation.engine.errors import BadRequest
from simulation.engine.integrators import ias15, planetary, saba, wisdom_holman

# The central body's mass over that of all others together: each order in their ratio e is then at
# most a tenth of the one before, in the method and in the bounds of its laws.
DOMINANCE = 10.0
# Every step sums over all pairs of bodies.
BODIES_MAX = 4096


@dataclass(frozen=True)
class RealMethod:
    """An integrator on doubles. ``stages``: pair sums of a step (of a substep: IAS15)."""

    name: str
    title: str
    order: int
    stages: int
    kernels: ModuleType
    is_planetary: bool

    def check(self, mass: np.ndarray, softening_tu: float) -> None:
        """Raise ``BadRequest`` for bodies that this integrator is not made for."""
        self.check_size(mass.size)
        if not self.is_planetary:
            return
        if softening_tu > 0.0:
            raise BadRequest(
                f"The integrator {self.name} moves bodies on Kepler orbits, which know no "
                "softening; ask for a softening of 0."
            )
        heaviest = float(np.max(mass))
        if not heaviest >= DOMINANCE * (float(np.sum(mass)) - heaviest):
            raise BadRequest(
                f"The integrator {self.name} is for planets: one body must have at least "
                f"{DOMINANCE:g} times the mass of all others together. Ask for ias15."
            )

    def check_size(self, bodies: int) -> None:
        """Raise ``BadRequest`` for more bodies than all pairs of which are summed."""
        if bodies > BODIES_MAX:
            raise BadRequest(
                f"The integrator {self.name} takes up to {BODIES_MAX} bodies, not {bodies}."
            )

    def order_of(self, mass: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Return the order in which the state holds the bodies: from the heaviest outwards."""
        if not self.is_planetary:
            return np.arange(mass.size)
        away = position - position[int(np.argmax(mass))]
        return np.argsort(np.sum(away * away, axis=1), kind="stable")

    def weights(self, history: np.ndarray) -> np.ndarray:
        """Return how H_I's history corrects and bounds the energy; see ``planetary``."""
        if self.kernels is wisdom_holman:
            return planetary.correcting_weights(wisdom_holman.FIRST_ORDER, history)
        if self.kernels is saba:
            return planetary.bounding_weights(saba.FIRST_ORDER)
        return np.zeros((2, planetary.MEMORY))


WISDOM_HOLMAN = RealMethod(
    "wisdom_holman",
    "Wisdom-Holman, corrector of order 17, modified kick, doubles",
    2,
    2,
    wisdom_holman,
    True,
)
SABA = RealMethod("saba", "SABA(10,6,4), doubles", 10, 9, saba, True)
IAS15 = RealMethod(
    "ias15", "IAS15, adaptive Gauss-Radau of order 15, doubles", 15, 15, ias15, False
)

REAL_METHODS = {method.name: method for method in (WISDOM_HOLMAN, SABA, IAS15)}
