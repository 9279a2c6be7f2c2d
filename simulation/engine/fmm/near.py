# mypy: disable-error-code="no-untyped-def"
"""The near field: exact fixed-point pair kicks between the bodies of neighbouring leaves."""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma, kernel

# Bodies of one turn of the vectorised loop, and where those are put that fill it up: outside every
# box, so that none is at a sink's place.
_WIDTH = 16
_AWAY = 2.0**500


@kernel
def gather(c, first, last, offset, sources, x, source, near):
    """Copy the bodies that act on a leaf to ``near`` (4, room): places and sources.

    Returns where its own bodies begin, -1 for none, and how many there are; bodies without charge
    fill the last vector, so that no loop has a remainder.
    """
    own, many = -1, 0
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        if b == c:
            own = many
        for j in range(first[b], last[b]):
            near[0, many], near[1, many], near[2, many] = x[0, j], x[1, j], x[2, j]
            near[3, many] = source[j]
            many += 1
    while many % _WIDTH:
        near[0, many], near[1, many], near[2, many], near[3, many] = _AWAY, 0.0, 0.0, 0.0
        many += 1
    return own, many


@kernel
def near_kicks(
    begin,
    end,
    leaves,
    first,
    last,
    offset,
    sources,
    x,
    sink,
    source,
    softening2,
    potential_per_charge,
    pair_bits,
    k_q,
    u_q,
):
    """Write kicks and potentials of the leaves begin <= at < end from their lists; see
    ``forces.direct.pair_kicks``, whose integers these are.

    All in Morton order. The sources of a leaf are gathered first, so that one loop runs over all of
    them. Returns True when every pair lay within its range.
    """
    seen = nb.int64(0)
    # One allocation: arrays that are replaced inside a loop cost a reference count at each use.
    room = 0
    for at in range(begin, end):
        c = leaves[at]
        many = 0
        for k in range(offset[c], offset[c + 1]):
            many += last[sources[k]] - first[sources[k]]
        room = max(room, many)
    near = np.empty((4, room + _WIDTH))
    near_x, near_y, near_z, near_source = near
    for at in range(begin, end):
        c = leaves[at]
        own, many = gather(c, first, last, offset, sources, x, source, near)
        for i in range(first[c], last[c]):
            xi = x[0, i]
            yi = x[1, i]
            zi = x[2, i]
            ci = sink[i]
            if own >= 0:
                # So is the body itself, while it is the sink.
                itself = own + i - first[c]
                near_x[itself], near_source[itself] = _AWAY, 0.0
            sx = nb.int64(0)
            sy = nb.int64(0)
            sz = nb.int64(0)
            su = nb.int64(0)
            for j in range(many):
                dx = near_x[j] - xi
                dy = near_y[j] - yi
                dz = near_z[j] - zi
                r2 = fma(dx, dx, fma(dy, dy, fma(dz, dz, softening2)))
                cc = ci * near_source[j]
                inverse = 1.0 / np.sqrt(r2)
                inverse2 = inverse * inverse
                u = cc * inverse
                w = u * inverse2
                sx += bits_of(fma(w, dx, ROUNDER))
                sy += bits_of(fma(w, dy, ROUNDER))
                sz += bits_of(fma(w, dz, ROUNDER))
                ub = bits_of(fma(u, potential_per_charge, ROUNDER))
                su += ub
                seen |= ub | bits_of(fma(cc, inverse2, ROUNDER))
            if own >= 0:
                near_x[itself], near_source[itself] = xi, source[i]
            rounders = nb.int64(ROUNDER_BITS) * nb.int64(many)
            k_q[0, i] = sx - rounders
            k_q[1, i] = sy - rounders
            k_q[2, i] = sz - rounders
            u_q[i] = su - rounders
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0
