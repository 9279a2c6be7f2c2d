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

# Depth first: each level of either cell leaves at most 36 pairs of children waiting.
_STACK = 36 * 2 * 22
# Cells are judged so many at a time.
CHILDREN = 8


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
def tabulate(cells, centre, charge, radius, strength, judged):
    """Write what an acceptance reads, row by row (6, cells + CHILDREN)."""
    for c in range(cells):
        judged[0, c], judged[1, c], judged[2, c] = centre[c, 0], centre[c, 1], centre[c, 2]
        judged[3, c], judged[4, c], judged[5, c] = charge[c], radius[c], strength[c]
    judged[:, cells:] = 0.0


@kernel
def _judge(b, low, judged, order, delta, opening2, accepted):
    """Write 1 for the cells from ``low`` on, CHILDREN of them, that are far from b, 0 for others.

    Side by side: one by one, a processor would guess what comes next and wait for each root when it
    guessed wrong.
    """
    end = low + CHILDREN
    x, y, z = judged[0, low:end], judged[1, low:end], judged[2, low:end]
    charge, radius, strength = judged[3, low:end], judged[4, low:end], judged[5, low:end]
    bx, by, bz, b_charge = judged[0, b], judged[1, b], judged[2, b], judged[3, b]
    b_radius, b_strength = judged[4, b], judged[5, b]
    seven = 1.0 if order == 7 else 0.0
    # With the length not spelled out, the compiler writes vectors.
    for k in range(x.size):
        dx, dy, dz = x[k] - bx, y[k] - by, z[k] - bz
        r2 = dx * dx + dy * dy + dz * dz
        reach = radius[k] + b_radius
        u2 = reach * reach / r2
        u = np.sqrt(u2)
        error = (order + 1.0) * u * u2 * u2 * (1.0 - seven + seven * u2)
        limit = delta * r2 * (1.0 - u) * (1.0 - u)
        good = 1.0 if reach * reach < opening2 * r2 else 0.0
        good = good if error * b_charge <= limit * strength[k] else 0.0
        accepted[k] = good if error * charge[k] <= limit * b_strength else 0.0


@kernel
def _sort_out(b, low, count, given, many):
    """Write the pairs of b with the cells low <= a < low + count to where they belong: waiting to
    be split, far, or near. Takes and returns how many there are of each.

    Without a branch: each is written to all three, and counted in one.
    """
    (first, last, _, children), judged, wanted, law, (far, near, stack, accepted) = given
    order, delta, opening2, direct = law
    waiting, many_far, many_near = many
    _judge(b, low, judged, order, delta, opening2, accepted)
    bodies, b_leaf, b_wanted = nb.int64(last[b] - first[b]), children[b] == 0, wanted[b]
    for k in range(count):
        a = low + k
        leaves = b_leaf & (children[a] == 0)
        few = leaves & (nb.int64(last[a] - first[a]) * bodies <= direct)
        apart = (accepted[k] > 0.0) & ~few
        either = wanted[a] | b_wanted
        one, other = (a, b) if first[a] < first[b] else (b, a)
        far[many_far, 0], far[many_far, 1] = a, b
        many_far += nb.int64(apart & either)
        near[many_near, 0], near[many_near, 1] = one, other
        many_near += nb.int64(leaves & ~apart & wanted[one])
        stack[waiting, 0], stack[waiting, 1] = a, b
        waiting += nb.int64(~leaves & ~apart & either)
    return waiting, many_far, many_near


@kernel
def find_pairs(  # noqa: C901  (one loop over the cases of a pair)
    starts, wanted, first, last, child, children, judged, law, far, near
):
    """Walk from pairs of cells ``starts`` (S, 2); write unordered pairs; return their numbers.

    ``judged`` from ``tabulate``; ``law``: order (5 or 7), delta, opening^2, direct. Cells that have
    at most ``direct`` pairs of bodies are summed directly where both are leaves. Far pairs are
    written where a cell of them is ``wanted`` (cells,) bool, near ones, the leaf that is first in
    Morton order before the other, where that is wanted, so that each belongs to one rank. Those
    that are left out leave the order of all others as it is: far fields are sums of doubles.
    Returns (-1, -1) when ``far`` (F, 2) or ``near`` (K, 2) is too small.
    """
    spare = starts.shape[0] + CHILDREN * CHILDREN
    if min(far.shape[0], near.shape[0]) < spare:
        return -1, -1
    stack = np.empty((_STACK + spare, 2), np.int32)
    room = (far, near, stack, np.empty(CHILDREN))
    given = ((first, last, child, children), judged, wanted, law, room)
    many = (0, 0, 0)
    for s in range(starts.shape[0]):
        a, b = starts[s, 0], starts[s, 1]
        if a == b:
            stack[many[0], 0], stack[many[0], 1] = a, a
            many = (many[0] + 1, many[1], many[2])
        else:
            many = _sort_out(b, a, 1, given, many)
    while many[0]:
        waiting, many_far, many_near = many
        if min(far.shape[0] - many_far, near.shape[0] - many_near) < CHILDREN * CHILDREN:
            return -1, -1
        waiting -= 1
        a, b = stack[waiting, 0], stack[waiting, 1]
        if a != b and (children[a] == 0 or (children[b] and judged[4, b] > judged[4, a])):
            a, b = b, a
        many = (waiting, many_far, many_near)
        if a != b:
            many = _sort_out(b, child[a], children[a], given, many)
        elif children[a] == 0:
            near[many_near, 0], near[many_near, 1] = a, a
            many = (waiting, many_far, many_near + nb.int64(wanted[a]))
        elif wanted[a]:
            end = child[a] + children[a]
            for i in range(child[a], end):
                stack[many[0], 0], stack[many[0], 1] = i, i
                many = (many[0] + 1, many[1], many[2])
                many = _sort_out(i, i + 1, end - i - 1, given, many)
    return many[1], many[2]


@kernel
def pairs_of_units(
    begin, end, units, starts, wanted, first, last, child, children, judged, law, far, near
):
    """Do what ``find_pairs`` does for the units begin <= unit < end, one after the other; each is
    every ``units``-th of the starts.
    """
    many_far, many_near = 0, 0
    for unit in range(begin, end):
        more_far, more_near = find_pairs(
            starts[unit::units].copy(),
            wanted,
            first,
            last,
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
