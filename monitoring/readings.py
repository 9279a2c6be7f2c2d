"""A reading of a quantity as it enters: its shape and what is refused at the door."""

from __future__ import annotations

import math
from dataclasses import dataclass

from conservation import Kind, Status
from tenants.errors import Invalid

# Name to SI unit. The first three have a card on the dashboard.
UNITS = {
    "energy": "J",
    "momentum": "kg·m/s",
    "information": "bit",
    "angular_momentum": "kg·m²/s",
    "mass": "kg",
}
CARDS = ("energy", "momentum", "information")


class BadReading(Invalid):
    """A reading that cannot be recorded."""

    code = "bad_reading"


@dataclass(frozen=True)
class QuantityReading:
    """What an account holds of a quantity, the error of its balance, and the verdict; units SI or
    bits.

    ``value`` or ``balance`` is None, or not finite, when the participant did not answer with a
    number.
    """

    quantity: str
    unit: str
    value: float | None
    balance: float | None
    limit: float | None
    law: str
    verdict: str


def check_reading(reading: QuantityReading) -> None:
    """Raise ``BadReading`` where a name, unit, law, verdict or number will not do."""
    if reading.quantity not in UNITS:
        raise BadReading(f"{reading.quantity!r} is no quantity. Choose one of {', '.join(UNITS)}.")
    if reading.unit != UNITS[reading.quantity]:
        raise BadReading(
            f"{reading.quantity} is measured in {UNITS[reading.quantity]}, not in {reading.unit!r}."
        )
    if reading.law not in set(Kind):
        raise BadReading(f"{reading.law!r} is no kind of law. Choose one of {', '.join(Kind)}.")
    if reading.verdict not in set(Status):
        raise BadReading(f"{reading.verdict!r} is no verdict. Choose one of {', '.join(Status)}.")
    if reading.limit is not None and not (math.isfinite(reading.limit) and reading.limit >= 0):
        raise BadReading(f"The limit of {reading.quantity} must be finite and not negative.")
    known = finite(reading.value) is not None and finite(reading.balance) is not None
    if Status(reading.verdict).is_fine and not (known and reading.limit is not None):
        raise BadReading(f"{reading.quantity} was called fine without a number for it.")


def finite(number: float | None) -> float | None:
    """Return the number, or None where it is none (JSON and charts know no infinity)."""
    return float(number) if number is not None and math.isfinite(number) else None


def margin(balance: float | None, limit: float | None) -> float | None:
    """Return the part of the limit that is used, at most 1; None where it is not known."""
    if balance is None or limit is None:
        return None
    if limit == 0:
        return 0.0 if balance == 0 else 1.0
    return min(1.0, abs(balance) / limit)
