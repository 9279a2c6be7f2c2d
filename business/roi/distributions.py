"""Uncertain inputs: distributions that a person can state, and their values at normal scores.

Every draw begins as a standard normal score z and becomes Q(Phi(z)), the distribution's quantile at
z's probability. So any input can be correlated with any other by correlating the scores (a Gaussian
copula), and one routine serves all. Normal and lognormal values follow from z in closed form; the
bounded ones are read from a table of ``_NODES`` nodes over |z| <= 8.5, linear between them, with an
error below 1e-6 of the range.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property
from statistics import NormalDist

import numpy as np

from business.roi.amounts import EXACT

_Z_MAX = 8.5
_NODES = 4097
_GRID = np.linspace(-_Z_MAX, _Z_MAX, _NODES)
# The smaller tail's probability at each node: a difference from 1 would have no digits there.
_TAIL = np.array([math.erfc(abs(z) / math.sqrt(2)) / 2 for z in _GRID])
_Z95 = NormalDist().inv_cdf(0.95)


@dataclass(frozen=True)
class Distribution(ABC):
    """A distribution of one input. Its mean is exact, its draws are floats."""

    @abstractmethod
    def mean(self) -> Decimal:
        """Return the mean, which is the base case's value."""

    @abstractmethod
    def at_scores(self, z: np.ndarray) -> np.ndarray:
        """Return the quantiles at the normal scores ``z`` (any shape, float64)."""

    def probability_below_0(self) -> float:
        """Return how probable a negative value is: only a normal input can have one."""
        return 0.0

    def quantile(self, probability: float) -> float:
        """Return the value that is not exceeded with this probability (0 < p < 1)."""
        score = NormalDist().inv_cdf(probability)
        return float(self.at_scores(np.array([score]))[0])


@dataclass(frozen=True)
class Normal(Distribution):
    """Mean and standard deviation."""

    centre: Decimal
    sd: Decimal

    def mean(self) -> Decimal:
        """Return the mean."""
        return self.centre

    def at_scores(self, z: np.ndarray) -> np.ndarray:
        """Return mean + sd * z."""
        return float(self.centre) + float(self.sd) * z

    def probability_below_0(self) -> float:
        """Return Phi(-mean / sd)."""
        return NormalDist(float(self.centre), float(self.sd)).cdf(0)


@dataclass(frozen=True)
class Lognormal(Distribution):
    """exp(mu + sigma * z), stated by its 5 % and 95 % quantiles, both above 0."""

    p5: Decimal
    p95: Decimal

    def mean(self) -> Decimal:
        """Return exp(mu + sigma**2 / 2)."""
        with localcontext(EXACT):
            low, high = self.p5.ln(), self.p95.ln()
            sigma = (high - low) / (2 * Decimal(_Z95))
            return ((low + high) / 2 + sigma * sigma / 2).exp()

    def at_scores(self, z: np.ndarray) -> np.ndarray:
        """Return exp(mu + sigma * z)."""
        low, high = math.log(self.p5), math.log(self.p95)
        return np.asarray(np.exp((low + high) / 2 + (high - low) / (2 * _Z95) * z))


@dataclass(frozen=True)
class Bounded(Distribution):
    """Between ``low`` and ``high``, by a table."""

    low: Decimal
    high: Decimal

    @abstractmethod
    def unit_quantiles(self, tail: np.ndarray, *, from_above: bool) -> np.ndarray:
        """Return for [0, 1] the distance from the end (0, or 1) that has probability ``tail``."""

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        middle = _NODES // 2
        below = self.unit_quantiles(_TAIL[: middle + 1], from_above=False)
        above = 1 - self.unit_quantiles(_TAIL[middle + 1 :], from_above=True)
        values = float(self.low) + float(self.high - self.low) * np.concatenate([below, above])
        return values, np.append(np.diff(values), 0.0)

    def at_scores(self, z: np.ndarray) -> np.ndarray:
        """Return the table's values, linear between nodes."""
        values, steps = self._table
        place = np.clip(z, -_Z_MAX, _Z_MAX)
        place += _Z_MAX
        place *= (_NODES - 1) / (2 * _Z_MAX)
        node = place.astype(np.intp)
        place -= node
        place *= steps.take(node)
        place += values.take(node)
        return place


@dataclass(frozen=True)
class Uniform(Bounded):
    """Any value of the range is as likely."""

    def mean(self) -> Decimal:
        """Return the middle."""
        return (self.low + self.high) / 2

    def unit_quantiles(self, tail: np.ndarray, *, from_above: bool) -> np.ndarray:
        """Return the probability itself."""
        return tail


@dataclass(frozen=True)
class Triangular(Bounded):
    """Low, most likely, high; straight lines between."""

    likely: Decimal

    def mean(self) -> Decimal:
        """Return (low + likely + high) / 3."""
        with localcontext(EXACT):
            return (self.low + self.likely + self.high) / 3

    def unit_quantiles(self, tail: np.ndarray, *, from_above: bool) -> np.ndarray:
        """Invert the two parabolas of the distribution function."""
        mode = _share(self)
        mode = 1 - mode if from_above else mode
        near = np.sqrt(tail * mode)
        far = 1 - np.sqrt((1 - tail) * (1 - mode))
        return np.where(tail <= mode, near, far)


@dataclass(frozen=True)
class Pert(Bounded):
    """Low, most likely, high; a beta distribution with the weight 4 on the most likely value."""

    likely: Decimal

    def mean(self) -> Decimal:
        """Return (low + 4 * likely + high) / 6."""
        with localcontext(EXACT):
            return (self.low + 4 * self.likely + self.high) / 6

    def unit_quantiles(self, tail: np.ndarray, *, from_above: bool) -> np.ndarray:
        """Invert the beta distribution function, integrated by trapezia over 32 768 steps."""
        mode = _share(self)
        mode = 1 - mode if from_above else mode
        x = np.linspace(0, 1, 32769)
        density = x ** (4 * mode) * (1 - x) ** (4 * (1 - mode))
        area = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
        return np.interp(tail, area / area[-1], x)


def _share(shape: Triangular | Pert) -> float:
    return float((shape.likely - shape.low) / (shape.high - shape.low))
