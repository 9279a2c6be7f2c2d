"""Is there a trend in a balance? Estimates that may be looked at after every reading.

A confidence interval is made for one look, planned beforehand. A stream is looked at after every
reading, and a 5 % interval that is looked at for long enough excludes the truth for sure. The
intervals here are confidence sequences: with probability 1 - alpha the true slope lies in all of
them at once, however often and whenever one looks (Ville 1939; Robbins 1970).

Both kinds use the normal mixture. If exp(lambda S - lambda^2 V / 2) is, for each lambda, a
supermartingale that starts at 1, so is its average over a normal prior of lambda with variance
1/rho, and by Ville's inequality, with probability 1 - alpha, at all times

    S^2 <= (V + rho) log((V + rho) / (rho alpha^2))

(Howard, Ramdas, McAuliffe & Sekhon 2021, Annals of Statistics 49, 1055, the two-sided normal
mixture). Any rho is valid; it only chooses the V at which the bound is tightest.

* ``WalkTrend``, for errors that add up (round-off): the balance is a walk with a drift mu. S is
  the balance less mu per reading. V is either the declared variance, or the sum of the squared
  increments about mu, for which the above holds when an increment is as likely to lie some way
  above mu as below, given the past (de la Pena 1999, Annals of Probability 27, 537).
* ``LevelTrend``, for errors that come and go (bounded): the balance is a + s n + noise, fitted by
  least squares. S is a vector and V a matrix; the ellipsoid is that of Abbasi-Yadkori, Pal &
  Szepesvari (2011, NIPS, theorem 1), here with the information of 100 imagined readings instead of
  a ridge. The noise is sub-Gaussian with the declared scale. A law that bounds the balance by L
  declares it: what lies in an interval of length 2 L is sub-Gaussian with scale L (Hoeffding 1963).

Both need that the past does not foretell the sign of the next error. An error that swings with a
period of many readings foretells it: average whole periods first (``block`` of the verifier).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

# LevelTrend is tightest near 200 readings, and little wider for long after: at 1e5 readings its
# interval is 1.3 times that of the number that is best there.
_IMAGINED_READINGS = 100
_SMALL_OCTAVES = 3
# A root of the walk's interval is bracketed by this many doublings and found by as many halvings.
_BISECTIONS = 60


@dataclass(frozen=True)
class Slope:
    """A trend, in units of the balance per reading; the interval holds at all times at once.

    ``low`` and ``high`` are infinite as long as the readings exclude nothing.
    """

    per_reading: float
    low: float
    high: float
    confidence: float

    def lies_beyond(self, allowed: float) -> bool:
        """Whether the whole interval lies outside [-allowed, allowed]."""
        return self.low > allowed or self.high < -allowed


def mixture_rho(variance: float, alpha: float) -> float:
    """Return the rho whose two-sided normal mixture is about tightest at this variance."""
    spread = 2.0 * math.log(1.0 / alpha)
    return variance / (spread + math.log1p(spread))


def mixture_bound(variance: float, rho: float, alpha: float) -> float:
    """Return the square of the two-sided normal mixture boundary at this variance."""
    wide = variance + rho
    return wide * (math.log(wide / rho) - 2.0 * math.log(alpha))


class WalkTrend:
    """The drift of a walk that starts at 0. Constant memory, O(1) an increment.

    ``scale``: the size of the balance at which the interval shall be tightest. ``noise``: the
    sub-Gaussian scale of one increment, or None for increments that are symmetric about the drift.
    """

    __slots__ = ("_alpha", "_balance", "_cross", "_noise", "_rho", "_squares", "_steps", "_widths")

    def __init__(self, alpha: float, scale: float, noise: float | None = None) -> None:
        self._alpha = alpha
        self._noise = noise
        self._rho = mixture_rho(scale * scale, alpha)
        self._steps = 0
        self._balance = 0.0
        self._squares = 0.0  # sum of d^2, d an increment over g readings
        self._cross = 0.0  # sum of g d
        self._widths = 0.0  # sum of g^2

    def add(self, steps: int, balance: float) -> None:
        """Take the balance after so many readings since the start; ``steps`` grows."""
        width, increment = steps - self._steps, balance - self._balance
        self._squares += increment * increment
        self._cross += width * increment
        self._widths += float(width * width)
        self._steps, self._balance = steps, balance

    def excludes(self, allowed: float) -> bool:
        """Whether every drift in [-allowed, allowed] is excluded, with the asked-for confidence.

        The two ends decide: what is excluded between two excluded drifts on one side of the
        estimate is excluded too, because S^2 less its bound is concave in (mu - estimate)^2.
        """
        if not self._steps or abs(self._balance) <= allowed * self._steps:
            return False
        return self._excess(allowed) > 0.0 and self._excess(-allowed) > 0.0

    def slope(self) -> Slope | None:
        """Return the drift and its interval; None before the first increment.

        Without declared noise it is the part of the confidence set around the estimate. For a few
        readings the set has a second part, of drifts so large that all readings would agree to a
        part in exp(readings / 2); it is not shown.
        """
        if not self._steps:
            return None
        estimate = self._balance / self._steps
        low = estimate - self._reach(estimate, -1.0)
        return Slope(estimate, low, estimate + self._reach(estimate, 1.0), 1.0 - self._alpha)

    def _excess(self, drift: float) -> float:
        rest = self._balance - self._steps * drift
        if self._noise is not None:
            variance = self._noise * self._noise * self._steps
        else:
            variance = self._squares - 2.0 * drift * self._cross + drift * drift * self._widths
        return rest * rest - mixture_bound(max(variance, 0.0), self._rho, self._alpha)

    def _reach(self, estimate: float, side: float) -> float:
        """Return how far from the estimate drifts are not excluded: the bracket's outer end."""
        step = math.sqrt(-self._excess(estimate)) / self._steps
        outer = step
        for _ in range(_BISECTIONS):
            if self._excess(estimate + side * outer) > 0.0:
                break
            outer *= 2.0
        else:
            return math.inf
        inner = 0.0 if outer == step else outer / 2.0
        for _ in range(_BISECTIONS):
            middle = 0.5 * (inner + outer)
            if self._excess(estimate + side * middle) > 0.0:
                outer = middle
            else:
                inner = middle
        return outer


class LevelTrend:
    """The slope of a level with noise, by least squares. Constant memory, O(1) a reading.

    ``noise``: the sub-Gaussian scale of one reading's error about level and slope.
    """

    __slots__ = (
        "_alpha",
        "_count",
        "_covariance",
        "_mean_at",
        "_mean_balance",
        "_noise",
        "_spread",
    )

    def __init__(self, alpha: float, noise: float) -> None:
        self._alpha = alpha
        self._noise = noise
        self._count = 0
        self._mean_at = 0.0
        self._mean_balance = 0.0
        self._spread = 0.0  # sum of (at - mean)^2
        self._covariance = 0.0  # sum of (at - mean) (balance - mean)

    def add(self, at: float, balance: float) -> None:
        """Take the balance at a place along the stream, counted in readings since the start."""
        self._count += 1
        # Welford's update: plain sums of squares would cancel after some 1e8 readings.
        before = at - self._mean_at
        self._mean_at += before / self._count
        self._mean_balance += (balance - self._mean_balance) / self._count
        self._spread += before * (at - self._mean_at)
        self._covariance += before * (balance - self._mean_balance)

    def excludes(self, allowed: float) -> bool:
        """Whether every slope in [-allowed, allowed] is excluded, with the asked-for confidence."""
        slope = self.slope()
        return slope is not None and slope.lies_beyond(allowed)

    def slope(self) -> Slope | None:
        """Return the slope and its interval; None before the second reading."""
        if self._spread <= 0.0:
            return None
        estimate = self._covariance / self._spread
        # The imagined readings lie at 0, 1, ... ; joined to the real ones, the spread of both is:
        few = float(_IMAGINED_READINGS)
        few_spread = few * (few * few - 1.0) / 12.0
        apart = self._mean_at - 0.5 * (few - 1.0)
        both = self._count + few
        both_spread = self._spread + few_spread + apart * apart * self._count * few / both
        growth = math.log(both / few) + math.log(both_spread / few_spread)
        # The entry of G^-1 (G + I) G^-1 for the slope, G the real information, I the imagined one.
        looseness = 1.0 + (few_spread + few * apart * apart) / self._spread
        square = (growth - 2.0 * math.log(self._alpha)) * looseness / self._spread
        reach = self._noise * math.sqrt(square)
        return Slope(estimate, estimate - reach, estimate + reach, 1.0 - self._alpha)


class GrowthExponent:
    """How the size of an error grows: rms ~ readings^p. Constant memory, O(1) a reading.

    The mean square of each octave [2^k, 2^(k+1)) from 8 on is one point, fitted by least squares in
    logarithms. About 0 for noise on a level, 0.5 for a walk (Brouwer 1937), 1 for a drift. It is an
    estimate without an interval, and decides nothing: for walks of 1e5 readings it was
    0.50 +- 0.09 (mean and standard deviation of 400).
    """

    __slots__ = ("_count", "_cross", "_octave", "_places", "_points", "_square", "_squares", "_sum")

    def __init__(self) -> None:
        self._octave = 0
        self._count = 0
        self._square = 0.0
        self._points = 0
        self._places = 0.0
        self._squares = 0.0
        self._sum = 0.0
        self._cross = 0.0

    def add(self, steps: int, balance: float) -> None:
        """Take the balance after so many readings (at least 1) since the start."""
        octave = steps.bit_length()
        if octave != self._octave:
            self._close()
            self._octave = octave
        self._count += 1
        self._square += balance * balance

    def value(self) -> float | None:
        """Return the exponent; None before three octaves are full and not exactly 0."""
        if self._points < 3:
            return None
        spread = self._squares - self._places * self._places / self._points
        return 0.5 * (self._cross - self._places * self._sum / self._points) / spread

    def _close(self) -> None:
        # An octave without any error has no logarithm, and says nothing about growth.
        # Octaves of less than 8 readings are mostly chance.
        if self._octave > _SMALL_OCTAVES and 0.0 < self._square < math.inf:
            height = math.log2(self._square / self._count)
            self._points += 1
            self._places += self._octave
            self._squares += self._octave * self._octave
            self._sum += height
            self._cross += self._octave * height
        self._count, self._square = 0, 0.0


class Statistics:
    """Trend and growth of one component of a balance, the trend by blocks of readings in a row."""

    __slots__ = ("_block", "_count", "_places", "_sum", "growth", "trend")

    def __init__(self, trend: WalkTrend | LevelTrend, block: int) -> None:
        self.trend = trend
        self.growth = GrowthExponent()
        self._block = block
        self._count = 0
        self._places = 0
        self._sum = 0.0

    def add(self, place: int, balance: float) -> bool:
        """Take the balance ``place`` (at least 1) readings after the start; whether that completed
        a block. A walk is seen at the end of each block, a level by its mean over the block.
        """
        self.growth.add(place, balance)
        self._count += 1
        self._places += place
        self._sum += balance
        if self._count < self._block:
            return False
        if isinstance(self.trend, WalkTrend):
            self.trend.add(place, balance)
        else:
            self.trend.add(self._places / self._count, self._sum / self._count)
        self._count, self._places, self._sum = 0, 0, 0.0
        return True
