"""What a study found, in the one shape that its file, its page and its PDF are made from.

Every number is a ``Measured``: a value, its interval and how that was made. Sentences are put
together by the study from its own numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conservation.claims import Floats, interval_of_share

RESULTS = Path(__file__).resolve().parent / "results"
SLUGS = ("fraud", "diagnosis", "quality")
CONFIDENCE = 0.95
_RESAMPLES = 2000
_DIGITS = 6


@dataclass(frozen=True)
class Measured:
    """A value and its 95 % interval; ``unit`` is share, or what is counted."""

    value: float
    low: float
    high: float
    unit: str
    method: str


@dataclass(frozen=True)
class Column:
    """One measure that all policies have."""

    key: str
    title: str
    sentence: str


@dataclass(frozen=True)
class Policy:
    """One way to decide, and what came of it."""

    name: str
    rule: str
    is_baseline: bool
    measures: Mapping[str, Measured]


@dataclass(frozen=True)
class Promise:
    """What a method guarantees, and what was measured."""

    sentence: str
    bound: float
    measured: Measured

    @property
    def verdict(self) -> str:
        """KEPT when the whole interval is within the bound, BROKEN when it is beyond, else
        CONSISTENT: the measurement cannot tell.
        """
        if self.measured.high <= self.bound:
            return "KEPT"
        return "BROKEN" if self.measured.low > self.bound else "CONSISTENT"


@dataclass(frozen=True)
class Break:
    """A run in which an assumption does not hold: the promise breaks. What notices it, if any."""

    title: str
    sentence: str
    promise: Promise
    notice: str
    noticed: Measured | None = None
    false_notice: Measured | None = None


@dataclass(frozen=True)
class Curve:
    """One line of a figure."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Figure:
    """A chart with its table. ``limit`` is a level line."""

    name: str
    title: str
    sentence: str
    x_title: str
    y_title: str
    curves: list[Curve]
    limit: float | None = None
    limit_title: str = ""


@dataclass(frozen=True)
class Study:
    """A study and everything that it found."""

    slug: str
    title: str
    industry: str
    question: str
    answer: str
    seed: int
    facts: Mapping[str, str]
    columns: list[Column]
    policies: list[Policy]
    promises: list[Promise]
    not_promised: list[str]
    breaks: list[Break]
    figures: list[Figure]
    assumptions: list[str]
    sources: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return the study as plain data, numbers rounded to six digits."""
        plain = asdict(self)
        for at, promise in enumerate(self.promises):
            plain["promises"][at]["verdict"] = promise.verdict
        for at, broken in enumerate(self.breaks):
            plain["breaks"][at]["promise"]["verdict"] = broken.promise.verdict
        rounded = _rounded(plain)
        assert isinstance(rounded, dict)
        return rounded


def share_of(count: int, of: int) -> Measured:
    """Return a share of independent trials with its exact interval."""
    low, high = interval_of_share(count, of, CONFIDENCE)
    method = f"{count:,} of {of:,}, exact binomial interval"
    return Measured(count / of, low, high, "share", method)


def mean_of(values: Floats, unit: str, what: str) -> Measured:
    """Return the mean of independent repetitions with its bootstrap interval."""
    return ratio_of(values, np.ones(values.size), unit, what)


def ratio_of(above: Floats, below: Floats, unit: str, what: str) -> Measured:
    """Return a ratio of sums over independent repetitions with its bootstrap interval.

    Percentiles of 2,000 resamples of the repetitions (Efron & Tibshirani 1993), always the same
    ones. A share of which nothing was seen gets the interval of no event in so many repetitions.
    """
    drawn = np.random.default_rng(0).integers(0, above.size, (_RESAMPLES, above.size))
    sums = below[drawn].sum(axis=1)
    ratios = np.divide(above[drawn].sum(axis=1), sums, out=np.zeros(_RESAMPLES), where=sums > 0)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    total = float(below.sum())
    value = float(above.sum()) / total if total else 0.0
    if value == 0.0 and unit == "share":
        high = interval_of_share(0, above.size, CONFIDENCE)[1]
    method = f"{above.size:,} {what}, bootstrap interval"
    return Measured(value, float(low), float(high), unit, method)


def load_kept(slug: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return the kept result of a study."""
    kept = json.loads((folder / f"{slug}.json").read_text())
    assert isinstance(kept, dict)
    return kept


def percent(share: float, digits: int = 2) -> str:
    """Return a share as a percentage with so many significant digits, as in 0.52 %."""
    return f"{number(100.0 * share, digits)} %"


def number(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits and a true minus sign."""
    if value and abs(value) < 10 ** (digits - 1):
        text = np.format_float_positional(
            float(f"{value:.{digits - 1}e}"), trim="-", fractional=False
        )
    else:
        text = f"{value:,.0f}"
    return text.replace("-", "−")


def describe(measured: Mapping[str, Any]) -> str:
    """Return a value with its interval, as in 4.1 % (3.8 % to 4.5 %)."""
    value, low, high = (as_text(measured, name) for name in ("value", "low", "high"))
    unit = "" if measured["unit"] == "share" else f" {measured['unit']}"
    return f"{value} ({low} to {high}){unit}"


def as_text(measured: Mapping[str, Any], name: str) -> str:
    """Return one number of a measurement, without its unit unless that is %."""
    found: float = measured[name]
    return percent(found, 3) if measured["unit"] == "share" else number(found)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return value
