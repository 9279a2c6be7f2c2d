# mypy: disable-error-code="no-untyped-def"
"""The passes of the fast multipole method over the tree: upward, far, downward.

Arrays of a tree are those of ``tree``; ``moments`` and ``fields`` are (cells, terms) float64.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.fmm.far import far_block
from simulation.engine.fmm.lanes import LANES, add_fused, add_product, write_product

# Far kicks of a body stay below it in sum, near ones below 2^62: together they cannot wrap.
_RANGE = 2.0**61


@kernel
def powers_of(way, step, share, powers):
    """Write d^t / t! of all terms (terms, lanes) of the ways d (3, lanes)."""
    powers[0] = 1.0
    for t in range(1, share.size):
        write_product(powers, t, powers, step[t, 0], way, step[t, 1], share[t])


@kernel
def powers_of_bodies(begin, end, x, centre, c, step, share, way, powers):
    """Write d^t / t! of the ways from a cell's centre to at most LANES bodies; the rest is 1, 0."""
    way[:] = 0.0
    for axis in range(3):
        for i in range(begin, end):
            way[axis, i - begin] = x[axis, i] - centre[c, axis]
    powers_of(way, step, share, powers)


@kernel
def moments_of_leaves(begin, end, first, last, children, x, source, centre, step, share, moments):
    """Write the multipole moments of the leaves among the cells begin <= c < end.

    The powers of eight bodies at once, one a lane; their sum in the bodies' order.
    """
    way, powers = np.empty((3, LANES)), np.empty((share.size, LANES))
    for c in range(begin, end):
        if children[c]:
            continue
        for low in range(first[c], last[c], LANES):
            high = min(low + LANES, last[c])
            powers_of_bodies(low, high, x, centre, c, step, share, way, powers)
            for t in range(share.size):
                total = moments[c, t]
                for i in range(low, high):
                    total += source[i] * powers[t, i - low]
                moments[c, t] = total


@kernel
def moments_upward(cells, parent, centre, step, share, shift, moments):
    """Add the moments of cells to their parents'.

    Eight neighbouring cells move at once, one a lane: none of them is another's parent.
    """
    terms = share.size
    powers, taken = np.empty((terms, LANES)), np.empty((terms, LANES))
    moved = np.empty((terms, LANES))
    high = cells
    while high > 1:
        low = high - 1
        latest = parent[low]
        while low > 1 and high - low < LANES and max(latest, parent[low - 1]) < low - 1:
            low -= 1
            latest = max(latest, parent[low])
        for c in range(low, high):
            for t in range(terms):
                taken[t, c - low] = moments[c, t]
        lane_powers(low, high, parent, centre, step, share, powers)
        moved[:] = 0.0
        for row in range(shift.shape[0]):
            add_product(moved, shift[row, 0], taken, shift[row, 1], powers, shift[row, 2])
        for c in range(low, high):
            for t in range(terms):
                moments[parent[c], t] += moved[t, c - low]
        high = low


@kernel
def write_rows(cells, centre, kept, degree, moments, rows):
    """Write every cell's row for the far pass, in units of its size, a power of two."""
    units = np.ones(degree[-1] + 1)
    for c in range(cells):
        for k in range(1, units.size):
            units[k] = units[k - 1] / centre[c, 3]
        for t in range(kept.size):
            rows[c, t] = moments[c, kept[t]] * units[degree[kept[t]]]


@kernel
def fields_downward(cells, parent, centre, step, share, shift, fields):
    """Add each cell's field to its children's, from the root to the leaves; lanes as upward."""
    terms = share.size
    powers, taken = np.empty((terms, LANES)), np.empty((terms, LANES))
    moved = np.empty((terms, LANES))
    low = 1
    while low < cells:
        high = low + 1
        while high < cells and high - low < LANES and parent[high] < low:
            high += 1
        for c in range(low, high):
            for t in range(terms):
                taken[t, c - low] = fields[parent[c], t]
        lane_powers(low, high, parent, centre, step, share, powers)
        moved[:] = 0.0
        for row in range(shift.shape[0]):
            add_product(moved, shift[row, 1], taken, shift[row, 0], powers, shift[row, 2])
        for c in range(low, high):
            for t in range(terms):
                fields[c, t] += moved[t, c - low]
        low = high


@kernel
def lane_powers(low, high, parent, centre, step, share, powers):
    """Write d^t / t! (terms, lanes) of the ways from the parents of low <= c < high to them."""
    way = np.zeros((3, LANES))
    for c in range(low, high):
        for axis in range(3):
            way[axis, c - low] = centre[c, axis] - centre[parent[c], axis]
    powers_of(way, step, share, powers)


@kernel
def kicks_of_leaves(
    begin, end, first, last, children, x, sink, centre, step, share, slope, fields, per_charge, k, u
):
    """Add the far field at the bodies of the leaves begin <= c < end to kicks and potentials.

    Rounded to quanta, once for each body: ``k`` (3, N), ``u`` (N,) int64. Returns True when every
    kick lay within its range. Eight bodies at once, one a lane: one by one, each addition waited
    for the one before it.
    """
    way, powers, total = np.empty((3, LANES)), np.empty((share.size, LANES)), np.empty((4, LANES))
    within = True
    for c in range(begin, end):
        if children[c]:
            continue
        for low in range(first[c], last[c], LANES):
            high = min(low + LANES, last[c])
            powers_of_bodies(low, high, x, centre, c, step, share, way, powers)
            field_at(fields[c], slope, powers, total)
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


@kernel
def field_at(field, slope, powers, total):
    """Write the slopes of a field (terms,) and the field itself at some places (4, lanes)."""
    total[:] = 0.0
    for t in range(field.size):
        add_fused(total, 3, powers, t, field[t])
    for row in range(slope.shape[0]):
        for axis in range(3):
            add_fused(total, axis, powers, slope[row, 0], field[slope[row, axis + 1]])


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
