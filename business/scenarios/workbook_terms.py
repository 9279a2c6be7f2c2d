"""A spreadsheet's formula that knows its value: arithmetic on terms writes the one and computes the
other, so a viewer that does not calculate shows the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_SUM, _PRODUCT, _POWER, _WHOLE = range(4)


@dataclass(frozen=True)
class Term:
    """A formula without its "=", and its value: not a number where an input is unknown.

    ``strength`` says how tightly its last operation binds, so that no bracket is missing;
    ``is_number`` that it is a constant.
    """

    text: str
    value: float
    strength: int = _WHOLE
    is_number: bool = False

    def __add__(self, other: Term | float) -> Term:
        """Add."""
        one = term(other)
        if self.is_(0):
            return one
        return Term(f"{self.text}+{one.text}", self.value + one.value, _SUM)

    def __sub__(self, other: Term | float) -> Term:
        """Subtract."""
        one = term(other)
        return Term(f"{self.text}-{one.above(_SUM)}", self.value - one.value, _SUM)

    def __rsub__(self, other: float) -> Term:
        """Subtract from a number."""
        return term(other) - self

    def __radd__(self, other: float) -> Term:
        """Add to a number."""
        return term(other) + self

    def __mul__(self, other: Term | float) -> Term:
        """Multiply."""
        one = term(other)
        if one.is_(1):
            return self
        text = f"{self.from_(_PRODUCT)}*{one.from_(_PRODUCT)}"
        return Term(text, self.value * one.value, _PRODUCT)

    def __truediv__(self, other: Term | float) -> Term:
        """Divide; nothing is given by a division by 0."""
        one = term(other)
        if one.is_(1):
            return self
        value = self.value / one.value if one.value else math.nan
        return Term(f"{self.from_(_PRODUCT)}/{one.above(_PRODUCT)}", value, _PRODUCT)

    def __rtruediv__(self, other: float) -> Term:
        """Divide a number."""
        return term(other) / self

    def __pow__(self, other: Term | float) -> Term:
        """Raise to a power."""
        one = term(other)
        value = _power(self.value, one.value)
        return Term(f"{self.above(_POWER)}^{one.above(_POWER)}", value, _POWER)

    def is_(self, number: float) -> bool:
        """Tell whether this is a constant of that value."""
        return self.is_number and self.value == number

    def from_(self, strength: int) -> str:
        """Return the text, in brackets where it binds less tightly."""
        return self.text if self.strength >= strength else f"({self.text})"

    def above(self, strength: int) -> str:
        """Return the text, in brackets unless it binds more tightly."""
        return self.text if self.strength > strength else f"({self.text})"


def term(value: Term | float) -> Term:
    """Return a number as a term."""
    if isinstance(value, Term):
        return value
    text = f"{value:.0f}" if math.isfinite(value) and value == int(value) else repr(float(value))
    return Term(text, float(value), _WHOLE if value >= 0 else _SUM, is_number=True)


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except (ValueError, OverflowError):
        return math.nan


def product(terms: Iterable[Term]) -> Term:
    """Multiply terms, of which there is at least one."""
    first, *rest = terms
    for each in rest:
        first = first * each
    return first
