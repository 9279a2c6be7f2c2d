"""Numbers as people write them on pages, and as the document keeps them: text, exact both ways."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from business.roi.amounts import NotANumber, read_number

# People group digits; a comma may mean a decimal point, so it is asked about and not guessed.
_GROUPING = re.compile(r"(?<=[0-9])[ _'’\u00a0\u2009\u202f](?=[0-9]{3})")
_PERCENT = {
    "share": (Decimal(0), Decimal(100)),
    "rate": (Decimal("-99.99"), Decimal(10_000)),
}


def to_text(value: Any, *, percent: bool = False) -> str:
    """Return a document's number without an exponent: 200000, 12.5; in percent if asked."""
    if value in (None, ""):
        return ""
    number = Decimal(str(value))
    text = f"{number * 100 if percent else number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def grouped(value: Any, *, percent: bool = False) -> str:
    """Return a document's number in groups of three, as tables show it."""
    whole, point, rest = to_text(value, percent=percent).partition(".")
    sign = "−" if whole.startswith("-") else ""
    digits = f"{int(whole.lstrip('-')):,}".replace(",", "\u202f")
    return f"{sign}{digits}{point}{rest}"


def from_text(text: str, role: str) -> str:
    """Return what the document keeps for a number as written, a fraction for one in percent.

    Raises ``NotANumber`` for a percentage that is none; other numbers the calculator itself judges.
    """
    text = _GROUPING.sub("", text.strip()).replace("−", "-")
    if role not in _PERCENT:
        return text
    low, high = _PERCENT[role]
    number = read_number(text.removesuffix("%").strip(), low=low, high=high)
    return to_text(number / 100)


__all__ = ["NotANumber", "from_text", "grouped", "to_text"]
