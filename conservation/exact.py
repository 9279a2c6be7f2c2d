"""Sums that lose nothing: integer totals over accounts, whatever the order and however many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

# Halves of 32 bits: each half of up to 2^31 values sums within int64, so no addition can wrap.
_HALF_BITS = 32
_COUNT_MAX = 2**31


def exact_sum(values: np.ndarray | Iterable[int]) -> int:
    """Return the exact sum of integers as a Python int.

    An integer array of any shape is added in two halves of 32 bits, so that int64 cannot overflow
    (NumPy's own sum wraps without a word). Floats are refused: their sum depends on the order.
    O(n) time. Raises ``TypeError`` for anything but integers, ``OverflowError`` past 2^31 values.
    """
    if isinstance(values, np.ndarray):
        return _sum_of_array(values)
    total = 0
    for value in values:
        if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
            raise TypeError(f"an exact sum needs integers, got {value!r}")
        total += int(value)
    return total


def _sum_of_array(values: np.ndarray) -> int:
    if values.dtype.kind not in "iu":
        raise TypeError(f"an exact sum needs integers, got an array of {values.dtype}")
    if values.size > _COUNT_MAX:
        raise OverflowError(f"an exact sum takes at most 2^31 values at once, got {values.size}")
    if values.dtype.kind == "u":
        wide_u = values.astype(np.uint64)
        low = int((wide_u & np.uint64(2**_HALF_BITS - 1)).sum(dtype=np.uint64))
        return (int((wide_u >> np.uint64(_HALF_BITS)).sum(dtype=np.uint64)) << _HALF_BITS) + low
    wide = values.astype(np.int64)
    low = int((wide & np.int64(2**_HALF_BITS - 1)).sum(dtype=np.int64))
    return (int((wide >> np.int64(_HALF_BITS)).sum(dtype=np.int64)) << _HALF_BITS) + low


def total_over_accounts(values: Mapping[str, int | None]) -> int | None:
    """Sum one integer per account; None when one account did not answer or there is none.

    A partial sum is never returned: it would look like a loss.
    """
    answers = list(values.values())
    if not answers or any(value is None for value in answers):
        return None
    return exact_sum(value for value in answers if value is not None)
