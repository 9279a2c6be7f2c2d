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

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.fmm.lanes import LANES as CHILDREN
from simulation.engine.fmm.lanes import judge

# Depth first: each level of either cell leaves at most 36 pairs of children waiting.
_STACK = 36 * 2 * 22


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
def tabulate(cells, centre, charge, radius, strength, first, last, children, judged):
    """Write what a pair of cells is judged by, row by row (9, cells + CHILDREN)."""
    for c in range(cells):
        judged[0, c], judged[1, c], judged[2, c] = centre[c, 0], centre[c, 1], centre[c, 2]
        judged[3, c], judged[4, c], judged[5, c] = charge[c], radius[c], strength[c]
        judged[6, c], judged[7, c] = last[c] - first[c], first[c]
        judged[8, c] = 1.0 if children[c] == 0 else 0.0
    judged[:, cells:] = 0.0


@kernel
def _sort_out(b, low, count, given, many):
    """Write the pairs of b with the cells low <= a < low + count to where they belong: waiting to
    be split, far, or near. Takes and returns how many there are of each.

    Judged side by side, and without a branch: each is written to all three, and counted in one. One
    by one, a processor would guess what comes next and wait for each root when it guessed wrong.
    """
    judged, wanted, (order, delta, opening2, direct), (far, near, stack) = given
    waiting, many_far, many_near = many
    bits = judge(judged, wanted, b, low, order, delta, opening2, direct)
    for k in range(count):
        pair = _pair(low + k, b)
        far[many_far] = pair
        many_far += bits & 1
        near[many_near] = pair if bits >> 24 & 1 else _pair(b, low + k)
        many_near += bits >> 8 & 1
        stack[waiting] = pair
        waiting += bits >> 16 & 1
        bits >>= 1
    return waiting, many_far, many_near


@kernel
def _pair(a, b):
    """Return two cells in one number: written at once."""
    return nb.int64(b) << nb.int64(32) | nb.int64(a)


@kernel
def _sort_out_within(a, child, children, given, many):
    """Do what ``_sort_out`` does for all pairs within a cell."""
    wanted, (_, near, stack) = given[1], given[3]
    waiting, many_far, many_near = many
    if children[a] == 0:
        near[many_near] = _pair(a, a)
        return waiting, many_far, many_near + nb.int64(wanted[a])
    if wanted[a] > 0.0:
        end = child[a] + children[a]
        for i in range(child[a], end):
            stack[waiting] = _pair(i, i)
            many = _sort_out(i, i + 1, end - i - 1, given, (waiting + 1, many_far, many_near))
            waiting, many_far, many_near = many
    return waiting, many_far, many_near


@kernel
def find_pairs(starts, wanted, child, children, judged, law, far, near):
    """Walk from pairs of cells ``starts`` (S, 2); write unordered pairs; return their numbers.

    ``judged`` from ``tabulate``; ``law``: order (5 or 7), delta, opening^2, direct. Cells that have
    at most ``direct`` pairs of bodies are summed directly where both are leaves. Far pairs are
    written where a cell of them is ``wanted`` (cells + CHILDREN,) 1.0 or 0.0, near ones, the leaf
    that is first in Morton order before the other, where that is wanted, so that each belongs to
    one rank. Those that are left out leave the order of all others as it is: far fields are sums of
    doubles. Returns (-1, -1) when ``far`` (F,) or ``near`` (K,), see ``_pair``, is too small.
    """
    spare = starts.shape[0] + CHILDREN * CHILDREN
    if min(far.size, near.size) < spare:
        return -1, -1
    stack = np.empty(_STACK + spare, np.int64)
    given = (judged, wanted, law, (far, near, stack))
    many = (0, 0, 0)
    for s in range(starts.shape[0]):
        a, b = starts[s, 0], starts[s, 1]
        if a == b:
            stack[many[0]] = _pair(a, a)
            many = (many[0] + 1, many[1], many[2])
        else:
            many = _sort_out(b, a, 1, given, many)
    while many[0]:
        waiting, many_far, many_near = many
        if min(far.size - many_far, near.size - many_near) < CHILDREN * CHILDREN:
            return -1, -1
        waiting -= 1
        a, b = stack[waiting] & 0xFFFFFFFF, stack[waiting] >> 32
        many = (waiting, many_far, many_near)
        if a == b:
            many = _sort_out_within(a, child, children, given, many)
        else:
            if children[a] == 0 or (children[b] and judged[4, b] > judged[4, a]):
                a, b = b, a
            many = _sort_out(b, child[a], children[a], given, many)
    return many[1], many[2]


@kernel
def pairs_of_units(begin, end, units, starts, wanted, child, children, judged, law, far, near):
    """Do what ``find_pairs`` does for the units begin <= unit < end, one after the other; each is
    every ``units``-th of the starts.
    """
    many_far, many_near = 0, 0
    for unit in range(begin, end):
        more_far, more_near = find_pairs(
            starts[unit::units].copy(),
            wanted,
            child,
            children,
            judged,
            law,
            far[many_far:],
            near[many_near:],
        )
        if more_far < 0:
            return -1, -1
        many_far += more_far
        many_near += more_near
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
