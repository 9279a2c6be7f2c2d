"""What is refused at the door, in sentences for a person."""

from __future__ import annotations


def check_count(name: str, number: int, least: int) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless this is an integer that is large enough."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"the {name} is an integer, not {number!r}")
    if number < least:
        raise ValueError(f"the {name} is at least {least}, not {number}")


def check_confidence(confidence: float) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless this lies between 0 and 1."""
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        raise TypeError(f"a confidence is a number, not {confidence!r}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"a confidence lies between 0 and 1, not at {confidence!r}")
