"""Numbers as text on the server, in the form that the pages' live values take over."""

from __future__ import annotations

import math
from typing import Any

from django import template

register = template.Library()

NO_VALUE = "–"
_NARROW = "\u202f"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@register.filter
def sci(value: float | None, digits: int = 3) -> str:
    """Return 1.23×10⁻⁹; plain between 0.001 and a million, "0" for zero, "–" for none."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        return _signed(f"{value:.{digits}g}" if abs(value) < 1000 else _group(round(value)))
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{_signed(mantissa)}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


@register.filter
def count(value: int | None) -> str:
    """Return a whole number in groups of three."""
    return NO_VALUE if value is None else _group(value)


@register.filter
def seconds(value: float | None) -> str:
    """Return a duration: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    if value < 0.1:
        return f"under 0.1{_NARROW}s"
    if value < 10:
        return f"{value:.1f}{_NARROW}s"
    whole = round(value)
    if whole < 60:
        return f"{whole}{_NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{_NARROW}min {whole % 60:02d}{_NARROW}s"
    return f"{whole // 3600}{_NARROW}h {whole % 3600 // 60:02d}{_NARROW}min"


@register.filter
def percent(value: float | None) -> str:
    """Return 0.1234 as 12.3 %."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{_signed(f'{100 * value:.3g}')}{_NARROW}%"


@register.filter
def components(value: float | list[float] | None) -> str:
    """Return a number, or a vector as (x, y, z), with six digits."""
    if isinstance(value, list | tuple):
        return f"({', '.join(sci(component, 6) for component in value)})"
    return sci(value, 6)


@register.filter
def at(mapping: dict[str, Any], key: str) -> Any:
    """Return the value of a key that stands in a variable."""
    return mapping[key]


def _group(value: int) -> str:
    text = f"{value:,}" if abs(value) >= 10_000 else str(value)
    return _signed(text.replace(",", _NARROW))


def _signed(text: str) -> str:
    return text.replace("-", "−")
