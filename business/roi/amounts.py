"""Numbers as people and files give them: read exactly, within limits, or refused with a sentence.

Money and rates are ``Decimal`` from the first character on. A float is taken by its shortest text
(0.1 is a tenth), so that a number means the same in a file and in a notebook.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal

# 34 digits, as IEEE decimal128: amounts of 1e15 to a hundredth, over 1200 flows, with 15 to spare.
EXACT = Context(prec=34, Emax=999_999, Emin=-999_999)

# The largest amount: a thousand times the yearly product of the world in dollars is 1e17; rupiah
# and yen of a large company stay below 1e15.
MONEY_MAX = Decimal(10) ** 15
# The smallest that is not 0. Below it a number is a slip, and its reciprocal no longer a number.
SMALLEST = Decimal(10) ** -15
RATE_MAX = Decimal(100)

_TEXT_MAX = 60
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,6})?", re.ASCII)


class NotANumber(ValueError):
    """The text is no number within the limits; the sentence goes on from the input's name."""


def read_number(value: object, *, low: Decimal | int, high: Decimal | int) -> Decimal:
    """Return ``value`` (text, int, float or Decimal) as a Decimal between low and high, inclusive.

    Raises ``NotANumber`` with the end of a sentence, as in "must be a number, not 'ten'.".
    """
    number = _parse(value)
    low, high = Decimal(low), Decimal(high)
    if not low <= number <= high:
        raise NotANumber(f"must lie between {plain(low)} and {plain(high)}, not {shown(value)}.")
    if number and abs(number) < SMALLEST:
        raise NotANumber(f"must be 0 or at least {SMALLEST} in size, not {shown(value)}.")
    return number


def read_rate(value: object) -> Decimal:
    """Return a rate as a fraction: more than -1 (-100 %), at most 100 (10 000 %)."""
    number = read_number(value, low=-RATE_MAX, high=RATE_MAX)
    if number <= -1:
        raise NotANumber(f"must be more than -1 (-100 %), not {shown(value)}.")
    if number < Decimal("-0.9999"):
        raise NotANumber(f"must be at least -0.9999 (-99.99 %), not {shown(value)}.")
    return number


def _parse(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise NotANumber(f"must be a number, not {shown(value)}.")
    if isinstance(value, int) and abs(value) > 10**40:
        raise NotANumber("must be a number of at most 40 digits.")
    text = str(value).strip()
    if len(text) > _TEXT_MAX:
        raise NotANumber(f"must be a number of at most {_TEXT_MAX} characters.")
    if text.endswith("%"):
        raise NotANumber(f"must be a fraction, as 0.1 for 10 %, not {shown(value)}.")
    if not _NUMBER.fullmatch(text):
        raise NotANumber(f"must be a number, not {shown(value)}.")
    return Decimal(text)


def shown(value: object) -> str:
    """Return what was given, short enough for a sentence and on one line."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(str(value))
    return text if len(text) <= 42 else text[:40] + "…'"


def plain(number: Decimal) -> str:
    """Return a limit without an exponent: 1000000, not 1E+6."""
    return f"{number.normalize():f}"


def to_float(number: Decimal | None) -> float | None:
    """Return the nearest float, or None where there is none (a number past 1e308)."""
    if number is None:
        return None
    nearest = float(number)
    return nearest if abs(nearest) < float("inf") else None
