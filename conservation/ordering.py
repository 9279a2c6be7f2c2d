"""Numbered things that arrive early, twice or never, handed on in order, in constant memory.

Of the numbers around the next one that is due, ``window`` ones on each side are remembered: ahead
of it the things that wait for a gap to be filled, behind it those that were handed on, so that one
that comes again can be compared. A gap that falls out of the window is given up.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Generic, TypeVar

from conservation.checks import check_count

T = TypeVar("T")

WINDOW_MAX = 4096


class Arrival(StrEnum):
    """What became of a thing that was put in."""

    DUE = "due"  # it is handed on, with all that waited for it
    WAITING = "waiting"  # for one that is missing before it
    DUPLICATE = "duplicate"  # the same came before; ignored
    CONTRADICTION = "contradiction"  # another one came under this number; ignored
    TOO_LATE = "too late"  # its number was given up, or is older than the window; ignored


class InOrder(Generic[T]):
    """Put numbered things in as they come; take them out in the order of their numbers.

    ``first`` is the number of the first one. One that is more than ``gap_max`` ahead is refused: no
    gap, but another numbering. O(window) memory; O(1) time a thing and a number given up.
    """

    __slots__ = ("_first", "_gap_max", "_is_closed", "_next", "_slots", "_waiting", "_window")

    def __init__(self, first: int, window: int, gap_max: int) -> None:
        for name, number, least in (
            ("first number", first, 0),
            ("window", window, 1),
            ("longest gap", gap_max, 1),
        ):
            check_count(name, number, least)
        if window > WINDOW_MAX:
            raise ValueError(f"a window of {window} numbers is too wide: at most {WINDOW_MAX}")
        self._window, self._gap_max = window, max(gap_max, window)
        # A number's place is its remainder, so no two numbers of the window share one.
        self._slots: list[tuple[int, T] | None] = [None] * (2 * window)
        self._first = self._next = first
        self._waiting = 0
        self._is_closed = False

    @property
    def next_due(self) -> int:
        """The number of the next one that is due."""
        return self._next

    @property
    def waiting(self) -> int:
        """How many have come, and wait for one that is missing."""
        return self._waiting

    def check(self, number: int) -> None:
        """Raise ``TypeError`` or ``ValueError`` for a number that ``put`` would refuse."""
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"the number of a reading is an integer, not {number!r}")
        if number < self._first:
            raise ValueError(f"the readings start at number {self._first}, not at {number}")
        if self._is_closed and number >= self._next:
            raise ValueError(f"the stream was closed; it takes no reading {number}")
        if number - self._next > self._gap_max:
            raise ValueError(
                f"reading {number} is {number - self._next} numbers ahead of the next one due; "
                f"at most {self._gap_max} are a gap: start a new stream"
            )

    def put(self, number: int, thing: T) -> tuple[Arrival, list[T | None]]:
        """Put one in. Return what became of it, and all that is handed on for it, in order: None
        for a number that is given up.
        """
        self.check(number)
        slot = self._slots[number % len(self._slots)]
        if slot is not None and slot[0] == number:
            same = slot[1] == thing
            return (Arrival.DUPLICATE if same else Arrival.CONTRADICTION), []
        if number < self._next:
            return Arrival.TOO_LATE, []
        handed_on = []
        while self._next + self._window <= number:
            handed_on.append(self._advance())
        self._keep(number, thing)
        while self._waiting and self._is_here(self._next):
            handed_on.append(self._advance())
        return (Arrival.DUE if number < self._next else Arrival.WAITING), handed_on

    def close(self) -> list[T | None]:
        """Say that no more will come, and hand on all that waits: None for each gap's number."""
        self._is_closed = True
        handed_on = []
        while self._waiting:
            handed_on.append(self._advance())
        return handed_on

    def _keep(self, number: int, thing: T) -> None:
        self._slots[number % len(self._slots)] = (number, thing)
        self._waiting += 1

    def _is_here(self, number: int) -> bool:
        slot = self._slots[number % len(self._slots)]
        return slot is not None and slot[0] == number

    def _advance(self) -> T | None:
        slot = self._slots[self._next % len(self._slots)]
        is_here = slot is not None and slot[0] == self._next
        self._waiting -= is_here
        self._next += 1
        return slot[1] if slot is not None and is_here else None
