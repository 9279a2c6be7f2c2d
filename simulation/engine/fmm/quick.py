# mypy: disable-error-code="no-untyped-def"
"""Near pairs in single precision, where that is far more exact than the far field.

Each pair is computed once and rounded to an integer that is added to one body and taken from the
other, as in ``near``: momentum is conserved exactly all the same. What is coarser is the force: a
pair errs by some 2^-22 of the strongest pull that the softening allows. A leaf's row is computed
this way where that is far below what the accuracy lets pass; what is far out, unequal or without
softening stays in double precision.

Lengths are taken in units of about the softening, from the centre of the leaf; kicks in quanta
times a power of two that puts the strongest pull below 2^22: no number can overflow, and every sum
fits into 32 bits.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER_BITS, kernel
from simulation.engine.fmm.copies import BODIES, add_run, append_run
from simulation.engine.forces.pairs import (
    COLUMNS,
    FEW_SINKS,
    PADDING,
    SINGLE_AWAY,
    SINKS,
    pair_kick,
    quick_rows_both,
)
from simulation.engine.forces.tiles import round_up
from simulation.engine.forces.vectors import SINGLE_ROUNDER_BITS

# Kicks of a pair stay below 2^_BITS, so that as many as _MOST of them fit into an int32.
_BITS, _MOST = 22, 256
# The most of r / (r^2 + 1)^1.5.
_STRONGEST = 0.385
# Numbers of 4 bytes in a line of the cache.
LINE = 16
# The side of a box in units of the softening.
_LONGEST = 2.0**48


@kernel
def length_unit(softening2, half):
    """Return a power of two that lengths are multiplied by; 0 where nothing can be computed so."""
    if not softening2 > 0.0:
        return 0.0
    unit = math.ldexp(1.0, 1 - math.frexp(np.sqrt(softening2))[1])
    return unit if 2.0 * half * unit < _LONGEST else 0.0


@kernel
def pack_leaves(leaves, first, last, centre, half, x, source, unit, packed, heaviest, lightest):
    """Write the bodies (4, N + BODIES) float32: x, y, z from their leaf's centre in units, and
    the source as a part of the largest, a power of two, which is returned; and the largest and the
    least source of each leaf (cells,).
    """
    largest = 0.0
    for i in range(source.size):
        largest = max(largest, source[i])
    source_unit = math.ldexp(1.0, -math.frexp(largest)[1]) if largest > 0.0 else 1.0
    for at in range(leaves.size):
        c = leaves[at]
        begin, end = first[c], last[c]
        for axis in range(3):
            origin = centre[c, axis] * half
            for i in range(begin, end):
                packed[axis, i] = (x[axis, i] - origin) * unit
        most, least = 0.0, np.inf
        for i in range(begin, end):
            packed[3, i] = source[i] * source_unit
            most, least = max(most, source[i]), min(least, source[i])
        heaviest[c], lightest[c] = most, least
    for axis in range(4):
        packed[axis, source.size :] = 0.0
    return source_unit


@kernel
def make_quick_room(columns):
    """Return what a pass over some sources writes in; see ``tiles.make_room``."""
    room, scratch = round_up(columns + PADDING, LINE), COLUMNS + PADDING
    numbers = np.empty(8 * room + SINKS * scratch + LINE, np.float32)
    at = -(numbers.ctypes.data // numbers.itemsize) % LINE
    rows, rest = numbers[at : at + 8 * room], numbers[at + 8 * room :]
    table = rows.reshape((8, room))
    return (
        table[:4],
        table[4:].view(np.int32),
        rest[: SINKS * scratch].reshape((SINKS, scratch)),
        np.empty((SINKS, 4), np.float32),
        np.empty((SINKS, 4), np.int32),
    )


@kernel
def add_mutual(bodies, law, i, last, partial):
    """Add what the bodies of one pass, from i on, do to each other; return the bits seen."""
    x, sink, source = bodies
    seen = nb.int64(0)
    end = min(i + FEW_SINKS, last)
    for at in range(i, end):
        for other in range(at + 1, end):
            kx, ky, kz, u, bits = pair_kick(
                x[0, other] - x[0, at],
                x[1, other] - x[1, at],
                x[2, other] - x[2, at],
                sink[at] * source[other],
                law[0],
                law[1],
            )
            seen |= bits
            for axis, raw in enumerate((kx, ky, kz)):
                kick = raw - nb.int64(ROUNDER_BITS)
                partial[axis, at] += kick
                partial[axis, other] -= kick
            potential = u - nb.int64(ROUNDER_BITS)
            partial[3, at] += potential
            partial[3, other] += potential
    return seen


@kernel
def shifts_of(c, bodies, many, lists, charges, strength, law, pair_bits, tolerance):
    """Return whether the row of a leaf of some ``bodies`` may be computed so, and the powers of two
    by which its kicks and potentials are divided.

    ``many`` bodies are listed. ``tolerance``: the error of a body's kick that is let pass, in
    quanta a charge and a ``strength``.
    """
    (offset, sources), (heaviest, lightest) = lists, charges
    softening2, per_charge = law
    if bodies > _MOST:
        return False, (0, 0)
    largest, least, weakest = heaviest[c], lightest[c], strength[c]
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        largest, least = max(largest, heaviest[b]), min(least, lightest[b])
        weakest = min(weakest, strength[b])
    potential = heaviest[c] * largest / np.sqrt(softening2)
    pull = _STRONGEST * potential / np.sqrt(softening2)
    potential *= per_charge
    if not max(pull, potential) < math.ldexp(1.0, pair_bits):
        return False, (0, 0)
    if not pull * np.sqrt(many) <= tolerance * least * weakest * math.ldexp(1.0, _BITS):
        return False, (0, 0)
    shift = max(0, math.frexp(pull)[1] - _BITS)
    return True, (shift, max(0, math.frexp(potential)[1] - _BITS))


@kernel
def _append_leaves(c, cells, lists, packed, centre, scale, room):
    """Make a row of the bodies of the leaves listed for c, its own first if it is listed; return
    how many are its own, and how many in all.
    """
    near, sums = room[0], room[1]
    own, many = nb.int64(0), nb.int64(0)
    for k in range(lists[0][c], lists[0][c + 1]):
        if lists[1][k] == c:
            begin, own = nb.int64(cells[0][c]), nb.int64(cells[1][c] - cells[0][c])
            append_run(
                packed, begin, near, many, own, nb.float32(0.0), nb.float32(0.0), nb.float32(0.0)
            )
    many = own
    for k in range(lists[0][c], lists[0][c + 1]):
        b = lists[1][k]
        if b == c:
            continue
        begin, count = nb.int64(cells[0][b]), nb.int64(cells[1][b] - cells[0][b])
        dx = nb.float32((centre[b, 0] - centre[c, 0]) * scale)
        dy = nb.float32((centre[b, 1] - centre[c, 1]) * scale)
        dz = nb.float32((centre[b, 2] - centre[c, 2]) * scale)
        append_run(packed, begin, near, many, count, dx, dy, dz)
        many += count
    for j in range(many, many + PADDING):
        near[0, j], near[1, j], near[2, j], near[3, j] = SINGLE_AWAY, 0.0, 0.0, 0.0
    for axis in range(4):
        sums[axis, : many + PADDING] = 0
    return own, many


@kernel
def _set_sinks(sinks, packed, i, last, charge_unit):
    """Take the bodies from i on; where there are no more, some that feel nothing."""
    for k in range(FEW_SINKS):
        if i + k < last:
            sinks[k, 0], sinks[k, 1] = packed[0, i + k], packed[1, i + k]
            sinks[k, 2], sinks[k, 3] = packed[2, i + k], packed[3, i + k] * charge_unit
        else:
            sinks[k, 0], sinks[k, 1], sinks[k, 2], sinks[k, 3] = -SINGLE_AWAY, 0.0, 0.0, 0.0


@kernel
def _add_given(given, i, last, shifts, partial):
    """Add what the sinks i <= k < last got."""
    for k in range(last - i):
        for axis in range(4):
            by = shifts[1] if axis == 3 else shifts[0]
            partial[axis, i + k] += nb.int64(given[k, axis]) << by


@kernel
def _add_one(sums, at, partial, place, sinks, shifts):
    """Add what one source of a row got from ``sinks``."""
    for axis in range(4):
        rounders = nb.int64(SINGLE_ROUNDER_BITS) * nb.int64(-sinks if axis == 3 else sinks)
        given = nb.int64(nb.int32(nb.int64(sums[axis, at]) + rounders))
        partial[axis, place] += given << (shifts[1] if axis == 3 else shifts[0])


@kernel
def _add_to_leaf(sums, at, count, partial, place, sinks, shifts):
    """Add what the sources of a leaf, from the column ``at`` of a row on, got from ``sinks``."""
    if place + count + BODIES <= partial.shape[1]:
        rounders = nb.int32(nb.int64(SINGLE_ROUNDER_BITS) * sinks)
        of_potential = nb.int32(-nb.int64(SINGLE_ROUNDER_BITS) * sinks)
        add_run(sums, at, count, partial, place, rounders, of_potential, shifts[0], shifts[1])
    else:
        for j in range(count):
            _add_one(sums, at + j, partial, place + j, sinks, shifts)


@kernel
def add_leaf_quickly(c, cells, lists, bodies, quick, centre, law, shifts, partial, room):
    """Add the pairs of a leaf with those listed, to both sides; see ``near.add_near``."""
    near, sums, scratch, sinks, given = room
    (first, last), (offset, sources) = cells, lists
    packed, unit, source_unit, half = quick
    shift, shift_of_potential = shifts
    begin, end = nb.int64(first[c]), nb.int64(last[c])
    own, many = _append_leaves(c, cells, lists, packed, centre, half * unit, room)
    charge_unit = nb.float32(unit * unit * math.ldexp(1.0, -shift) / (source_unit * source_unit))
    softening2 = nb.float32(law[0] * unit * unit)
    per_charge = nb.float32(law[1] * math.ldexp(1.0, shift - shift_of_potential) / unit)
    for i in range(begin, end, FEW_SINKS):
        _set_sinks(sinks, packed, i, end, charge_unit)
        # Of its own bodies, those that have been here as sinks lose their charge. Each stretch but
        # the last is of whole vectors: what runs over the end of a row has no charge.
        done = min(i - begin + FEW_SINKS, own)
        for j in range(max(0, done - FEW_SINKS), done):
            near[3, j] = 0.0
        for some in range(done // LINE * LINE, many, COLUMNS):
            stop = min(some + COLUMNS, many)
            quick_rows_both(
                near, sums, scratch, some, stop, sinks, softening2, per_charge, False, given
            )
            _add_given(given, i, min(i + FEW_SINKS, end), shifts, partial)
    seen = nb.int64(0)
    for i in range(begin, begin + own, FEW_SINKS):
        seen |= add_mutual(bodies, law, i, end, partial)
    in_all = nb.int64(round_up(end - begin, FEW_SINKS))
    for j in range(own):
        # Passes after this line's sources had all been sinks began in the next one.
        end_of_line = (j // LINE + 1) * LINE
        passed = end_of_line - FEW_SINKS if end_of_line <= own else in_all
        _add_one(sums, j, partial, begin + j, passed, shifts)
    at = own
    for k in range(offset[c], offset[c + 1]):
        b = sources[k]
        if b != c:
            place, count = nb.int64(first[b]), nb.int64(last[b] - first[b])
            _add_to_leaf(sums, at, count, partial, place, in_all, shifts)
            at += count
    return seen
