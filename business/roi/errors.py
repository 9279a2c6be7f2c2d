"""What the calculator refuses: sentences for a person, each with the input that it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. ``field`` is the input's path, as in ``benefits.0.cost_per_error``;
    empty when the whole is meant.
    """

    field: str
    sentence: str


class BadInput(ValueError):
    """The inputs do not describe something that can be computed. Holds every problem found."""

    def __init__(self, problems: str | Iterable[Problem]) -> None:
        """Take one sentence, or problems."""
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems = tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        first, *others = self.problems
        place = f"{first.field}: " if first.field else ""
        more = f" ({len(others)} more to mend.)" if others else ""
        return f"{place}{first.sentence}{more}"
