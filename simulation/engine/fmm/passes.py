# mypy: disable-error-code="no-untyped-def"
"""The passes of the fast multipole method over the tree: upward, far, downward.

Arrays of a tree are those of ``tree``; ``moments`` and ``fields`` are (cells, terms) float64.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.fmm import moves
from simulation.engine.fmm.far import LANES as FAR_LANES
from simulation.engine.fmm.far import far_block, far_width
from simulation.engine.fmm.moves import LANES

# Far kicks of a body stay below it in sum, near ones below 2^62: together they cannot wrap.
_RANGE = 2.0**61


# Each order's instructions take a second to compile; those of the presets stand here by name,
# because what is kept on disk must not depend on a value that is known only when it runs.
_block_5, _block_7 = far_block(5), far_block(7)
_add_powers_5, _add_powers_7 = moves.add_powers(5), moves.add_powers(7)
_write_moments_5, _write_moments_7 = moves.write_moments(5), moves.write_moments(7)
_gather_moments_5, _gather_moments_7 = moves.gather_moments(5), moves.gather_moments(7)
_fold_field_5, _fold_field_7 = moves.fold_field(5), moves.fold_field(7)
_scatter_field_5, _scatter_field_7 = moves.scatter_field(5), moves.scatter_field(7)
_write_field_5, _write_field_7 = moves.write_field(5), moves.write_field(7)


@kernel
def moments_of_leaves(
    order, begin, end, first, last, children, x, weight, centre, kept, degree, moments, rows
):
    """Write the multipole moments of the leaves among the cells begin <= c < end, and their rows.

    ``x`` (3, N + LANES), ``weight`` (N + LANES,).
    """
    sums, units = np.empty((moments.shape[1], LANES)), np.empty(order + 1)
    for c in range(begin, end):
        if children[c]:
            continue
        sums[:] = 0.0
        for low in range(first[c], last[c], LANES):
            many = min(LANES, last[c] - low)
            if order == 5:
                _add_powers_5(x, weight, low, many, centre, c, sums)
            else:
                _add_powers_7(x, weight, low, many, centre, c, sums)
        if order == 5:
            _write_moments_5(sums, moments, c)
        else:
            _write_moments_7(sums, moments, c)
        write_row(centre[c, 3], kept, degree, units, moments[c], rows[c])


@kernel
def moments_upward(order, cells, child, children, centre, kept, degree, moments, rows):
    """Write the moments of cells that are no leaves from their children's, and their rows.

    Those of the cell ``cells``, one more than there are, are zeros afterwards.
    """
    units = np.empty(order + 1)
    moments[cells] = 0.0
    rows[cells] = 0.0
    for c in range(cells - 1, -1, -1):
        if children[c] == 0:
            continue
        if order == 5:
            _gather_moments_5(moments, child[c], children[c], cells, centre, c)
        else:
            _gather_moments_7(moments, child[c], children[c], cells, centre, c)
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
def fields_downward(order, cells, child, children, centre, fields):
    """Add each cell's field to its children's, from the root to the leaves."""
    for c in range(cells):
        if children[c] == 0:
            continue
        if order == 5:
            _scatter_field_5(fields, child[c], children[c], c, centre, c)
        else:
            _scatter_field_7(fields, child[c], children[c], c, centre, c)


@kernel
def kicks_of_leaves(
    order, begin, end, first, last, children, x, sink, centre, fields, per_charge, k, u
):
    """Add the far field at the bodies of the leaves begin <= c < end to kicks and potentials.

    Rounded to quanta, once for each body: ``k`` (3, N), ``u`` (N,) int64. Returns True when every
    kick lay within its range.
    """
    total = np.empty((4, LANES))
    within = True
    for c in range(begin, end):
        if children[c]:
            continue
        for low in range(first[c], last[c], LANES):
            if order == 5:
                _write_field_5(fields, x, low, centre, c, total)
            else:
                _write_field_7(fields, x, low, centre, c, total)
            for i in range(low, min(low + LANES, last[c])):
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
def far_fields(order, begin, end, sinks, offset, sources, rows, centre, empty, softening2, fields):
    """Write the far fields of sinks[begin:end] to ``fields`` (sinks, terms).

    Of order 5 or 7. ``rows`` (cells * row_length) float32 and ``centre`` (cells * 4), flat;
    ``empty`` is a cell without moments, for the lanes that have no source.
    """
    sums = np.empty(fields.shape[1] * FAR_LANES, np.float32)
    lanes, width = np.empty(FAR_LANES, np.int32), far_width()
    for at in range(begin, end):
        c = sinks[at]
        sums[:] = 0.0
        for k in range(offset[c], offset[c + 1], FAR_LANES):
            many = min(nb.int64(FAR_LANES), offset[c + 1] - k)
            lanes[:] = empty
            lanes[:many] = sources[k : k + many]
            for some in range(0, many, width):
                if order == 5:
                    _block_5(lanes, some, rows, centre, c, softening2, sums)
                else:
                    _block_7(lanes, some, rows, centre, c, softening2, sums)
        size = centre[4 * c + 3]
        if order == 5:
            _fold_field_5(sums, size, fields, at)
        else:
            _fold_field_7(sums, size, fields, at)
