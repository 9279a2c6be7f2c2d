# mypy: disable-error-code="no-untyped-def"
"""Who acts on whom: pairs of cells that are far enough apart, and pairs of leaves that are not.

The acceptance is symmetric, so that both directions of a pair are treated alike: with u = (r_A +
r_B)/R, a multipole of order P errs by at most about (P+1) u^P / (1-u)^2 of M_B/R^2, and this must
stay below delta times the smallest acceleration in A, and the same for A on B. The accelerations
come from the current positions (``strengths``), never from an earlier step: that would make
the force depend on history and the map irreversible.

Source: Dehnen (2002), J. Comput. Phys. 179, 27; Dehnen (2014), Comput. Astrophys. 1, 1, section 3.
"""

from __future__ import annotations

import numpy as np

from simulation.engine.arithmetic import kernel

# Depth first: each level of either cell leaves at most 36 pairs of children waiting.
_STACK = 36 * 2 * 22


@kernel
def strengths(begin, end, chosen, child, children, centre, charge, radius, softening2, strength):
    """Write about how strongly all bodies pull at the far side of chosen cells, from monopoles.

    A cell is opened within its radius: some 10 % are good enough. O(log N) a cell.
    """
    stack = np.empty(_STACK, np.int64)
    for at in range(begin, end):
        leaf = chosen[at]
        ax, ay, az = 0.0, 0.0, 0.0
        stack[0] = 0
        waiting = 1
        while waiting:
            waiting -= 1
            c = stack[waiting]
            dx = centre[c, 0] - centre[leaf, 0]
            dy = centre[c, 1] - centre[leaf, 1]
            dz = centre[c, 2] - centre[leaf, 2]
            r2 = dx * dx + dy * dy + dz * dz
            reach = radius[c]
            if r2 > reach * reach or children[c] == 0:
                r = np.sqrt(r2)
                away2 = (r + radius[leaf]) * (r + radius[leaf]) + softening2
                if r > 0.0:
                    pull = charge[c] / (away2 * r)
                    ax += pull * dx
                    ay += pull * dy
                    az += pull * dz
            else:
                for k in range(child[c], child[c] + children[c]):
                    stack[waiting] = k
                    waiting += 1
        strength[leaf] = np.sqrt(ax * ax + ay * ay + az * az)


@kernel
def strengths_downward(cells, first, last, parent, bodies, strength):
    """Give the strength of the largest cells of at most ``bodies`` to all within them."""
    for c in range(1, cells):
        if last[parent[c]] - first[parent[c]] <= bodies:
            strength[c] = strength[parent[c]]


@kernel
def weakest_upward(cells, child, children, strength):
    """Write the weakest pull in each cell that is no leaf."""
    for c in range(cells - 1, -1, -1):
        if children[c]:
            strength[c] = np.inf
            for k in range(child[c], child[c] + children[c]):
                strength[c] = min(strength[c], strength[k])


@kernel
def _accepted(a, b, centre, charge, radius, strength, order, delta, opening2):
    dx = centre[a, 0] - centre[b, 0]
    dy = centre[a, 1] - centre[b, 1]
    dz = centre[a, 2] - centre[b, 2]
    r2 = dx * dx + dy * dy + dz * dz
    reach = radius[a] + radius[b]
    if not reach * reach < opening2 * r2:
        return False
    u = reach / np.sqrt(r2)
    error = (order + 1.0) / ((1.0 - u) * (1.0 - u))
    for _ in range(order):
        error *= u
    limit = delta * r2
    return error * charge[b] <= limit * strength[a] and error * charge[a] <= limit * strength[b]


@kernel
def find_pairs(  # noqa: C901  (one loop over the five cases of a pair)
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
    """Walk from pairs of cells ``starts`` (S, 2); write unordered pairs; return their numbers.

    Cells that have at most ``direct`` pairs of bodies are summed directly where both are leaves.
    Far pairs are written where a cell of them is ``wanted`` (cells,) bool, near ones where the leaf
    that is first in Morton order is, so that each belongs to one rank. Those that are left out
    leave the order of all others as it is: far fields are sums of doubles. Returns (-1, -1) when
    ``far`` (F, 2) or ``near`` (K, 2) is too small.
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
def want_upward(cells, parent, wanted):
    """Mark every cell above a marked one; ``wanted`` (cells,) bool, parents before children."""
    for c in range(cells - 1, 0, -1):
        if wanted[c]:
            wanted[parent[c]] = True


@kernel
def list_by_sink(cells, pairs, wanted, offset, sources):
    """Write both directions of unordered pairs as lists: sources[offset[c] : offset[c + 1]].

    Only the lists of cells that are ``wanted``.
    """
    for c in range(cells + 1):
        offset[c] = 0
    for k in range(pairs.shape[0]):
        a, b = pairs[k, 0], pairs[k, 1]
        offset[a + 1] += wanted[a]
        offset[b + 1] += wanted[b] and a != b
    for c in range(cells):
        offset[c + 1] += offset[c]
    at = offset[:cells].copy()
    for k in range(pairs.shape[0]):
        a, b = pairs[k, 0], pairs[k, 1]
        if wanted[a]:
            sources[at[a]] = b
            at[a] += 1
        if wanted[b] and a != b:
            sources[at[b]] = a
            at[b] += 1


@kernel
def list_by_first(cells, pairs, offset, sources):
    """Write pairs as lists of their second cells, once each: sources[offset[c] : offset[c + 1]]."""
    for c in range(cells + 1):
        offset[c] = 0
    for k in range(pairs.shape[0]):
        offset[pairs[k, 0] + 1] += 1
    for c in range(cells):
        offset[c + 1] += offset[c]
    at = offset[:cells].copy()
    for k in range(pairs.shape[0]):
        sources[at[pairs[k, 0]]] = pairs[k, 1]
        at[pairs[k, 0]] += 1
