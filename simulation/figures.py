"""Numbers as text on the server, in the form that the pages' live values take over."""

from __future__ import annotations

import math

NO_VALUE = "–"
_NARROW = "\u202f"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


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


def count(value: int | None) -> str:
    """Return a whole number in groups of three."""
    return NO_VALUE if value is None else _group(value)


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


def percent(value: float | None) -> str:
    """Return 0.1234 as 12.3 %."""
    if value is None or not math.isfinite(value):
        return NO_VALUE
    return f"{_signed(f'{100 * value:.3g}')}{_NARROW}%"


def components(value: float | list[float] | None) -> str:
    """Return a number, or a vector as (x, y, z), with six digits."""
    if isinstance(value, list | tuple):
        return f"({', '.join(sci(component, 6) for component in value)})"
    return sci(value, 6)


def length_of_time(value_s: float) -> str:
    """Return a long time as people say it: 58.13 days, 471 500 years, 147.3 million years."""
    for size_s, unit in ((365.25e6 * 86400, "million years"), (365.25 * 86400, "years")):
        if value_s >= size_s:
            return f"{_four_digits(value_s / size_s)} {unit}"
    return f"{_four_digits(value_s / 86400)} days"


def _four_digits(value: float) -> str:
    return count(round(float(f"{value:.4g}"))) if value >= 1000 else f"{value:.4g}"


def _group(value: int) -> str:
    text = f"{value:,}" if abs(value) >= 10_000 else str(value)
    return _signed(text.replace(",", _NARROW))


def _signed(text: str) -> str:
    return text.replace("-", "−")
