# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Pairs of blocks of bodies, each pair of bodies computed once and added to both.

Both kicks of a pair are opposite integers, and integer sums do not depend on order: tiles may be
dealt out in any way, and what any set of them adds to the momentum of the bodies with mass is
exactly zero. A body without mass pulls nobody, so its pairs are not alike from both sides: tiles
that hold one are computed in both directions.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER_BITS, kernel
from simulation.engine.forces.pairs import (
    AWAY,
    COLUMNS,
    PADDING,
    SINKS,
    pair_kick,
    rows_both,
    rows_one,
)

# Numbers of 8 bytes in a line of the cache.
LINE = 8


@kernel
def round_up(count, by):
    """Return the next multiple: a pass has so many sinks, be there bodies or not."""
    return (count + by - 1) // by * by


@kernel
def make_room(columns):
    """Return what a pass over some sources writes in: near, sums, scratch, sinks, given.

    Rows begin where lines of the cache do: a vector of 64 bytes that lies across two takes longer.
    One table for all, as reshaping takes long to compile.
    """
    room = round_up(columns + PADDING, LINE)
    rows = 8 + SINKS
    numbers = np.empty(rows * room + LINE)
    at = -(numbers.ctypes.data // numbers.itemsize) % LINE
    table = numbers[at : at + rows * room].reshape((rows, room))
    return (
        table[:4],
        table[4:8].view(np.int64),
        table[8:],
        np.empty((SINKS, 4)),
        np.empty((SINKS, 4), np.int64),
    )


@kernel
def append_bodies(near, many, x, source, begin, end):
    """Copy the bodies begin <= j < end to ``near`` behind the first ``many``; return how many."""
    count = end - begin
    for axis in range(4):
        # Counting from 0: with any other start a check for negative indices stays in the loop.
        origin = source[begin:end] if axis == 3 else x[axis, begin:end]
        target = near[axis, many : many + count]
        for j in range(count):
            target[j] = origin[j]
    return many + count


@kernel
def finish_row(near, sums, many):
    """Fill up what a vector may read behind ``many`` sources, and set their ``sums`` to zero."""
    for j in range(many, many + PADDING):
        near[0, j], near[1, j], near[2, j], near[3, j] = AWAY, 0.0, 0.0, 0.0
    for axis in range(4):
        target = sums[axis, : many + PADDING]
        for j in range(many + PADDING):
            target[j] = 0


@kernel
def set_sinks(sinks, x, sink, i, last):
    """Take the bodies from i on; where there are no more, some that feel nothing."""
    for k in range(SINKS):
        if i + k < last:
            sinks[k, 0], sinks[k, 1], sinks[k, 2] = x[0, i + k], x[1, i + k], x[2, i + k]
            sinks[k, 3] = sink[i + k]
        else:
            # Not where the padding is.
            sinks[k, 0], sinks[k, 1], sinks[k, 2], sinks[k, 3] = -AWAY, 0.0, 0.0, 0.0


@kernel
def add_given(given, i, last, partial):
    """Add what the sinks i <= k < last got; return the potentials' sum."""
    ledger = nb.int64(0)
    for k in range(last - i):
        for axis in range(4):
            partial[axis, i + k] += given[k, axis]
        ledger += given[k, 3]
    return ledger


@kernel
def add_sums(sums, begin, end, place, sinks, partial):
    """Add what the sources begin <= j < end of a row got from ``sinks`` sinks to the bodies from
    ``place`` on; return the potentials' sum.
    """
    ledger = nb.int64(0)
    for axis in range(4):
        rounders = nb.int64(ROUNDER_BITS) * nb.int64(-sinks if axis == 3 else sinks)
        origin = sums[axis, begin:end]
        target = partial[axis, place : place + end - begin]
        ledger = nb.int64(0)
        for j in range(end - begin):
            given = origin[j] + rounders
            target[j] += given
            ledger += given
    return ledger


@kernel
def add_sums_within(sums, many, place, partial):
    """Do what ``add_sums`` does for a block whose bodies were sinks of those after them, some at a
    time.
    """
    ledger = nb.int64(0)
    for axis in range(4):
        origin = sums[axis, :many]
        target = partial[axis, place : place + many]
        rounder = nb.int64(ROUNDER_BITS) * nb.int64(-1 if axis == 3 else 1)
        ledger = nb.int64(0)
        for j in range(many):
            given = origin[j] + rounder * nb.int64(j // SINKS * SINKS)
            target[j] += given
            ledger += given
    return ledger


@kernel
def add_mutual(x, sink, source, i, last, softening2, per_charge, partial):
    """Add what the bodies of one pass, from i on, do to each other; return their potentials and the
    bits seen.
    """
    ledger, seen = nb.int64(0), nb.int64(0)
    end = min(i + SINKS, last)
    for at in range(i, end):
        for other in range(i, end):
            if other == at:
                continue
            kx, ky, kz, u, bits = pair_kick(
                x[0, other] - x[0, at],
                x[1, other] - x[1, at],
                x[2, other] - x[2, at],
                sink[at] * source[other],
                softening2,
                per_charge,
            )
            rounder = nb.int64(ROUNDER_BITS)
            partial[0, at] += kx - rounder
            partial[1, at] += ky - rounder
            partial[2, at] += kz - rounder
            partial[3, at] += u - rounder
            ledger += u - rounder
            seen |= bits
    return ledger, seen


@kernel
def _add_columns(bodies, law, first, last, begin, end, both, out, room):
    """Add the pairs of two blocks that share no body; with ``both`` to the second one, too."""
    x, sink, source = bodies
    softening2, per_charge, watched = law
    partial, ledger = out
    near, sums, scratch, sinks, given = room
    many = append_bodies(near, 0, x, source, begin, end)
    finish_row(near, sums, many)
    seen = nb.int64(0)
    for i in range(first, last, SINKS):
        set_sinks(sinks, x, sink, i, last)
        if both:
            seen |= rows_both(
                near, sums, scratch, 0, many, sinks, softening2, per_charge, watched, given
            )
        else:
            seen |= rows_one(
                near, sums, scratch, 0, many, sinks, softening2, per_charge, watched, given
            )
        ledger[0] += add_given(given, i, min(i + SINKS, last), partial)
    if both:
        ledger[0] += add_sums(sums, 0, many, begin, round_up(last - first, SINKS), partial)
    return seen


@kernel
def _add_block(bodies, law, begin, end, both, out, room):
    """Add the pairs within one block."""
    x, sink, source = bodies
    softening2, per_charge, watched = law
    partial, ledger = out
    near, sums, scratch, sinks, given = room
    many = append_bodies(near, 0, x, source, begin, end)
    finish_row(near, sums, many)
    seen = nb.int64(0)
    for i in range(begin, end, SINKS):
        at = i - begin
        set_sinks(sinks, x, sink, i, end)
        if both:
            # Those before have been here as sinks.
            seen |= rows_both(
                near, sums, scratch, at + SINKS, many, sinks, softening2, per_charge, watched, given
            )
        else:
            for j in range(at, min(at + SINKS, many)):
                near[0, j], near[3, j] = AWAY, 0.0
            seen |= rows_one(
                near, sums, scratch, 0, many, sinks, softening2, per_charge, watched, given
            )
            for j in range(at, min(at + SINKS, many)):
                near[0, j], near[3, j] = x[0, begin + j], source[begin + j]
        ledger[0] += add_given(given, i, min(i + SINKS, end), partial)
        shared, bits = add_mutual(x, sink, source, i, end, softening2, per_charge, partial)
        ledger[0] += shared
        seen |= bits
    if both:
        ledger[0] += add_sums_within(sums, many, begin, partial)
    return seen


@kernel
def all_have_mass(source, begin, end):
    """Return whether all bodies begin <= j < end pull others."""
    found = True
    for j in range(begin, end):
        found &= source[j] > 0.0
    return found


@kernel
def may_leave_range(bodies, softening2, per_charge, pair_bits):
    """Return whether a pair might reach 2^pair_bits, or be no number: then pairs must be watched.

    With softening no pair is stronger than the two largest charges in one place; the limit leaves
    room for roundings. Negative or infinite charges, bodies farther out than the padding, and NaN
    anywhere are watched. ``bodies`` as in ``add_tile``. O(N).
    """
    x, sink, source = bodies
    known = 1.0 / AWAY < softening2 < AWAY
    heaviest, strongest = 0.0, 0.0
    for i in range(sink.size):
        known &= sink[i] >= 0.0 and source[i] >= 0.0
        heaviest, strongest = max(heaviest, sink[i]), max(strongest, source[i])
    for axis in range(3):
        for i in range(sink.size):
            known &= np.abs(x[axis, i]) <= AWAY
    cc = heaviest * strongest
    pull, potential = cc / softening2, cc / np.sqrt(softening2) * per_charge
    limit = 0.999 * math.ldexp(1.0, pair_bits) - 1.0
    return not (known and pull < limit and 0.0 <= potential < limit)


@kernel
def add_tile(bodies, law, first, last, begin, end, out, room):
    """Add kicks and potentials between the bodies first <= i < last and begin <= j < end, in
    quanta; two blocks that share no body, or the same one. Returns the OR of the bits seen.

    ``bodies``: x (3, N), sink and source (N,) float64, see ``forces.Kick``; ``law``: softening2,
    potential_per_charge, and whether pairs are watched, see ``may_leave_range``. ``out``: kicks and
    potentials (4, N) int64, added to, and the potentials' sum (1,) int64, added to on its own.
    ``room`` from ``make_room``, overwritten. A body does not act on itself.
    """
    source = bodies[2]
    both = all_have_mass(source, first, last) and all_have_mass(source, begin, end)
    seen = nb.int64(0)
    for some in range(begin, end, COLUMNS):
        stop = min(some + COLUMNS, end)
        before = some if first == begin else last
        seen |= _add_columns(bodies, law, first, before, some, stop, both, out, room)
        if first == begin:
            seen |= _add_block(bodies, law, some, stop, both, out, room)
        if not both:
            # What was added above was one direction; this is the other.
            for other in range(first, before, COLUMNS):
                end_of_other = min(other + COLUMNS, before)
                seen |= _add_columns(bodies, law, some, stop, other, end_of_other, both, out, room)
    return seen


@kernel
def add_tiles(x, sink, source, softening2, per_charge, pair_bits, tiles, partial, ledger):
    """Add ``tiles`` (T, 4) int64: the bounds of block A, then of block B; see ``add_tile``.

    Returns True when every pair lay below 2^pair_bits quanta. O(sum of |A| |B|).
    """
    room = make_room(COLUMNS)
    bodies, out = (x, sink, source), (partial, ledger)
    law = (softening2, per_charge, may_leave_range(bodies, softening2, per_charge, pair_bits))
    seen = nb.int64(0)
    for t in range(tiles.shape[0]):
        a, b, c, d = tiles[t, 0], tiles[t, 1], tiles[t, 2], tiles[t, 3]
        seen |= add_tile(bodies, law, a, b, c, d, out, room)
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0
