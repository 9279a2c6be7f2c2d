# mypy: disable-error-code="no-untyped-def"
"""The near field: exact fixed-point pair kicks between the bodies of neighbouring leaves.

Those neighbours of a leaf that come after it are one row of sources; each pair of bodies is
computed once, by ``forces.pairs``, and added to both. A leaf's own pairs are a tile. Rows for which
single precision is more than good enough are computed in that (``quick``).
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER_BITS, kernel
from simulation.engine.fmm.quick import add_leaf_quickly, make_quick_room, shifts_of
from simulation.engine.forces.pairs import COLUMNS, FEW_SINKS, few_rows_both, few_rows_one
from simulation.engine.forces.tiles import (
    add_given,
    add_sums,
    add_tile,
    append_bodies,
    finish_row,
    make_room,
    may_leave_range,
    round_up,
    set_sinks,
)


@kernel
def _columns_max(begin, end, leaves, first, last, offset, sources):
    """Return the most bodies that are listed for one of the leaves."""
    most = COLUMNS
    for at in range(begin, end):
        c = leaves[at]
        many = 0
        for k in range(offset[c], offset[c + 1]):
            many += last[sources[k]] - first[sources[k]]
        most = max(most, many)
    return most


@kernel
def _append_leaves(c, cells, lists, bodies, room):
    """Make a row of the bodies of the leaves listed for c, but its own; return how many."""
    (first, last), (offset, sources), (x, _, source) = cells, lists, bodies
    near, many = room[0], 0
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        if b != c:
            many = append_bodies(near, many, x, source, first[b], last[b])
    finish_row(near, room[1], many)
    return many


@kernel
def _is_listed(c, lists):
    """Return whether a leaf is in its own list."""
    found = False
    for k in range(lists[0][c], lists[0][c + 1]):
        found |= lists[1][k] == c
    return found


@kernel
def _bodies_listed(c, cells, lists):
    """Return how many bodies the leaves listed for c hold."""
    many = nb.int64(0)
    for k in range(lists[0][c], lists[0][c + 1]):
        many += cells[1][lists[1][k]] - cells[0][lists[1][k]]
    return many


@kernel
def _add_row(c, cells, lists, both, bodies, law, partial, room):
    """Add the pairs of a leaf with those listed and, if it is, within it; with ``both`` to both
    sides.
    """
    near, sums, scratch, sinks, given = room
    (first, last), (offset, sources), (x, sink, _) = cells, lists, bodies
    softening2, per_charge, watched = law
    begin, end = first[c], last[c]
    seen = nb.int64(0)
    if _is_listed(c, lists):
        out = (partial, np.zeros(1, np.int64))
        seen |= add_tile(bodies, law, begin, end, begin, end, out, room)
    many = _append_leaves(c, cells, lists, bodies, room)
    for some in range(0, many, COLUMNS):
        stop = min(some + COLUMNS, many)
        for i in range(begin, end, FEW_SINKS):
            set_sinks(sinks, x, sink, i, end)
            if both:
                seen |= few_rows_both(
                    near, sums, scratch, some, stop, sinks, softening2, per_charge, watched, given
                )
            else:
                seen |= few_rows_one(
                    near, sums, scratch, some, stop, sinks, softening2, per_charge, watched, given
                )
            add_given(given, i, min(i + FEW_SINKS, end), partial)
    if both:
        many, sinks_in_all = 0, round_up(end - begin, FEW_SINKS)
        for k in range(offset[c], offset[c + 1]):
            b = sources[k]
            if b != c:
                after = many + last[b] - first[b]
                add_sums(sums, many, after, first[b], sinks_in_all, partial)
                many = after
    return seen


@kernel
def add_near(
    begin,
    end,
    leaves,
    cells,
    alike,
    others,
    bodies,
    law,
    pair_bits,
    tree,
    quick,
    tolerance,
    partial,
):
    """Add kicks and potentials of the pairs of the leaves begin <= at < end, in quanta.

    ``cells``: first and last body of each; ``alike``: for each leaf the leaves whose pairs with it
    it computes for both sides, none of their bodies without mass; ``others``: those that act on it,
    one way; each as offset and sources. ``bodies`` as in ``tiles.add_tile``, in Morton order;
    ``law``: softening2 and potential_per_charge; ``tree``: centres and strengths of the cells and
    the largest and least source in them;
    ``quick``: packed bodies, their units, and half the side of the box; ``tolerance``: see
    ``quick.shifts_of``. ``partial`` (4, N) int64, added to. Returns True when every pair lay within
    its range.
    """
    first, last = cells
    centre, strength, heaviest, lightest = tree
    seen = nb.int64(0)
    columns = max(
        _columns_max(begin, end, leaves, first, last, alike[0], alike[1]),
        _columns_max(begin, end, leaves, first, last, others[0], others[1]),
    )
    room, quick_room = make_room(columns), make_quick_room(columns)
    watched_law = (law[0], law[1], may_leave_range(bodies, law[0], law[1], pair_bits))
    for at in range(begin, end):
        c = leaves[at]
        many = _bodies_listed(c, cells, alike)
        if many:
            single, shifts = False, (0, 0)
            if quick[1] > 0.0:
                single, shifts = shifts_of(
                    c,
                    last[c] - first[c],
                    many,
                    alike,
                    (heaviest, lightest),
                    strength,
                    law,
                    pair_bits,
                    tolerance,
                )
            if single:
                seen |= add_leaf_quickly(
                    c, cells, alike, bodies, quick, centre, law, shifts, partial, quick_room
                )
            else:
                seen |= _add_row(c, cells, alike, True, bodies, watched_law, partial, room)
        if others[0][c] < others[0][c + 1]:
            seen |= _add_row(c, cells, others, False, bodies, watched_law, partial, room)
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


@kernel
def near_work(leaves, first, last, offset, sources, work):
    """Add to ``work`` the pairs of bodies that each leaf computes."""
    for at in range(leaves.size):
        c = leaves[at]
        bodies = nb.int64(0)
        for k in range(offset[c], offset[c + 1]):
            bodies += last[sources[k]] - first[sources[k]]
        work[at] += bodies * (last[c] - first[c])


@kernel
def name_rows(leaves, offset, sources, named):
    """Mark the leaves that have others listed, and those (cells,)."""
    for at in range(leaves.size):
        c = leaves[at]
        named[c] |= offset[c] < offset[c + 1]
        for k in range(offset[c], offset[c + 1]):
            named[sources[k]] = True
