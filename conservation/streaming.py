"""Judge a law on readings that arrive one after another from outside, in constant memory.

A stream of readings is numbered by its sender: 0, 1, 2, … A reading carries the sum of the quantity
and the flux that entered (or left) since the reading before it. For each reading, in the order of
the numbers, the balance = reading - first reading - all flux since is held against the tolerance of
the law, just as ``verify`` would between the first reading and this one: exactly, in integers, for
an exact law; from a correctly rounded sum otherwise.

Senders resend, networks reorder and lose. Of the numbers around the next one that is due,
``window`` ones on each side are remembered, no more (see ``ordering``):

* a reading that comes early waits, and the verdict is UNKNOWN until the gap before it is filled;
* one that comes twice is compared with the first: the same is ignored, another one is a
  contradiction, and nothing is known from then on;
* a gap that is older than the window is given up. A law without sources and sinks needs nothing of
  what was lost. Otherwise the declared flux was lost with it: what comes after is no longer
  connected to what came before, a new stretch starts, and the verdict stays UNKNOWN.

A violation stays, whatever comes after it. A law that is not exact can also break by a trend inside
its tolerance (see ``trend``): with the asked-for confidence, at all times at once, a stream that
has none is not called VIOLATED.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from conservation.checks import check_confidence, check_count
from conservation.laws import Kind, Law, Number, Reading, Value
from conservation.ordering import Arrival, InOrder
from conservation.running import FloatFlux, IntegerFlux, RunningFlux
from conservation.trend import LevelTrend, Slope, Statistics, WalkTrend
from conservation.verification import Status, Verdict
from conservation.wording import percent, plural, short

# A round-off law's tolerance is some six standard deviations of its walk: there the interval of its
# drift shall be tightest. Another size would only make it wider.
_DEVIATIONS_IN_TOLERANCE = 6.0


@dataclass(frozen=True)
class Trend:
    """The trend of one component of the balance, and how the size of its error grows."""

    slope: Slope
    growth_exponent: float | None


@dataclass(frozen=True, slots=True)
class _Arrived:
    """What a reading says: components, or None where there is no number, or no flux."""

    sequence: int
    value: tuple[Number, ...] | None
    flux: tuple[Number, ...] | None


@dataclass(frozen=True, slots=True)
class _Judged:
    sequence: int
    found: tuple[Number, ...]
    balance: tuple[Number, ...]
    error: Number


class StreamVerifier:
    """The verdict on one law over a stream of readings, at any time.

    Parameters
    ----------
    law : Law
        Its tolerance bounds the balance since the first reading.
    first : int
        The number of the first reading.
    window : int
        How many numbers on each side of the next one that is due are remembered.
    gap_max : int
        A reading further ahead than this is refused.
    readings_min : int
        With fewer readings judged, the verdict is UNKNOWN.
    confidence : float
        That a stream without a trend is never called VIOLATED for a trend, at all times at once.
        An exact law and the comparison with the tolerance need none.
    noise : float or None
        The sub-Gaussian scale of one reading's error: of an increment of the balance for a
        round-off law, of the balance about its level for a bounded one. None: increments are
        symmetric about their drift (round-off), or the tolerance is the scale (bounded).
    trend_allowed : float
        The trend that the law allows, in units of the balance a reading. Infinity: any.
    block : int
        The trend is taken from the mean (bounded) or the last balance (round-off) of so many
        readings in a row: whole periods of an error that swings.

    O(window) memory, O(1) time a reading. Not safe for threads.
    """

    __slots__ = (
        "_alpha",
        "_anchor",
        "_block",
        "_contradicted",
        "_flux",
        "_judged",
        "_latest",
        "_law",
        "_lost",
        "_noise",
        "_order",
        "_readings_min",
        "_shape",
        "_start",
        "_statistics",
        "_stretches",
        "_trend_allowed",
        "_trend_found",
        "_unread",
        "_violation",
        "_violation_expected",
    )

    def __init__(
        self,
        law: Law,
        *,
        first: int = 0,
        window: int = 64,
        gap_max: int = 10_000,
        readings_min: int = 2,
        confidence: float = 0.999,
        noise: float | None = None,
        trend_allowed: float = 0.0,
        block: int = 1,
    ) -> None:
        if not isinstance(law, Law):
            raise TypeError(f"a stream is judged by a law, not by {type(law).__name__}")
        check_count("least number of readings", readings_min, 2)
        check_count("block", block, 1)
        check_confidence(confidence)
        if noise is not None and not (math.isfinite(noise) and noise > 0):
            raise ValueError(f"the noise of {law.quantity.name} must be finite and positive")
        if not trend_allowed >= 0:
            raise ValueError(f"the trend that is allowed must not be negative: {trend_allowed!r}")
        self._law = law
        self._order: InOrder[_Arrived] = InOrder(first, window, gap_max)
        self._readings_min, self._block = readings_min, block
        self._alpha = 1.0 - confidence
        self._noise, self._trend_allowed = noise, trend_allowed
        self._judged = self._lost = self._unread = self._stretches = self._start = 0
        self._shape: int | None = None  # 0: a number; else so many components; None: not known yet
        self._anchor: tuple[Number, ...] | None = None
        self._flux: list[RunningFlux] = []
        self._statistics: list[Statistics] = []
        self._latest: _Judged | None = None
        self._violation: _Judged | None = None
        self._violation_expected: tuple[Number, ...] = ()
        self._trend_found: tuple[int, Slope] | None = None
        self._contradicted: int | None = None

    @property
    def judged(self) -> int:
        """How many readings with a number were taken in their order, the first ones included."""
        return self._judged

    @property
    def lost(self) -> int:
        """How many numbers were given up."""
        return self._lost

    def add(self, reading: Reading, *, sequence: int, flux: Value = 0) -> Arrival:
        """Take in one reading, and judge it with all that waited for it.

        ``flux``: what entered (positive) or left through the law's declared sources and sinks since
        the reading before. A reading of None says that a participant did not answer; its flux
        counts. Raises ``TypeError`` or ``ValueError``, and changes nothing, for numbers that are
        not finite (so the reading stays missing), of another type, quantity, unit or shape, for
        flux that the law does not declare, and far outside the numbering.
        """
        arrived, shape = self._admit(reading, sequence, flux)
        arrival, due = self._order.put(sequence, arrived)
        self._shape = shape
        if arrival is Arrival.CONTRADICTION and self._contradicted is None:
            self._contradicted = sequence
        for each in due:
            self._take(each)
        return arrival

    def close(self) -> None:
        """Say that no more readings come: give up every gap, and judge what waits behind it."""
        for each in self._order.close():
            self._take(each)

    def verdict(self) -> Verdict:
        """Return the verdict on all that has come so far. O(1).

        Its numbers are those of the first violation, else of the latest reading.
        """
        status, sentence = self._status()
        shown = self._violation or self._latest
        limit = self._law.tolerance
        if shown is None:
            return Verdict(self._law, status, None, None, None, None, limit, sentence)
        expected = self._violation_expected if self._violation else self._expected()
        return Verdict(
            self._law,
            status,
            self._like(expected),
            self._like(shown.found),
            self._like(shown.balance),
            shown.error,
            limit,
            sentence,
        )

    def trends(self) -> tuple[Trend, ...]:
        """Return the trend of each component since the stretch began.

        Empty for an exact law, for a tolerance of 0 without declared noise, and before there are
        readings enough for a slope.
        """
        return tuple(
            Trend(slope, each.growth.value())
            for each in self._statistics
            if (slope := each.trend.slope()) is not None
        )

    # What comes in ------------------------------------------------------------------------------

    def _admit(self, reading: Reading, sequence: int, flux: Value) -> tuple[_Arrived, int | None]:
        if not isinstance(reading, Reading):
            raise TypeError(f"a stream takes readings, not {type(reading).__name__}")
        watched = self._law.quantity
        if reading.quantity != watched:
            raise ValueError(
                f"a reading of {reading.quantity.name} in {reading.quantity.unit} was given to the "
                f"law for {watched.name} in {watched.unit}"
            )
        value = None if reading.value is None else self._numbers(reading.value, "reading")
        # A plain 0 goes with any shape, and is by far the most frequent.
        entered = None if type(flux) is int and not flux else self._numbers(flux, "flux")
        if entered and any(entered) and not self._law.sources_and_sinks:
            raise ValueError(f"the law for {watched.name} declares no sources or sinks")
        shape = self._shape
        if value is not None:
            shape = self._agree(shape, reading.value)
        if entered is not None:
            shape = self._agree(shape, flux)
        return _Arrived(sequence, value, entered), shape

    def _agree(self, known: int | None, value: Value | None) -> int:
        shape = len(value) if isinstance(value, tuple) else 0
        if known is not None and shape != known:
            raise ValueError(
                f"the readings and the flux of {self._law.quantity.name} do not have the same "
                "components"
            )
        return shape

    def _numbers(self, value: Value, what: str) -> tuple[Number, ...]:
        name = self._law.quantity.name
        components = value if isinstance(value, tuple) else (value,)
        is_exact = self._law.kind is Kind.EXACT
        wanted = "an integer" if is_exact else "a number"
        for number in components:
            is_number = isinstance(number, int) or (not is_exact and isinstance(number, float))
            if isinstance(number, bool) or not is_number:
                raise TypeError(f"a {what} of {name} is {wanted}, not {number!r}")
        if is_exact:
            return components
        try:
            floats = tuple(map(float, components))
        except OverflowError as error:
            raise ValueError(f"a {what} of {name} is too large for a float") from error
        if not all(map(math.isfinite, floats)):
            raise ValueError(f"a {what} of {name} is not a finite number: {value!r}")
        return floats

    # In the order of the numbers ----------------------------------------------------------------

    def _take(self, arrived: _Arrived | None) -> None:
        if arrived is None:
            self._lost += 1
            if self._law.sources_and_sinks:
                self._anchor = self._latest = None
            return
        if self._anchor is not None and arrived.flux is not None:
            for total, entered in zip(self._flux, arrived.flux, strict=True):
                total.add(entered)
        if arrived.value is None:
            self._unread += 1
            self._latest = None
            return
        self._judged += 1
        if self._anchor is None:
            self._start_stretch(arrived.sequence, arrived.value)
        self._latest = latest = self._judge(arrived.sequence, arrived.value)
        if self._violation is not None:
            return
        # Written so that an error that is not a number (an overflow) is a violation.
        if latest.error <= self._law.tolerance:
            self._learn(latest)
        else:
            self._violation, self._violation_expected = latest, self._expected()

    def _start_stretch(self, sequence: int, value: tuple[Number, ...]) -> None:
        is_exact = self._law.kind is Kind.EXACT
        self._anchor, self._start = value, sequence
        self._flux = [IntegerFlux() if is_exact else FloatFlux() for _ in value]
        self._stretches += 1
        if is_exact or not (self._law.tolerance > 0 or self._noise):
            return
        # Shares of the false alarms that are allowed: 1/2, 1/6, 1/12, ... sum to 1 over all
        # stretches; components share alike.
        alpha = self._alpha / (self._stretches * (self._stretches + 1) * len(value))
        self._statistics = [Statistics(self._make_trend(alpha), self._block) for _ in value]

    def _make_trend(self, alpha: float) -> WalkTrend | LevelTrend:
        tolerance = float(self._law.tolerance)
        if self._law.kind is Kind.ROUND_OFF:
            scale = tolerance / _DEVIATIONS_IN_TOLERANCE or float(self._noise or 0)
            return WalkTrend(alpha, scale, self._noise)
        return LevelTrend(alpha, tolerance if self._noise is None else self._noise)

    def _judge(self, sequence: int, value: tuple[Number, ...]) -> _Judged:
        assert self._anchor is not None
        balance = tuple(
            flux.balance(start, found)
            for flux, start, found in zip(self._flux, self._anchor, value, strict=True)
        )
        is_exact = self._law.kind is Kind.EXACT
        error: Number = max(map(abs, balance)) if is_exact else math.hypot(*balance)
        return _Judged(sequence, value, balance, error)

    def _expected(self) -> tuple[Number, ...]:
        assert self._anchor is not None
        return tuple(
            flux.expected(start) for flux, start in zip(self._flux, self._anchor, strict=True)
        )

    def _learn(self, latest: _Judged) -> None:
        place = latest.sequence - self._start
        if not place:
            return  # The first reading of a stretch is its own reference: 0 by definition.
        for each, balance in zip(self._statistics, latest.balance, strict=False):
            is_complete = each.add(place, balance)
            if is_complete and not self._trend_found and each.trend.excludes(self._trend_allowed):
                slope = each.trend.slope()
                assert slope is not None
                self._trend_found = (latest.sequence, slope)

    # What is said -------------------------------------------------------------------------------

    def _status(self) -> tuple[Status, str]:
        violated = self._what_is_violated()
        if violated:
            return Status.VIOLATED, f"{violated} {self._law.reason}"
        unknown = self._what_is_unknown()
        if unknown:
            return Status.UNKNOWN, unknown
        fine = Status.BOUNDED if self._law.kind is Kind.BOUNDED else Status.CONSERVED
        return fine, f"{self._what_was_seen()} {self._law.reason}"

    def _what_is_violated(self) -> str:
        unit = self._law.quantity.unit
        if self._violation is not None:
            return (
                f"Reading {self._violation.sequence} is off by {short(self._violation.error)} "
                f"{unit}; the limit is {short(self._law.tolerance)} {unit}."
            )
        if self._trend_found is None:
            return ""
        sequence, slope = self._trend_found
        return (
            f"By reading {sequence} the balance had a trend of {slope.per_reading:.3g} {unit} a "
            f"reading, {self._surely(slope)}; the law allows {self._trend_allowed:.3g}."
        )

    def _what_is_unknown(self) -> str:
        if self._contradicted is not None:
            return f"Reading {self._contradicted} came twice, with different numbers."
        if self._lost and self._law.sources_and_sinks:
            return (
                f"{plural(self._lost, 'reading')} never came, nor the flux declared with them: "
                "what came after is not connected to what came before."
            )
        if self._order.waiting:
            return (
                f"Reading {self._order.next_due} is missing; "
                f"{plural(self._order.waiting, 'later one')} came already."
            )
        if self._judged and self._latest is None:
            return "The last reading came without a number: a participant did not answer."
        if self._judged < self._readings_min:
            return (
                f"Looked at {plural(self._judged, 'reading')}: "
                f"{self._readings_min - self._judged} more must be looked at."
            )
        return ""

    def _what_was_seen(self) -> str:
        tolerance, unit = self._law.tolerance, self._law.quantity.unit
        within = "balance to the unit" if tolerance == 0 else f"stay within {tolerance:.3g} {unit}"
        seen = f"All {plural(self._judged, 'reading')} {within}"
        absent = self._lost + self._unread
        if absent:
            seen += f" ({absent} more never came, or without a number)"
        for trend in self.trends():
            if math.isfinite(trend.slope.low) and math.isfinite(trend.slope.high):
                seen += f"; the trend a reading is {self._surely(trend.slope)}"
        return seen + "."

    def _surely(self, slope: Slope) -> str:
        return (
            f"between {slope.low:.3g} and {slope.high:.3g} {self._law.quantity.unit} with "
            f"{percent(1.0 - self._alpha)} confidence at all times"
        )

    def _like(self, components: tuple[Number, ...]) -> Value:
        return components if self._shape else components[0]
