# mypy: disable-error-code="no-untyped-def"
"""The passes of the fast multipole method over the tree: upward, far, downward.

Arrays of a tree are those of ``tree``; ``moments`` and ``fields`` are (cells, terms) float64.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.fmm.far import far_block
from simulation.engine.fmm.lanes import (
    LANES,
    add_folded,
    write_field,
    write_product,
    write_products,
    write_spread_products,
)

# Far kicks of a body stay below it in sum, near ones below 2^62: together they cannot wrap.
_RANGE = 2.0**61


@kernel
def powers_of(way, step, share, powers):
    """Write d^t / t! of all terms (terms, lanes) of the ways d (3, lanes)."""
    powers[0] = 1.0
    raise_powers(way, step, share, powers)


@kernel
def raise_powers(way, step, share, powers):
    """Write all terms after the first, times what that holds."""
    for t in range(1, share.size):
        write_product(powers, t, powers, step[t, 0], way, step[t, 1], share[t])


@kernel
def ways_of_bodies(begin, end, x, centre, c, way):
    """Write the ways from a cell's centre to at most LANES bodies; the rest is 0."""
    way[:] = 0.0
    for axis in range(3):
        for i in range(begin, end):
            way[axis, i - begin] = x[axis, i] - centre[c, axis]


@kernel
def moments_of_leaves(
    begin, end, first, last, children, x, source, centre, step, share, kept, degree, moments, rows
):
    """Write the multipole moments of the leaves among the cells begin <= c < end, and their rows.

    ``moments`` are zeros so far. The powers of eight bodies at once, one a lane.
    """
    terms = share.size
    way, powers, units = np.empty((3, LANES)), np.empty((terms, LANES)), np.empty(degree[-1] + 1)
    for c in range(begin, end):
        if children[c]:
            continue
        for low in range(first[c], last[c], LANES):
            high = min(low + LANES, last[c])
            ways_of_bodies(low, high, x, centre, c, way)
            powers[0] = 0.0
            for i in range(low, high):
                powers[0, i - low] = source[i]
            raise_powers(way, step, share, powers)
            add_folded(moments, c * terms, powers, terms)
        write_row(centre[c, 3], kept, degree, units, moments[c], rows[c])


@kernel
def moments_upward(
    cells, child, children, centre, step, share, shift, ends, kept, degree, moments, rows
):
    """Write the moments of cells that are no leaves from their children's, and their rows.

    A cell's children move at once, one a lane, so that nothing depends on other cells.
    """
    terms = share.size
    way, powers, units = np.zeros((3, LANES)), np.empty((terms, LANES)), np.empty(degree[-1] + 1)
    taken, moved = np.zeros((terms, LANES)), np.empty((terms, LANES))
    for c in range(cells - 1, -1, -1):
        if children[c] == 0:
            continue
        for k in range(children[c]):
            origin = moments[child[c] + k]
            for t in range(terms):
                taken[t, k] = origin[t]
        ways_of_children(child[c], children[c], centre, c, way)
        powers[0] = 0.0
        powers[0, : children[c]] = 1.0
        raise_powers(way, step, share, powers)
        for t in range(terms):
            write_products(moved, t, taken, powers, shift, ends[t], ends[t + 1])
        add_folded(moments, c * terms, moved, terms)
        write_row(centre[c, 3], kept, degree, units, moments[c], rows[c])


@kernel
def write_row(size, kept, degree, units, moments, row):
    """Write a cell's row for the far pass, in units of its size, a power of two; ``units`` is room
    for those of each degree.
    """
    units[0] = 1.0
    for k in range(1, units.size):
        units[k] = units[k - 1] / size
    # All but the first follow each other.
    row[0] = moments[0]
    given, taken, degrees = row[1 : kept.size], moments[kept[1] :], degree[kept[1] :]
    for t in range(given.size):
        given[t] = taken[t] * units[degrees[t]]


@kernel
def ways_of_children(child, children, centre, c, way):
    """Write the ways from a cell's centre to those of its children, one a lane."""
    for axis in range(3):
        for k in range(children):
            way[axis, k] = centre[child + k, axis] - centre[c, axis]


@kernel
def fields_downward(cells, child, children, centre, step, share, drop, ends, fields):
    """Add each cell's field to its children's, from the root to the leaves; lanes as upward."""
    terms = share.size
    way, powers = np.zeros((3, LANES)), np.empty((terms, LANES))
    moved = np.empty((terms, LANES))
    for c in range(cells):
        if children[c] == 0:
            continue
        ways_of_children(child[c], children[c], centre, c, way)
        powers_of(way, step, share, powers)
        for t in range(terms):
            write_spread_products(moved, t, fields, c * terms, powers, drop, ends[t], ends[t + 1])
        for k in range(children[c]):
            for t in range(terms):
                fields[child[c] + k, t] += moved[t, k]


@kernel
def kicks_of_leaves(
    begin, end, first, last, children, x, sink, centre, step, share, slope, fields, per_charge, k, u
):
    """Add the far field at the bodies of the leaves begin <= c < end to kicks and potentials.

    Rounded to quanta, once for each body: ``k`` (3, N), ``u`` (N,) int64. Returns True when every
    kick lay within its range. Eight bodies at once, one a lane.
    """
    terms = share.size
    way, powers, total = np.empty((3, LANES)), np.empty((terms, LANES)), np.empty((4, LANES))
    within = True
    for c in range(begin, end):
        if children[c]:
            continue
        for low in range(first[c], last[c], LANES):
            high = min(low + LANES, last[c])
            ways_of_bodies(low, high, x, centre, c, way)
            powers_of(way, step, share, powers)
            write_field(total, fields, c * terms, slope, slope.shape[0], terms, powers)
            for i in range(low, high):
                lane = i - low
                ax, ay = np.rint(sink[i] * total[0, lane]), np.rint(sink[i] * total[1, lane])
                az = np.rint(sink[i] * total[2, lane])
                potential = np.rint(sink[i] * total[3, lane] * per_charge)
                # What is no number is not below it either.
                largest = np.abs(ax) + np.abs(ay) + np.abs(az) + np.abs(potential)
                if not largest < _RANGE:
                    within = False
                    continue
                k[0, i] += nb.int64(ax)
                k[1, i] += nb.int64(ay)
                k[2, i] += nb.int64(az)
                u[i] += nb.int64(potential)
    return within


# Each order's instructions take a second to compile; those of the presets stand here by name,
# because what is kept on disk must not depend on a value that is known only when it runs.
_block_5, _block_7 = far_block(5), far_block(7)


@kernel
def far_fields(order, begin, end, offset, sources, rows, centre, empty, softening2, degree, fields):
    """Add the far fields of the sinks begin <= c < end to ``fields`` (cells, terms).

    Of order 5 or 7. ``rows`` (cells * row_length) float32 and ``centre`` (cells * 4), flat;
    ``empty`` is a cell without moments, for the lanes that have no source.
    """
    terms = fields.shape[1]
    sums = np.empty(terms * LANES, np.float32)
    lanes = np.empty(LANES, np.int32)
    units = np.ones(order + 1)
    for c in range(begin, end):
        if offset[c] == offset[c + 1]:
            continue
        sums[:] = 0.0
        for k in range(1, order + 1):
            units[k] = units[k - 1] / centre[4 * c + 3]
        for k in range(offset[c], offset[c + 1], LANES):
            many = min(nb.int64(LANES), offset[c + 1] - k)
            lanes[:] = empty
            lanes[:many] = sources[k : k + many]
            if order == 5:
                _block_5(lanes, 0, rows, centre, c, softening2, sums)
            else:
                _block_7(lanes, 0, rows, centre, c, softening2, sums)
        for t in range(terms):
            # The lanes in pairs, always the same ones.
            s = sums[t * LANES : (t + 1) * LANES]
            low = (nb.float64(s[0]) + s[1]) + (nb.float64(s[2]) + s[3])
            high = (nb.float64(s[4]) + s[5]) + (nb.float64(s[6]) + s[7])
            fields[c, t] += (low + high) * units[degree[t]]
