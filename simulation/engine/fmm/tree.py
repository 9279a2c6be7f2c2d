# mypy: disable-error-code="no-untyped-def"
"""The octree of the fast multipole method: bodies in Morton order, cells in breadth-first order.

Everything is a function of positions and charges alone, so that the same bodies in another order
give the same tree: the cube is a power of two about the origin, keys are compared whole, and bodies
with one key are ordered by their coordinates.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel

LEVELS = 21
# The exponent of the least size of a cell: smaller ones hold one body, or some in one place.
_SMALLEST = -64
_DIGIT_BITS = 11
_DIGITS = 6
# Of few enough bodies keys are sorted without their last bits, packed with their index.
INDEX_BITS = 20
UNSORTED_BITS = 19
_PACKED_DIGITS = 4


@kernel
def spread_bits(v):
    """Return the low 21 bits of a uint64, two zeros between neighbours."""
    v = (v | (v << nb.uint64(32))) & nb.uint64(0x1F00000000FFFF)
    v = (v | (v << nb.uint64(16))) & nb.uint64(0x1F0000FF0000FF)
    v = (v | (v << nb.uint64(8))) & nb.uint64(0x100F00F00F00F00F)
    v = (v | (v << nb.uint64(4))) & nb.uint64(0x10C30C30C30C30C3)
    return (v | (v << nb.uint64(2))) & nb.uint64(0x1249249249249249)


@kernel
def morton_keys(x, half, key):
    """Write the 63-bit Morton keys of positions (3, N) in the cube of half side ``half``."""
    scale = 2.0 ** (LEVELS - 1) / half
    for i in range(key.size):
        a = spread_bits(nb.uint64((x[0, i] + half) * scale))
        b = spread_bits(nb.uint64((x[1, i] + half) * scale))
        c = spread_bits(nb.uint64((x[2, i] + half) * scale))
        key[i] = (a << nb.uint64(2)) | (b << nb.uint64(1)) | c


@kernel
def place_bodies(x, source, half, unit, key, place, weight):
    """Write the Morton keys of positions (3, N), these in units of ``half`` and the sources in
    ``unit``: ``place`` (3, more than N), ``weight`` (more than N,), zeros for nobody.
    """
    morton_keys(x, half, key)
    bodies = source.size
    for axis in range(3):
        row, origin = place[axis], x[axis]
        for i in range(bodies):
            row[i] = origin[i] / half
        row[bodies:] = 0.0
    for i in range(bodies):
        weight[i] = source[i] / unit
    weight[bodies:] = 0.0


@kernel
def radix_sort(key, order, spare_key, spare_order):
    """Sort keys (N,) uint64 and their indices in place, stable. O(N), digits of 11 bits."""
    n = key.size
    buckets = 1 << _DIGIT_BITS
    counts = np.zeros((_DIGITS, buckets), np.int64)
    mask = nb.uint64(buckets - 1)
    for i in range(n):
        order[i] = i
        for d in range(_DIGITS):
            counts[d, (key[i] >> nb.uint64(d * _DIGIT_BITS)) & mask] += 1
    for d in range(_DIGITS):
        shift = nb.uint64(d * _DIGIT_BITS)
        if counts[d, (key[0] >> shift) & mask] == n:
            continue
        total = 0
        for b in range(buckets):
            here = counts[d, b]
            counts[d, b] = total
            total += here
        for i in range(n):
            b = (key[i] >> shift) & mask
            to = counts[d, b]
            counts[d, b] = to + 1
            spare_key[to] = key[i]
            spare_order[to] = order[i]
        key[:] = spare_key
        order[:] = spare_order


@kernel
def sort_prefixes(key, order):
    """Sort at most 2^INDEX_BITS keys (N,) uint64 by all but their last UNSORTED_BITS, in place, and
    write where each was; stable. Half of what ``radix_sort`` moves, fewer times.
    """
    n = key.size
    buckets = 1 << _DIGIT_BITS
    counts = np.zeros((_PACKED_DIGITS, buckets), np.int64)
    mask = nb.uint64(buckets - 1)
    packed, spare = np.empty(n, np.uint64), np.empty(n, np.uint64)
    for i in range(n):
        prefix = key[i] >> nb.uint64(UNSORTED_BITS)
        packed[i] = (prefix << nb.uint64(INDEX_BITS)) | nb.uint64(i)
        for d in range(_PACKED_DIGITS):
            counts[d, (prefix >> nb.uint64(d * _DIGIT_BITS)) & mask] += 1
    for d in range(_PACKED_DIGITS):
        shift = nb.uint64(INDEX_BITS + d * _DIGIT_BITS)
        total = 0
        for b in range(buckets):
            here = counts[d, b]
            counts[d, b] = total
            total += here
        for i in range(n):
            b = (packed[i] >> shift) & mask
            spare[counts[d, b]] = packed[i]
            counts[d, b] += 1
        packed, spare = spare, packed
    for i in range(n):
        order[i] = nb.int64(packed[i] & nb.uint64((1 << INDEX_BITS) - 1))
        spare[i] = key[order[i]]
    key[:] = spare


@kernel
def _comes_before(key, order, x, source, sink, j):
    if key[j] != key[j - 1]:
        return key[j] < key[j - 1]
    a, b = order[j], order[j - 1]
    for axis in range(3):
        if x[axis, a] != x[axis, b]:
            return x[axis, a] < x[axis, b]
    if source[a] != source[b]:
        return source[a] < source[b]
    return sink[a] < sink[b]


@kernel
def longest_tie(key, unsorted):
    """Return how many bodies share the most common key, but for its last bits, of sorted ones."""
    longest, here = 1, 1
    bits = nb.uint64(unsorted)
    for i in range(1, key.size):
        here = here + 1 if key[i] >> bits == key[i - 1] >> bits else 1
        longest = max(longest, here)
    return longest


@kernel
def break_ties(key, order, x, source, sink, unsorted):
    """Order bodies whose keys are alike but for their last bits by all of it, by coordinates and
    charges, in place (insertion sort of each run).
    """
    bits = nb.uint64(unsorted)
    for i in range(1, key.size):
        j = i
        while (
            j > 0
            and key[j - 1] >> bits == key[j] >> bits
            and _comes_before(key, order, x, source, sink, j)
        ):
            order[j - 1], order[j] = order[j], order[j - 1]
            key[j - 1], key[j] = key[j], key[j - 1]
            j -= 1


@kernel
def take(order, values, taken):
    """Write the values (N,) in an order."""
    for i in range(order.size):
        taken[i] = values[order[i]]


@kernel
def put(order, taken, values):
    """Write values that are in an order to where they came from."""
    for i in range(order.size):
        values[order[i]] = taken[i]


@kernel
def build_cells(key, leaf_size, first, last, level, child, children, parent):
    """Split the sorted keys into cells, breadth first; return their number, -1 when out of room.

    Cell c holds the bodies first[c] <= i < last[c] and the cells child[c] <= k < child[c] +
    children[c] (none in a leaf).
    """
    first[0], last[0], level[0], parent[0] = 0, key.size, 0, -1
    cells, c = 1, 0
    while c < cells:
        child[c], children[c] = 0, 0
        if last[c] - first[c] > leaf_size and level[c] < LEVELS:
            if cells + 8 > first.size:
                return -1
            shift = nb.uint64(3 * (LEVELS - 1 - level[c]))
            child[c] = cells
            begin = first[c]
            while begin < last[c]:
                octant = key[begin] >> shift
                low, high = begin + 1, last[c]
                while low < high:
                    middle = (low + high) >> 1
                    if key[middle] >> shift == octant:
                        low = middle + 1
                    else:
                        high = middle
                first[cells], last[cells] = begin, low
                level[cells], parent[cells] = level[c] + 1, c
                cells += 1
                children[c] += 1
                begin = low
        c += 1
    return cells


@kernel
def split_wide_leaves(key, asked, strength, cells, first, last, level, child, children, parent):
    """Split the leaves c < cells until their bodies reach the level ``asked[c]`` or stand alone.

    Returns the number of cells, -1 when out of room. The new cells follow the old ones, children
    after parents, and inherit ``strength``.
    """
    count, c = cells, 0
    wanted = np.zeros(first.size, np.int32)
    wanted[:cells] = asked[:cells]
    while c < count:
        if children[c] == 0 and level[c] < wanted[c] and last[c] - first[c] > 1:
            if count + 8 > first.size:
                return -1
            shift = nb.uint64(3 * (LEVELS - 1 - level[c]))
            child[c] = count
            begin = first[c]
            while begin < last[c]:
                octant = key[begin] >> shift
                end = begin + 1
                while end < last[c] and key[end] >> shift == octant:
                    end += 1
                first[count], last[count] = begin, end
                level[count], parent[count] = level[c] + 1, c
                child[count], children[count] = 0, 0
                wanted[count], strength[count] = wanted[c], strength[c]
                count += 1
                children[c] += 1
                begin = end
        c += 1
    return count


@kernel
def place_cells(begin, cells, first, last, child, children, x, source, centre, charge, radius):
    """Write the centre of charge and size (cells, 4), total charge, and radius of the cells
    begin <= c < cells; those before them are done.

    ``x`` (3, N) and ``source`` (N,) in sorted order. The size is the least power of two above the
    radius. A cell without charge is centred on its bodies.
    """
    for c in range(cells - 1, begin - 1, -1):
        sx, sy, sz, total = 0.0, 0.0, 0.0, 0.0
        leaf_end = last[c] if children[c] == 0 else first[c]
        for i in range(first[c], leaf_end):
            sx += source[i] * x[0, i]
            sy += source[i] * x[1, i]
            sz += source[i] * x[2, i]
            total += source[i]
        for k in range(child[c], child[c] + children[c]):
            sx += charge[k] * centre[k, 0]
            sy += charge[k] * centre[k, 1]
            sz += charge[k] * centre[k, 2]
            total += charge[k]
        charge[c] = total
        if total > 0.0:
            centre[c, 0], centre[c, 1], centre[c, 2] = sx / total, sy / total, sz / total
        else:
            for a in range(3):
                here = 0.0
                for i in range(first[c], last[c]):
                    here += x[a, i]
                centre[c, a] = here / (last[c] - first[c])
        largest2 = 0.0
        if children[c] == 0 or last[c] - first[c] < 1000:
            for i in range(first[c], last[c]):
                dx, dy, dz = x[0, i] - centre[c, 0], x[1, i] - centre[c, 1], x[2, i] - centre[c, 2]
                largest2 = max(largest2, dx * dx + dy * dy + dz * dz)
            radius[c] = np.sqrt(largest2)
        else:
            radius[c] = 0.0
            for k in range(child[c], child[c] + children[c]):
                dx = centre[k, 0] - centre[c, 0]
                dy = centre[k, 1] - centre[c, 1]
                dz = centre[k, 2] - centre[c, 2]
                radius[c] = max(radius[c], np.sqrt(dx * dx + dy * dy + dz * dz) + radius[k])
        exponent = max(math.frexp(radius[c])[1], _SMALLEST) if radius[c] > 0.0 else _SMALLEST
        centre[c, 3] = math.ldexp(1.0, exponent)


@kernel
def cut_into_cells(cells, first, last, child, children, wanted, cut):
    """Write ``wanted`` cells or some more that cover the tree (fewer of a small one).

    Returns how many. The fullest is split first. ``cut`` has room for ``wanted`` + 8.
    """
    cut[0] = 0
    many = 1
    while many < wanted:
        best, bodies = -1, 0
        for i in range(many):
            c = cut[i]
            if children[c] and last[c] - first[c] > bodies:
                best, bodies = i, last[c] - first[c]
        if best < 0:
            break
        c = cut[best]
        cut[best] = child[c]
        for k in range(child[c] + 1, child[c] + children[c]):
            cut[many] = k
            many += 1
    return many
