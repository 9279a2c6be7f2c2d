# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Direct summation: every pair, rounded to integers, on any number of threads.

x_j - x_i is exactly -(x_i - x_j), r^2 and the product of charges are identical from both sides, and
rounding is odd: k_ji = -k_ij bit for bit. Integer sums do not depend on order, so pairs may be
shared out among threads in any way, and all kicks of bodies with mass sum to zero exactly.
"""

from __future__ import annotations

import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER_BITS, kernel
from simulation.engine.forces import Evaluation, Kick
from simulation.engine.forces.pairs import pair_kick
from simulation.engine.forces.tiles import add_tiles

T = TypeVar("T")
# Below this many pairs a thread more costs more than it saves (measured: 0.1 ms to hand over).
_PAIRS_OF_A_THREAD = 200_000
# Fewer bodies than this are summed pair by pair: their steps are taken inside one kernel, which
# would take twice as long to compile with the other way in it.
FEW = 256


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
                kx, ky, kz, u, bits = pair_kick(
                    x[0, j] - xi,
                    x[1, j] - yi,
                    x[2, j] - zi,
                    ci * source[j],
                    softening2,
                    potential_per_charge,
                )
                sx += kx
                sy += ky
                sz += kz
                su += u
                seen |= bits
        rounders = nb.int64(ROUNDER_BITS) * nb.int64(n - 1)
        k_q[0, i] = sx - rounders
        k_q[1, i] = sy - rounders
        k_q[2, i] = sz - rounders
        u_q[i] = su - rounders
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


class PairSummation(ABC):
    """A sum over all pairs, O(N^2), each computed once, whose tiles are shared out among
    ``threads``.
    """

    def __init__(self, threads: int = 1) -> None:
        """Take the number of threads; they are started when there is work for them."""
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None

    @abstractmethod
    def add_tiles(
        self, x: np.ndarray, kick: Kick, tiles: np.ndarray, total: np.ndarray, ledger: np.ndarray
    ) -> bool:
        """Add kicks and potentials of tiles (T, 4) to ``total`` (4, N), and the potentials' sum to
        ``ledger`` (1,); return whether all were in range. See ``tiles.add_tiles``.
        """

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,); see ``Force``."""
        begun, n = time.perf_counter(), kick.sink.size
        threads = self._threads_for(n)
        tiles = _cut_into_tiles(n, threads)

        def add(share: np.ndarray) -> tuple[bool, np.ndarray]:
            total = np.zeros((4, n), np.int64)
            return self.add_tiles(x, kick, share, total, np.zeros(1, np.int64)), total

        shares = [np.ascontiguousarray(tiles[t::threads]) for t in range(threads)]
        done = self._share_out([partial(add, share) for share in shares])
        total = sum((own for _, own in done[1:]), done[0][1])
        k_q[:], u_q[:] = total[:3], total[3]
        return Evaluation(
            all(within for within, _ in done), timings_s={"near": time.perf_counter() - begun}
        )

    def rows(
        self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray, first: int, last: int
    ) -> bool:
        """Write the kicks of the bodies first <= i < last; return whether all were in range."""
        n = kick.sink.size
        total = np.zeros((4, n), np.int64)
        tiles = [[first, last, 0, first], [first, last, first, last], [first, last, last, n]]
        within = self.add_tiles(x, kick, np.array(tiles), total, np.zeros(1, np.int64))
        k_q[:, first:last], u_q[first:last] = total[:3, first:last], total[3, first:last]
        return within

    def _threads_for(self, bodies: int) -> int:
        return max(1, min(self.threads, bodies * bodies // _PAIRS_OF_A_THREAD))

    def _share_out(self, work: list[Callable[[], T]]) -> list[T]:
        if len(work) == 1:
            return [work[0]()]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="direct")
        return [task.result() for task in [self._pool.submit(some) for some in work]]


class DirectSummation(PairSummation):
    """The exact sum over all pairs in open space."""

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,); see ``Force``."""
        if kick.sink.size >= FEW:
            return super().evaluate(x, kick, k_q, u_q)
        begun = time.perf_counter()
        within = self.rows(x, kick, k_q, u_q, 0, kick.sink.size)
        return Evaluation(within, timings_s={"near": time.perf_counter() - begun})

    def add_tiles(
        self, x: np.ndarray, kick: Kick, tiles: np.ndarray, total: np.ndarray, ledger: np.ndarray
    ) -> bool:
        """Add tiles; see ``PairSummation``."""
        given = (x, kick.sink, kick.source, kick.softening2, kick.potential_per_charge)
        return bool(add_tiles(*given, kick.pair_bits, tiles, total, ledger))

    def rows(
        self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray, first: int, last: int
    ) -> bool:
        """Write the kicks of the bodies first <= i < last; return whether all were in range."""
        given = (x, kick.sink, kick.source, kick.softening2, kick.potential_per_charge)
        return bool(pair_kicks(*given, kick.pair_bits, first, last, k_q, u_q))


def _cut_into_tiles(bodies: int, threads: int) -> np.ndarray:
    """Return pairs of blocks (T, 4), some for each thread; see ``tiles.add_tiles``."""
    blocks = 1 if threads == 1 else 4 * threads
    spans = list(itertools.pairwise(bodies * block // blocks for block in range(blocks + 1)))
    pairs = itertools.combinations_with_replacement(spans, 2)
    return np.array([[*a, *b] for a, b in pairs], np.int64)
