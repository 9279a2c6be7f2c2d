"""The integer grid of a run: power-of-two quanta, chosen from what the scenario must hold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulation.engine.scenarios import Scenario

_POSITION_BITS = 52
_MOMENTUM_BITS = 62
# One bit below the 51 that the rounding constant allows: cc / r^2 may round above the true bound.
_PAIR_BITS_MAX = 50


@dataclass(frozen=True)
class Grid:
    """Quanta 2^length_exponent and 2^momentum_exponent (N-body units), and the range of a pair.

    A pair's kick, and its potential in quanta of 2^potential_exponent, stay below 2^pair_bits. Then
    N of them stay below 2^62.
    """

    length_exponent: int
    momentum_exponent: int
    potential_exponent: int
    pair_bits: int

    @property
    def length_quantum(self) -> float:
        """The quantum of a coordinate in length units."""
        return math.ldexp(1.0, self.length_exponent)

    @property
    def momentum_quantum(self) -> float:
        """The quantum of a momentum component in N-body units."""
        return math.ldexp(1.0, self.momentum_exponent)

    @property
    def potential_quantum(self) -> float:
        """The quantum of a pair's potential in N-body units."""
        return math.ldexp(1.0, self.potential_exponent)


def choose_grid(
    scenario: Scenario,
    bodies: int,
    softening_tu: float,
    largest_kick_weight: float,
    heavier: float = 1.0,
) -> Grid:
    """Return the finest grid that holds the scenario's reach.

    ``largest_kick_weight`` is the integrator's, in units of the step. The grid does not depend on
    the step, so that one initial state has one digest for every step. ``heavier`` is how far the
    masses of a pair may grow, by their product, and a body's momentum.
    """
    reach = scenario.reach(bodies, softening_tu)
    pair_bits = min(_PAIR_BITS_MAX, _MOMENTUM_BITS - math.ceil(math.log2(bodies)))
    largest_kick = reach.pair_force * heavier * scenario.dt_tu_max * largest_kick_weight
    return Grid(
        length_exponent=_bits_above(reach.length) - _POSITION_BITS,
        momentum_exponent=max(
            _bits_above(reach.momentum * heavier) - _MOMENTUM_BITS,
            _bits_above(largest_kick) - pair_bits,
        ),
        potential_exponent=_bits_above(reach.pair_potential * heavier) - pair_bits,
        pair_bits=pair_bits,
    )


def quantise(values: np.ndarray, exponent: int) -> np.ndarray:
    """Round float64 values to int64 quanta of 2^exponent; an (N, 3) array comes back as (3, N)."""
    return np.ascontiguousarray(np.rint(np.ldexp(values, -exponent)).astype(np.int64).T)


def _bits_above(value: float) -> int:
    return math.ceil(math.log2(value))
