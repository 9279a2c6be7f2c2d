# mypy: disable-error-code="no-untyped-def"
"""What a rank's partial sum amounts to: zero, or it has added wrongly."""

from __future__ import annotations

import numba as nb

from simulation.engine.arithmetic import kernel


@kernel
def imbalance(partial, source, sums):
    """Write what the kicks of the bodies with mass sum to, modulo 2^64, into ``sums`` (3,) int64,
    and the potentials of all bodies into its fourth place.
    """
    for a in range(4):
        total = nb.int64(0)
        for i in range(source.size):
            if a == 3 or source[i] > 0.0:
                total += partial[a, i]
        sums[a] = total
