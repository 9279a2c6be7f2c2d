# mypy: disable-error-code="no-untyped-def"
"""What the rounding of the far field leaves of the total kick, taken back from the bodies."""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel

# Kicks are weighed without their last bits: then the weights of any number of bodies sum up.
_PART_BITS = 24
# Sums of any number of int64 are kept in two halves.
_HALF_BITS = 32


def return_residual(kicks: np.ndarray, source: np.ndarray, x: np.ndarray) -> tuple[int, int, int]:
    """Take what the kicks of bodies with charge sum to back from them, in place; return it.

    ``kicks`` (3, N) int64 and positions (3, N) in Morton order. Each body gives in proportion to
    its own kick, so that none far out is moved by the rounding of the bulk; what is left of that
    goes to the first ones, a quantum each: the total is exactly zero, whoever computed the kicks.
    Bodies that share a place have no order among them, so these are not asked for more while there
    are others.
    """
    parts, sums = np.zeros(source.size, np.int64), np.zeros((3, 2), np.int64)
    whole, givers = _weigh(kicks, source, parts, sums)
    residual = []
    for component, halves in zip(kicks, sums, strict=True):
        total = _whole(halves)
        given = np.zeros(2, np.int64)
        _give(component, parts, total / max(1, whole), given)
        rest = total - _whole(given)
        sign = 1 if rest > 0 else -1
        share, more = divmod(abs(rest), max(1, givers))
        if share:
            component[source > 0.0] -= sign * share
        first = np.empty(more, np.int64)
        if _first_givers(source, x, first) < more:
            first = np.flatnonzero(source > 0.0)[:more]
        component[first] -= sign
        residual.append(total)
    x_q, y_q, z_q = residual
    return x_q, y_q, z_q


def _whole(halves: np.ndarray) -> int:
    return (int(halves[0]) << _HALF_BITS) + int(halves[1])


@kernel
def _weigh(kicks, source, parts, sums):
    """Write how much each body with charge is kicked, and the halves of the sums; return the sum of
    the former, and how many these are.
    """
    mask = (nb.int64(1) << _HALF_BITS) - 1
    for axis in range(3):
        component = kicks[axis]
        high, low = nb.int64(0), nb.int64(0)
        for i in range(parts.size):
            kick = component[i] if source[i] > 0.0 else nb.int64(0)
            parts[i] += np.abs(kick) >> _PART_BITS
            high += kick >> _HALF_BITS
            low += kick & mask
        sums[axis, 0], sums[axis, 1] = high, low
    whole, givers = nb.int64(0), nb.int64(0)
    for i in range(parts.size):
        whole += parts[i]
        givers += source[i] > 0.0
    return whole, givers


@kernel
def _share_a_place(x, i, j):
    return x[0, i] == x[0, j] and x[1, i] == x[1, j] and x[2, i] == x[2, j]


@kernel
def _first_givers(source, x, first):
    """Write the first bodies with charge that share their place with nobody; return how many, at
    most as many as there is room for.
    """
    many, bodies = 0, source.size
    for i in range(bodies):
        if many == first.size:
            break
        if source[i] > 0.0 and not (
            (i > 0 and _share_a_place(x, i, i - 1))
            or (i + 1 < bodies and _share_a_place(x, i, i + 1))
        ):
            first[many] = i
            many += 1
    return many


@kernel
def _give(component, parts, share, given):
    """Take its share from each body; write the halves of what they gave."""
    mask = (nb.int64(1) << _HALF_BITS) - 1
    high, low = nb.int64(0), nb.int64(0)
    for i in range(parts.size):
        one = nb.int64(np.rint(parts[i] * share))
        component[i] -= one
        high += one >> _HALF_BITS
        low += one & mask
    given[0], given[1] = high, low
