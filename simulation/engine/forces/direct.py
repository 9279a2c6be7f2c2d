# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Direct summation: every pair, both sides, rounded to integers, on any number of threads.

x_j - x_i is exactly -(x_i - x_j), r^2 and the product of charges are identical on both sides, and
rounding is odd: k_ji = -k_ij bit for bit. Integer sums do not depend on order, so rows may be
shared out among threads in any way, and all kicks of bodies with mass sum to zero exactly.
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma, kernel
from simulation.engine.forces import Evaluation, Kick

# Below this many pairs a thread more costs more than it saves (measured: 0.1 ms to hand over).
_PAIRS_OF_A_THREAD = 200_000


@kernel
def pair_kicks(x, sink, source, softening2, potential_per_charge, pair_bits, first, last, k_q, u_q):
    """Write the kicks (3, N) and potentials (N,) of the bodies first <= i < last, in quanta.

    ``x`` (3, N) float64 positions in length units; ``sink``, ``source`` (N,), see ``Kick``. Returns
    True when every pair lay below 2^pair_bits quanta. 20 operations a pair; the body itself is left
    out by splitting the loop, so that a softening of zero is allowed.
    """
    n = sink.size
    seen = nb.int64(0)
    for i in range(first, last):
        sx = nb.int64(0)
        sy = nb.int64(0)
        sz = nb.int64(0)
        su = nb.int64(0)
        xi = x[0, i]
        yi = x[1, i]
        zi = x[2, i]
        ci = sink[i]
        for part in range(2):
            for j in range(i + 1 if part else 0, n if part else i):
                dx = x[0, j] - xi
                dy = x[1, j] - yi
                dz = x[2, j] - zi
                r2 = fma(dx, dx, fma(dy, dy, fma(dz, dz, softening2)))
                cc = ci * source[j]
                inverse = 1.0 / np.sqrt(r2)
                inverse2 = inverse * inverse
                u = cc * inverse
                w = u * inverse2
                sx += bits_of(fma(w, dx, ROUNDER))
                sy += bits_of(fma(w, dy, ROUNDER))
                sz += bits_of(fma(w, dz, ROUNDER))
                ub = bits_of(fma(u, potential_per_charge, ROUNDER))
                su += ub
                # cc / r^2 is at least each component of the kick. Both numbers are positive, so the
                # OR of their bits shows the largest power of two reached, infinity and NaN
                # included.
                seen |= ub | bits_of(fma(cc, inverse2, ROUNDER))
        rounders = nb.int64(ROUNDER_BITS) * nb.int64(n - 1)
        k_q[0, i] = sx - rounders
        k_q[1, i] = sy - rounders
        k_q[2, i] = sz - rounders
        u_q[i] = su - rounders
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


class DirectSummation:
    """The exact sum over all pairs, O(N^2), rows shared out among ``threads``."""

    def __init__(self, threads: int = 1) -> None:
        """Take the number of threads; they are started when there is work for them."""
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,); see ``Force``."""
        begun = time.perf_counter()
        n = kick.sink.size
        threads = max(1, min(self.threads, n * n // _PAIRS_OF_A_THREAD))
        cuts = [n * share // threads for share in range(threads + 1)]
        rows = itertools.pairwise(cuts)
        if threads == 1:
            within = [self.rows(x, kick, k_q, u_q, 0, n)]
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="direct")
            tasks = [self._pool.submit(self.rows, x, kick, k_q, u_q, a, b) for a, b in rows]
            within = [task.result() for task in tasks]
        return Evaluation(all(within), timings_s={"near": time.perf_counter() - begun})

    def rows(
        self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray, first: int, last: int
    ) -> bool:
        """Write the kicks of the bodies first <= i < last; return whether all were in range."""
        return bool(
            pair_kicks(
                x,
                kick.sink,
                kick.source,
                kick.softening2,
                kick.potential_per_charge,
                kick.pair_bits,
                first,
                last,
                k_q,
                u_q,
            )
        )
