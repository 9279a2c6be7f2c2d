# mypy: disable-error-code="no-untyped-def"
"""The passes of the fast multipole method over the tree: upward, far, downward.

Arrays of a tree are those of ``tree``; ``moments`` and ``fields`` are (cells, terms) float64.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import fma, kernel
from simulation.engine.fmm.far import LANES, far_block

# Far kicks of a body stay below it in sum, near ones below 2^62: together they cannot wrap.
_RANGE = 2.0**61


@kernel
def powers_of(dx, dy, dz, step, share, p):
    """Write d^t / t! of all terms."""
    p[0] = 1.0
    for t in range(1, share.size):
        axis = step[t, 1]
        d = dx if axis == 0 else (dy if axis == 1 else dz)
        p[t] = p[step[t, 0]] * d * share[t]


@kernel
def moments_of_leaves(begin, end, first, last, children, x, source, centre, step, share, moments):
    """Write the multipole moments of the leaves among the cells begin <= c < end."""
    p = np.empty(share.size)
    for c in range(begin, end):
        if children[c]:
            continue
        for i in range(first[c], last[c]):
            dx, dy, dz = x[0, i] - centre[c, 0], x[1, i] - centre[c, 1], x[2, i] - centre[c, 2]
            powers_of(dx, dy, dz, step, share, p)
            for t in range(share.size):
                moments[c, t] += source[i] * p[t]


@kernel
def moments_upward(cells, parent, centre, step, share, shift, moments):
    """Add the moments of cells to their parents'.

    Eight neighbouring cells move at once, one a lane: none of them is another's parent.
    """
    terms = share.size
    powers, taken, moved = np.empty((3, terms, LANES))
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
            n, k, rest = shift[row, 0], shift[row, 1], shift[row, 2]
            for lane in range(LANES):
                moved[n, lane] += taken[k, lane] * powers[rest, lane]
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
    powers, taken, moved = np.empty((3, terms, LANES))
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
            n, k, rest = shift[row, 0], shift[row, 1], shift[row, 2]
            for lane in range(LANES):
                moved[k, lane] += taken[n, lane] * powers[rest, lane]
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
    powers[0] = 1.0
    for t in range(1, share.size):
        before, axis = step[t, 0], step[t, 1]
        for lane in range(LANES):
            powers[t, lane] = powers[before, lane] * way[axis, lane] * share[t]


@kernel
def kicks_of_leaves(
    begin, end, first, last, children, x, sink, centre, step, share, slope, fields, per_charge, k, u
):
    """Add the far field at the bodies of the leaves begin <= c < end to kicks and potentials.

    Rounded to quanta, once for each body: ``k`` (3, N), ``u`` (N,) int64. Returns True when every
    kick lay within its range.
    """
    p = np.empty(share.size)
    within = True
    for c in range(begin, end):
        if children[c]:
            continue
        for i in range(first[c], last[c]):
            dx, dy, dz = x[0, i] - centre[c, 0], x[1, i] - centre[c, 1], x[2, i] - centre[c, 2]
            powers_of(dx, dy, dz, step, share, p)
            potential = 0.0
            for t in range(share.size):
                potential = fma(fields[c, t], p[t], potential)
            ax, ay, az = 0.0, 0.0, 0.0
            for row in range(slope.shape[0]):
                power = p[slope[row, 0]]
                ax = fma(fields[c, slope[row, 1]], power, ax)
                ay = fma(fields[c, slope[row, 2]], power, ay)
                az = fma(fields[c, slope[row, 3]], power, az)
            ax, ay, az = np.rint(sink[i] * ax), np.rint(sink[i] * ay), np.rint(sink[i] * az)
            potential = np.rint(sink[i] * potential * per_charge)
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
