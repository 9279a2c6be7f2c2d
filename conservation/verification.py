"""The verdict on a law: balance = after - before - declared flux, held against the law's tolerance.

A missing or non-finite number never comes out as fine. What is not known is UNKNOWN; a reading that
was taken and is not a finite number is VIOLATED, because no finite sum can turn into it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from conservation.laws import Kind, Law, Number, Reading, Value


class Status(StrEnum):
    """What was found out about a law."""

    CONSERVED = "CONSERVED"
    BOUNDED = "BOUNDED"
    VIOLATED = "VIOLATED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_fine(self) -> bool:
        """Whether the law was verified and held."""
        return self in (Status.CONSERVED, Status.BOUNDED)


# The gravest first: a violation outranks ignorance, and ignorance outranks every good answer.
_GRAVITY = (Status.VIOLATED, Status.UNKNOWN, Status.BOUNDED, Status.CONSERVED)


@dataclass(frozen=True)
class Verdict:
    """The answer about one law, with its numbers; ``balance`` has the readings' sign and shape."""

    law: Law
    status: Status
    expected: Value | None
    found: Value | None
    balance: Value | None
    error: Number | None
    limit: Number
    reason: str

    @property
    def margin(self) -> float | None:
        """The part of the limit that is used (above 1 when violated); None where undefined."""
        if self.error is None:
            return None
        if self.limit == 0:
            return 0.0 if self.error == 0 else None
        return float(self.error / self.limit)


def verify(
    law: Law, before: Reading | None, after: Reading | None, declared_flux: Value = 0
) -> Verdict:
    """Judge a law between two readings of its quantity.

    ``declared_flux`` is what entered (positive) or left through the law's declared sources and
    sinks; a law that declares none takes 0 only. The error of a vector is its largest component
    for an exact law and its Euclidean length otherwise. Raises ``ValueError`` when the readings are
    of another quantity, of different shapes, or the flux was not declared; ``TypeError`` when an
    exact law is given anything but integers.
    """
    _check_quantities(law, before, after)
    if before is None or before.value is None or after is None or after.value is None:
        return _without_balance(law, Status.UNKNOWN, before, after, "a reading is missing")
    start, end = _components(before.value), _components(after.value)
    flux = _components(declared_flux)
    if flux == (0,):
        flux = (0,) * len(start)
    if not len(start) == len(end) == len(flux):
        raise ValueError(f"the readings of {law.quantity.name} do not have the same components")
    if any(flux) and not law.sources_and_sinks:
        raise ValueError(f"the law for {law.quantity.name} declares no sources or sinks")
    if not _all_finite(start) or not _all_finite(flux):
        why = "the first reading or the flux is not a finite number"
        return _without_balance(law, Status.UNKNOWN, before, after, why)
    if not _all_finite(end):
        why = "the last reading is not a finite number"
        return _without_balance(law, Status.VIOLATED, before, after, why)
    if law.kind is Kind.EXACT:
        _check_integers(law, start + end + flux)
    return _judge(law, before.value, start, end, flux)


def _judge(
    law: Law,
    shape: Value,
    start: tuple[Number, ...],
    end: tuple[Number, ...],
    flux: tuple[Number, ...],
) -> Verdict:
    expected = tuple(a + f for a, f in zip(start, flux, strict=True))
    balance = tuple(b - e for b, e in zip(end, expected, strict=True))
    exact = law.kind is Kind.EXACT
    error: Number = max(abs(b) for b in balance) if exact else math.hypot(*balance)
    # Written so that an error that is not a number (an overflow, inf - inf) falls to VIOLATED.
    if error <= law.tolerance:
        status = Status.BOUNDED if law.kind is Kind.BOUNDED else Status.CONSERVED
    else:
        status = Status.VIOLATED
    return Verdict(
        law,
        status,
        _like(shape, expected),
        _like(shape, end),
        _like(shape, balance),
        error,
        law.tolerance,
        law.reason,
    )


def worst(statuses: list[Status]) -> Status:
    """Return the gravest of several answers; UNKNOWN when there is none."""
    return min(statuses, key=_GRAVITY.index, default=Status.UNKNOWN)


def _check_quantities(law: Law, before: Reading | None, after: Reading | None) -> None:
    for reading in (before, after):
        if reading is not None and reading.quantity != law.quantity:
            raise ValueError(
                f"a reading of {reading.quantity.name} was given to the law for {law.quantity.name}"
            )


def _check_integers(law: Law, values: tuple[Number, ...]) -> None:
    if any(isinstance(value, bool) or not isinstance(value, int) for value in values):
        raise TypeError(f"the law for {law.quantity.name} is exact: its readings are integers")


def _components(value: Value) -> tuple[Number, ...]:
    return value if isinstance(value, tuple) else (value,)


def _like(shape: Value, components: tuple[Number, ...]) -> Value:
    return components if isinstance(shape, tuple) else components[0]


def _all_finite(values: tuple[Number, ...]) -> bool:
    return all(isinstance(value, int) or math.isfinite(value) for value in values)


def _without_balance(
    law: Law, status: Status, before: Reading | None, after: Reading | None, why: str
) -> Verdict:
    return Verdict(
        law,
        status,
        before.value if before else None,
        after.value if after else None,
        None,
        None,
        law.tolerance,
        why,
    )
