# mypy: disable-error-code="no-untyped-def"
"""What partial sums amount to, and their sum: both only where a rank has touched them.

The bodies are cut into blocks of ``BLOCK``; ``touched`` (blocks,) bool says which of them a rank
has added to. The rest of its partial sum is nobody's business.
"""

from __future__ import annotations

from collections.abc import Iterable

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel

BLOCK = 64


def no_blocks(bodies: int) -> np.ndarray:
    """Return that nothing is touched."""
    return np.zeros(-(-bodies // BLOCK), np.bool_)


def touch(touched: np.ndarray, first: np.ndarray, last: np.ndarray) -> None:
    """Mark the blocks of runs of bodies first <= i < last, none of them empty."""
    steps = np.bincount(first // BLOCK, minlength=touched.size + 1)
    steps -= np.bincount((last - 1) // BLOCK + 1, minlength=touched.size + 1)
    touched |= np.cumsum(steps[:-1]) > 0


def bodies_of(touched: np.ndarray, bodies: int) -> np.ndarray:
    """Return the bodies of touched blocks."""
    places = np.flatnonzero(touched)[:, None] * BLOCK + np.arange(BLOCK)
    return places[places < bodies]


@kernel
def weigh(partial, source, touched, sums):
    """Write what the kicks of part 0 of the bodies with mass sum to, modulo 2^64, into ``sums``
    (4,) int64, and all potentials and the kicks of other parts into its fourth place.
    """
    sums[:] = 0
    for block in range(touched.size):
        if not touched[block]:
            continue
        begin, end = block * BLOCK, min(block * BLOCK + BLOCK, source.size)
        for part in range(partial.shape[0]):
            for axis in range(4):
                total = nb.int64(0)
                row = partial[part, axis, begin:end]
                mass = source[begin:end]
                if part == 0 and axis < 3:
                    for i in range(row.size):
                        total += row[i] if mass[i] > 0.0 else nb.int64(0)
                    sums[axis] += total
                else:
                    for i in range(row.size):
                        total += row[i]
                    sums[3] += total


@kernel
def add_touched(partial, touched, total):
    """Add a partial sum to the sum of all."""
    for block in range(touched.size):
        if touched[block]:
            begin, end = block * BLOCK, min(block * BLOCK + BLOCK, partial.shape[2])
            for part in range(partial.shape[0]):
                for axis in range(4):
                    row, target = partial[part, axis, begin:end], total[part, axis, begin:end]
                    for i in range(row.size):
                        target[i] += row[i]


@kernel
def copy_touched(partial, touched, total):
    """Write a partial sum to ``total``, zeros where it is not touched."""
    for part in range(partial.shape[0]):
        for axis in range(4):
            for block in range(touched.size):
                begin, end = block * BLOCK, min(block * BLOCK + BLOCK, partial.shape[2])
                target = total[part, axis, begin:end]
                if touched[block]:
                    target[:] = partial[part, axis, begin:end]
                else:
                    target[:] = 0


@kernel
def take_touched(partial, touched, taken):
    """Move the touched blocks of a partial sum to ``taken`` (parts, 4, blocks * BLOCK), side by
    side, and leave zeros.
    """
    at = 0
    for block in range(touched.size):
        if touched[block]:
            begin, end = block * BLOCK, min(block * BLOCK + BLOCK, partial.shape[2])
            for part in range(partial.shape[0]):
                for axis in range(4):
                    taken[part, axis, at : at + end - begin] = partial[part, axis, begin:end]
                    partial[part, axis, begin:end] = 0
            at += BLOCK


def look_at(
    partial: np.ndarray, source: np.ndarray, touched: np.ndarray
) -> tuple[int, int, int, int]:
    """Return what the balancing kicks of bodies with mass sum to, and what all the rest does.

    The rest, modulo 2^64, is potentials and the kicks of a far field.
    """
    sums = np.empty(4, np.int64)
    weigh(partial, source, touched, sums)
    x, y, z, rest = (int(value) for value in sums)
    return x, y, z, rest


def sum_up(partials: Iterable[tuple[np.ndarray, np.ndarray]], total: np.ndarray) -> None:
    """Write the sum of partial sums, each with what it has touched: at least one."""
    for place, (partial, touched) in enumerate(partials):
        (add_touched if place else copy_touched)(partial, touched, total)
