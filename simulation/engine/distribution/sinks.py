# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""The walk of the fast multipole method for some of its leaves only.

A rank needs what acts on its own leaves and on the cells above them, in exactly the order in which
one process would find it: far fields are sums of doubles. Leaving out pairs of which neither cell
is wanted keeps the order of all others.
"""

from __future__ import annotations

import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.fmm.traversal import _STACK, _accepted


@kernel
def want_upward(cells, parent, wanted):
    """Mark every cell above a marked one; ``wanted`` (cells,) bool, parents before children."""
    for c in range(cells - 1, 0, -1):
        if wanted[c]:
            wanted[parent[c]] = True


@kernel
def find_wanted_pairs(  # noqa: C901  (one loop over the five cases of a pair)
    starts,
    wanted,
    first,
    last,
    child,
    children,
    centre,
    charge,
    radius,
    strength,
    order,
    delta,
    opening2,
    direct,
    far,
    near,
):
    """Do what ``fmm.traversal.find_pairs`` does for pairs of which a cell is wanted.

    Of the pairs of leaves those are written whose first leaf in Morton order is wanted: each of
    them belongs to one rank, which computes both directions.
    """
    stack = np.empty((_STACK + starts.shape[0], 2), np.int32)
    stack[: starts.shape[0]] = starts
    waiting, many_far, many_near = starts.shape[0], 0, 0
    while waiting:
        waiting -= 1
        a, b = stack[waiting, 0], stack[waiting, 1]
        if not (wanted[a] or wanted[b]):
            continue
        if many_far == far.shape[0] or many_near == near.shape[0]:
            return -1, -1
        if a == b:
            if children[a] == 0:
                near[many_near, 0], near[many_near, 1] = a, a
                many_near += 1
                continue
            for i in range(child[a], child[a] + children[a]):
                for j in range(i, child[a] + children[a]):
                    stack[waiting, 0], stack[waiting, 1] = i, j
                    waiting += 1
            continue
        leaves = children[a] == 0 and children[b] == 0
        few = leaves and (last[a] - first[a]) * (last[b] - first[b]) <= direct
        if not few and _accepted(a, b, centre, charge, radius, strength, order, delta, opening2):
            far[many_far, 0], far[many_far, 1] = a, b
            many_far += 1
        elif leaves:
            if wanted[a if first[a] < first[b] else b]:
                near[many_near, 0], near[many_near, 1] = a, b
                many_near += 1
        elif children[b] == 0 or (children[a] and radius[a] >= radius[b]):
            for i in range(child[a], child[a] + children[a]):
                stack[waiting, 0], stack[waiting, 1] = i, b
                waiting += 1
        else:
            for i in range(child[b], child[b] + children[b]):
                stack[waiting, 0], stack[waiting, 1] = a, i
                waiting += 1
    return many_far, many_near


@kernel
def list_by_wanted_sink(cells, pairs, wanted, offset, sources):
    """Do what ``fmm.traversal.list_by_sink`` does for the sinks that are wanted."""
    for c in range(cells + 1):
        offset[c] = 0
    for k in range(pairs.shape[0]):
        for side in range(2):
            sink = pairs[k, side]
            if wanted[sink]:
                offset[sink + 1] += 1
    for c in range(cells):
        offset[c + 1] += offset[c]
    at = offset[:cells].copy()
    for k in range(pairs.shape[0]):
        for side in range(2):
            sink = pairs[k, side]
            if wanted[sink]:
                sources[at[sink]] = pairs[k, 1 - side]
                at[sink] += 1
