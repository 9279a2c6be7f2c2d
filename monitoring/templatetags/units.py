"""Numbers with units, as the server prints them before the page is live (see
static/js/format.js).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from django import template

from monitoring.wording import number

register = template.Library()

NO_VALUE = "–"
_NARROW = "\u202f"
_PREFIXES = {
    -18: "a", -15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "",
    3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E",
}  # fmt: skip
# Units that carry a prefix already, or are shares and counts.
_UNPREFIXED = ("kg", "%", "MB")


@register.filter
def with_unit(value: object, unit: str) -> str:
    """Return ``1.984 GJ``: four significant digits, an SI prefix where there is one.

    A field that is missing (templates give an empty text then) is no value.
    """
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NO_VALUE
    if value == 0:
        return _join("0", unit)
    # Rounded first, so that 999.96 becomes 1.000 k and not 1000.
    rounded = float(f"{value:.3e}")
    power = 3 * math.floor(math.log10(abs(rounded)) / 3)
    if unit.startswith(_UNPREFIXED) or power not in _PREFIXES:
        return _join(number(rounded, 4), unit)
    return _join(_significant(rounded / 10**power, 4), _PREFIXES[power] + unit)


@register.filter
def raw(value: object) -> str:
    """Return a number as JavaScript reads it; nothing without one."""
    return repr(value) if isinstance(value, int | float) else ""


@register.filter
def as_percent(share: object) -> str:
    """Return 0.1234 as ``12.3 %``."""
    return _join(f"{100 * share:.3g}", "%") if isinstance(share, int | float) else NO_VALUE


def _significant(value: float, digits: int) -> str:
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}".replace("-", "−")


def _join(text: str, unit: str) -> str:
    return f"{text}{_NARROW}{unit}" if unit else text


@register.filter
def iso_time(epoch_ms: float | None) -> str:
    """Return milliseconds since 1970 as the ``datetime`` attribute wants them."""
    if epoch_ms is None:
        return ""
    return f"{datetime.fromtimestamp(epoch_ms / 1000, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"


@register.filter
def utc_time(epoch_ms: float | None) -> str:
    """Return milliseconds since 1970 as a date and time that names its zone."""
    if epoch_ms is None:
        return NO_VALUE
    return f"{datetime.fromtimestamp(epoch_ms / 1000, tz=UTC):%-d %b %Y, %H:%M:%S} UTC"
