"""What the fast multipole method offers: an accuracy, and what it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Below this many bodies everything is summed directly: the tree would save nothing.
_BODIES_MIN = 2048
_BODIES_OF_DELTA = 20_000


@dataclass(frozen=True)
class Preset:
    """What keeps the rms relative error of the forces below an accuracy.

    ``order`` of the expansions; ``delta`` of the acceptance (``traversal``) for 20 000 bodies; more
    bodies divide the error among more cells, so that it grows with their root (the rms error then
    stays level from 2 048 to a million bodies: 0.3 to 0.98 of the accuracy, p99 about 3 times the
    rms). Cells are never expanded where the sum of their radii is over ``opening`` of their
    distance; a leaf is at most ``widest`` of its distance from the bulk wide and holds at most
    ``leaf_size`` bodies; two leaves of at most ``direct`` pairs are always summed directly.
    """

    order: int
    delta: float
    opening: float
    widest: float
    leaf_size: int
    direct: int

    def delta_of(self, bodies: int) -> float:
        """Return delta for a number of bodies; 0, all of them directly, for few."""
        if bodies < _BODIES_MIN:
            return 0.0
        return self.delta * math.sqrt(bodies / _BODIES_OF_DELTA)


PRESETS: dict[float, Preset] = {
    1e-3: Preset(order=5, delta=0.25, opening=0.8, widest=0.2, leaf_size=64, direct=96),
    1e-4: Preset(order=7, delta=0.035, opening=0.75, widest=0.2, leaf_size=128, direct=64),
    1e-5: Preset(order=7, delta=0.0008, opening=0.55, widest=0.15, leaf_size=64, direct=128),
}
