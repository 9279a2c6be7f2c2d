"""Quantities, laws and readings: what must be conserved, over what, and how far it may stray.

A law never carries a bare tolerance: the reason why that number is right travels with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

Number = int | float
Value = Number | tuple[Number, ...]


class Kind(StrEnum):
    """How strictly a law holds."""

    EXACT = "exact"  # integers, tolerance 0
    ROUND_OFF = "round-off"  # a bound derived from quanta and steps
    BOUNDED = "bounded"  # a bound derived from a method's order and step


@dataclass(frozen=True)
class Quantity:
    """Something whose sum over accounts is watched: a name and an SI unit, bits or a minor unit."""

    name: str
    unit: str

    def __post_init__(self) -> None:
        if not self.name or not self.unit:
            raise ValueError("a quantity needs a name and a unit")


@dataclass(frozen=True)
class Law:
    """A quantity, what it is summed over, declared sources and sinks, a tolerance and its reason.

    ``tolerance`` is in the unit of the values that are compared. It is 0 for an exact law, whose
    values are integers; else finite and not negative.
    """

    quantity: Quantity
    summed_over: str
    kind: Kind
    reason: str
    tolerance: Number = 0
    sources_and_sinks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError(
                f"the law for {self.quantity.name} does not say why its tolerance is right"
            )
        if not math.isfinite(self.tolerance) or self.tolerance < 0:
            raise ValueError(
                f"the tolerance of {self.quantity.name} must be finite and not negative"
            )
        if self.kind is Kind.EXACT and self.tolerance != 0:
            raise ValueError(f"the law for {self.quantity.name} is exact: its tolerance is 0")

    def with_tolerance(self, tolerance: Number) -> Law:
        """Return the same law with another tolerance (a bound that moves with the state)."""
        return replace(self, tolerance=tolerance)


@dataclass(frozen=True)
class Reading:
    """The sum of a quantity at one time, by whom. A vector is a tuple of its components.

    ``value`` is None when a participant did not answer.
    """

    quantity: Quantity
    value: Value | None
    at: float
    by: str

    def __post_init__(self) -> None:
        if isinstance(self.value, Sequence) and not self.value:
            raise ValueError(f"the reading of {self.quantity.name} has no components")
