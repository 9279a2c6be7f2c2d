"""A sum that grows one number at a time, and the balance against it: exact or rounded once."""

from __future__ import annotations

import math
from typing import Protocol

from conservation.laws import Number


class RunningFlux(Protocol):
    """All flux since the first reading, of one component."""

    def add(self, entered: Number) -> None:
        """Add what entered (positive) or left."""

    def expected(self, start: Number) -> Number:
        """Return start + flux."""

    def balance(self, start: Number, found: Number) -> Number:
        """Return found - start - flux."""


class IntegerFlux:
    """Python integers: exact, whatever their size."""

    __slots__ = ("_total",)

    def __init__(self) -> None:
        self._total: Number = 0

    def add(self, entered: Number) -> None:
        """Add an integer."""
        self._total += entered

    def expected(self, start: Number) -> Number:
        """Return start + flux."""
        return start + self._total

    def balance(self, start: Number, found: Number) -> Number:
        """Return found - start - flux."""
        return found - start - self._total


class FloatFlux:
    """Floats, with what each addition lost carried along (Neumaier 1974, ZAMM 54, 39).

    A plain sum errs by up to half a unit in the last place each reading, and the law would be
    judged for it.
    """

    __slots__ = ("_lost", "_total")

    def __init__(self) -> None:
        self._total = 0.0
        self._lost = 0.0

    def add(self, entered: Number) -> None:
        """Add a finite float."""
        total = self._total + entered
        if abs(self._total) >= abs(entered):
            self._lost += (self._total - total) + entered
        else:
            self._lost += (entered - total) + self._total
        self._total = total

    def expected(self, start: Number) -> Number:
        """Return start + flux, rounded once; not finite where it overflows."""
        return _sum(start, self._total, self._lost)

    def balance(self, start: Number, found: Number) -> Number:
        """Return found - start - flux, rounded once; not finite where it overflows."""
        return _sum(found, -start, -self._total, -self._lost)


def _sum(*numbers: Number) -> float:
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):  # past the largest float, or inf - inf
        return math.nan
