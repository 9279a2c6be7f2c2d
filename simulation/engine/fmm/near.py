# mypy: disable-error-code="no-untyped-def"
"""The near field: exact fixed-point pair kicks between the bodies of neighbouring leaves.

A leaf and those of its neighbours that come after it are one row of sources; each pair of bodies is
computed once, by ``forces.pairs``, and added to both.
"""

from __future__ import annotations

import numba as nb

from simulation.engine.arithmetic import ROUNDER_BITS, kernel
from simulation.engine.forces.pairs import AWAY, rows_both, rows_one
from simulation.engine.forces.tiles import (
    add_given,
    add_mutual,
    add_sums,
    add_sums_within,
    all_have_mass,
    append_bodies,
    finish_row,
    make_room,
    set_sinks,
)


@kernel
def _columns_max(begin, end, leaves, first, last, offset, sources):
    """Return the most bodies that act on one of the leaves, those of itself included."""
    most = 0
    for at in range(begin, end):
        c = leaves[at]
        many = last[c] - first[c]
        for k in range(offset[c], offset[c + 1]):
            many += last[sources[k]] - first[sources[k]]
        most = max(most, many)
    return most


@kernel
def _append_leaves(c, first, last, offset, sources, x, source, near, many):
    """Append the bodies of the leaves listed for c, but its own."""
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        if b != c:
            many = append_bodies(near, many, x, source, first[b], last[b])
    return many


@kernel
def _is_listed(c, offset, sources):
    """Return whether a leaf is in its own list."""
    found = False
    for k in range(offset[c], offset[c + 1]):
        found |= sources[k] == c
    return found


@kernel
def _add_row_of_leaf(c, first, last, offset, sources, bodies, law, partial, room):
    """Add the pairs of a leaf with those listed, and within it if it is, to both sides."""
    near, sums, inverse, sinks, given = room
    x, sink, source = bodies
    softening2, per_charge = law
    size, own = last[c] - first[c], 0
    if _is_listed(c, offset, sources):
        own = append_bodies(near, 0, x, source, first[c], last[c])
    many = _append_leaves(c, first, last, offset, sources, x, source, near, own)
    finish_row(near, sums, many)
    seen = nb.int64(0)
    for i in range(first[c], last[c], 2):
        # Those of its own before have been here as sinks.
        begin = min(i + 2 - first[c], own)
        set_sinks(sinks, x, sink, i, last[c])
        seen |= rows_both(near, sums, inverse, begin, many, sinks, softening2, per_charge, given)
        add_given(given, i, last[c], partial)
        if own and i + 1 < last[c]:
            _, bits = add_mutual(x, sink, source, i, softening2, per_charge, partial)
            seen |= bits
    add_sums_within(sums, own, first[c], partial)
    many = own
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        if b != c:
            end = many + last[b] - first[b]
            add_sums(sums, many, end, first[b], (size + 1) // 2 * 2, partial)
            many = end
    return seen


@kernel
def _add_to_leaf(c, first, last, offset, sources, bodies, law, partial, room):
    """Add what the bodies of the leaves listed, itself perhaps among them, do to a leaf's."""
    near, sums, inverse, sinks, given = room
    x, sink, source = bodies
    softening2, per_charge = law
    own, many = -1, 0
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        if b == c:
            own = many
        many = append_bodies(near, many, x, source, first[b], last[b])
    finish_row(near, sums, many)
    seen = nb.int64(0)
    for i in range(first[c], last[c], 2):
        set_sinks(sinks, x, sink, i, last[c])
        at, pair = own + i - first[c], min(2, last[c] - i)
        if own >= 0:
            for j in range(at, at + pair):
                near[0, j], near[3, j] = AWAY, 0.0
        seen |= rows_one(near, sums, inverse, 0, many, sinks, softening2, per_charge, given)
        if own >= 0:
            for j in range(pair):
                near[0, at + j], near[3, at + j] = x[0, i + j], source[i + j]
            if pair == 2:
                _, bits = add_mutual(x, sink, source, i, softening2, per_charge, partial)
                seen |= bits
        add_given(given, i, last[c], partial)
    return seen


@kernel
def add_near(begin, end, leaves, cells, alike, others, bodies, law, pair_bits, partial):
    """Add kicks and potentials of the pairs of the leaves begin <= at < end, in quanta.

    ``cells``: first and last body of each; ``alike``: for each leaf the leaves whose pairs with it
    it computes for both sides, none of their bodies without mass; ``others``: those that act on it,
    one way; each as offset and sources. ``bodies``, ``law`` as in ``tiles.add_tile``, in Morton
    order; ``partial`` (4, N) int64, added to. Returns True when every pair lay within its range.
    """
    first, last = cells
    seen = nb.int64(0)
    room = make_room(
        max(
            _columns_max(begin, end, leaves, first, last, alike[0], alike[1]),
            _columns_max(begin, end, leaves, first, last, others[0], others[1]),
        )
    )
    for at in range(begin, end):
        c = leaves[at]
        if alike[0][c] < alike[0][c + 1]:
            seen |= _add_row_of_leaf(c, first, last, alike[0], alike[1], bodies, law, partial, room)
        if others[0][c] < others[0][c + 1]:
            seen |= _add_to_leaf(c, first, last, others[0], others[1], bodies, law, partial, room)
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


@kernel
def mark_massive(cells, first, last, source, massive):
    """Write whether all bodies of each cell have mass."""
    for c in range(cells):
        massive[c] = all_have_mass(source, first[c], last[c])


@kernel
def near_work(leaves, first, last, offset, sources, work):
    """Add to ``work`` the pairs of bodies that each leaf computes."""
    for at in range(leaves.size):
        c = leaves[at]
        bodies = nb.int64(0)
        for k in range(offset[c], offset[c + 1]):
            bodies += last[sources[k]] - first[sources[k]]
        work[at] += bodies * (last[c] - first[c])
