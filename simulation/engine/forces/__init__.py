"""Forces as integer kicks: what every way of summing them is given, and what it answers.

Direct summation is ``forces.direct``; the fast multipole method is the package ``fmm``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Kick:
    """How hard pairs kick: the numbers of one kick coefficient of an integrator.

    Body i is kicked by j with rint(sink_i source_j (x_j - x_i) / (r^2 + softening2)^1.5) quanta a
    component. A body with mass has sink == source, so that the product commutes and both kicks of a
    pair are opposite; a test particle has source 0. ``sink``, ``source``: (N,) float64. The pair's
    potential is rint(sink_i source_j / r * potential_per_charge); with 0 none is asked for, which
    makes direct summation faster. Each pair must stay below 2^pair_bits quanta.
    """

    sink: np.ndarray
    source: np.ndarray
    softening2: float
    potential_per_charge: float
    pair_bits: int


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation reports: whether every pair lay within its range, and what it cost.

    ``residual_q`` is what the rounding of a far field left of the total kick before it was returned
    (0 for direct summation); ``timings_s`` are seconds a stage.
    """

    within: bool
    residual_q: tuple[int, int, int] = (0, 0, 0)
    timings_s: dict[str, float] = field(default_factory=dict)


class Force(Protocol):
    """Anything that sums forces. The kicks of bodies with mass sum to exactly zero."""

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,), int64 quanta, of bodies at x (3, N) float64."""
        ...
