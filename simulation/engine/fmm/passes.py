# mypy: disable-error-code="no-untyped-def"
"""The passes of the fast multipole method over the tree: upward, far, downward.

Arrays of a tree are those of ``tree``; ``moments`` and ``fields`` are (cells, terms) float64.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import fma, kernel
from simulation.engine.fmm.far import LANES, far_block


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
def moments_upward(cells, child, children, centre, step, share, shift, kept, moments, rows):
    """Add the moments of the children to their parents; write every cell's row for the far pass."""
    p = np.empty(share.size)
    for c in range(cells - 1, -1, -1):
        for k in range(child[c], child[c] + children[c]):
            powers_of(
                centre[k, 0] - centre[c, 0],
                centre[k, 1] - centre[c, 1],
                centre[k, 2] - centre[c, 2],
                step,
                share,
                p,
            )
            for row in range(shift.shape[0]):
                moments[c, shift[row, 0]] += moments[k, shift[row, 1]] * p[shift[row, 2]]
        for t in range(kept.size):
            rows[c, t] = moments[c, kept[t]]


@kernel
def fields_downward(cells, parent, centre, step, share, shift, fields):
    """Add each cell's field to its children's, from the root to the leaves."""
    p = np.empty(share.size)
    for c in range(1, cells):
        k = parent[c]
        powers_of(
            centre[c, 0] - centre[k, 0],
            centre[c, 1] - centre[k, 1],
            centre[c, 2] - centre[k, 2],
            step,
            share,
            p,
        )
        for row in range(shift.shape[0]):
            fields[c, shift[row, 1]] += fields[k, shift[row, 0]] * p[shift[row, 2]]


@kernel
def kicks_of_leaves(
    begin, end, first, last, children, x, sink, centre, step, share, slope, fields, per_charge, k, u
):
    """Add the far field at the bodies of the leaves begin <= c < end to kicks and potentials.

    Rounded to quanta, once for each body: ``k`` (3, N), ``u`` (N,) int64.
    """
    p = np.empty(share.size)
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
            k[0, i] += nb.int64(np.rint(sink[i] * ax))
            k[1, i] += nb.int64(np.rint(sink[i] * ay))
            k[2, i] += nb.int64(np.rint(sink[i] * az))
            u[i] += nb.int64(np.rint(sink[i] * potential * per_charge))


# Each order's instructions take a second to compile; the three of the presets stand here by name,
# because what is kept on disk must not depend on a value that is known only when it runs.
_block_5, _block_6, _block_7 = far_block(5), far_block(6), far_block(7)


@kernel
def far_fields(order, length, begin, end, offset, sources, rows, centre, empty, softening2, fields):
    """Add the far fields of the sinks begin <= c < end to ``fields`` (cells, terms).

    ``rows`` (cells * length) float32 and ``centre`` (cells * 4), flat; ``empty`` is a cell without
    moments, for the lanes that have no source.
    """
    terms = fields.shape[1]
    sums = np.empty(terms * LANES, np.float32)
    lanes = np.empty(LANES, np.int32)
    for c in range(begin, end):
        sums[:] = 0.0
        for k in range(offset[c], offset[c + 1], LANES):
            many = min(nb.int64(LANES), offset[c + 1] - k)
            lanes[:] = empty
            lanes[:many] = sources[k : k + many]
            if order == 5:
                _block_5(lanes, 0, rows, centre, c, softening2, sums)
            elif order == 6:
                _block_6(lanes, 0, rows, centre, c, softening2, sums)
            else:
                _block_7(lanes, 0, rows, centre, c, softening2, sums)
        for t in range(terms):
            # The lanes in pairs, always the same ones.
            s = sums[t * LANES : (t + 1) * LANES]
            low = (nb.float64(s[0]) + s[1]) + (nb.float64(s[2]) + s[3])
            high = (nb.float64(s[4]) + s[5]) + (nb.float64(s[6]) + s[7])
            fields[c, t] += low + high
