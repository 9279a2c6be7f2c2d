# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Direct summation in tiles: pairs of blocks of bodies, each computed in both directions.

Whoever computes the tile (A, B) computes the kicks of A by B and those of B by A. Pair by pair
these are opposite integers, so what any set of tiles adds to the momentum of the bodies with mass
is exactly zero: a rank whose sum is not has computed wrongly, and shows it alone, before anybody
uses its numbers. The kicks are those of ``forces.direct``, bit for bit, and integer sums do not
depend on order: any way of dealing out tiles gives the same result.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma, kernel


@kernel
def add_rows(
    x, sink, source, softening2, per_charge, pair_bits, first, last, begin, end, partial, ledger
):
    """Add kicks and potentials of the bodies first <= i < last by begin <= j < end, in quanta.

    ``x`` (3, N), ``sink`` and ``source`` (N,) float64, see ``forces.Kick``; ``partial`` (4, N)
    int64: kicks and potential, added to. ``ledger`` (1,) int64: the potentials' sum, added to on
    its own. Returns True when every pair lay below 2^pair_bits quanta. A body does not act on
    itself.
    """
    seen = nb.int64(0)
    # Counting from 0: with any other start a check for negative indices stays in the loop (14 %).
    many = end - begin
    other_x, other_y, other_z = x[0, begin:end], x[1, begin:end], x[2, begin:end]
    other_source = source[begin:end]
    for i in range(first, last):
        sx = nb.int64(0)
        sy = nb.int64(0)
        sz = nb.int64(0)
        su = nb.int64(0)
        xi = x[0, i]
        yi = x[1, i]
        zi = x[2, i]
        ci = sink[i]
        itself = i - begin if begin <= i < end else many
        for part in range(2):
            for j in range(itself + 1 if part else 0, many if part else itself):
                dx = other_x[j] - xi
                dy = other_y[j] - yi
                dz = other_z[j] - zi
                r2 = fma(dx, dx, fma(dy, dy, fma(dz, dz, softening2)))
                cc = ci * other_source[j]
                inverse = 1.0 / np.sqrt(r2)
                inverse2 = inverse * inverse
                u = cc * inverse
                w = u * inverse2
                sx += bits_of(fma(w, dx, ROUNDER))
                sy += bits_of(fma(w, dy, ROUNDER))
                sz += bits_of(fma(w, dz, ROUNDER))
                ub = bits_of(fma(u, per_charge, ROUNDER))
                su += ub
                # See ``forces.direct.pair_kicks``: the largest power of two reached.
                seen |= ub | bits_of(fma(cc, inverse2, ROUNDER))
        rounders = nb.int64(ROUNDER_BITS) * nb.int64(many if itself == many else many - 1)
        partial[0, i] += sx - rounders
        partial[1, i] += sy - rounders
        partial[2, i] += sz - rounders
        partial[3, i] += su - rounders
        ledger[0] += su - rounders
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


@kernel
def add_tiles(x, sink, source, softening2, per_charge, pair_bits, tiles, partial, ledger):
    """Add both directions of ``tiles`` (T, 4) int64: the bounds of block A, then of block B.

    See ``add_rows``. Cost: 20 operations for each of the |A| |B| pairs, in each direction.
    """
    within = True
    for t in range(tiles.shape[0]):
        a, b, c, d = tiles[t, 0], tiles[t, 1], tiles[t, 2], tiles[t, 3]
        within &= add_rows(
            x, sink, source, softening2, per_charge, pair_bits, a, b, c, d, partial, ledger
        )
        if a != c:
            within &= add_rows(
                x, sink, source, softening2, per_charge, pair_bits, c, d, a, b, partial, ledger
            )
    return within


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
