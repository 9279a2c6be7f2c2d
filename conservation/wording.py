"""Numbers as people read them."""

from __future__ import annotations

from conservation.laws import Number


def plural(count: int, noun: str) -> str:
    """Return a count and its noun, as in 1,000 readings."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def percent(share: float) -> str:
    """Return a share as a percentage, as in 99.9 %."""
    return f"{100.0 * share:.6g} %"


def short(number: Number) -> str:
    """Return an integer to the unit, however long, and any other number to three digits."""
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"
