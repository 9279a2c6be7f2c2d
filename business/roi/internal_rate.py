r"""The internal rate of return: every real rate at which the net present value is 0.

With u = ln(1 + rate) the net present value is a sum of exponentials,

    f(u) = sum of F_t * exp(-T_t * u),      T_t the times, rising,

and rates above -100 % are all real u. Descartes' rule holds for such sums as for polynomials: f has
at most as many roots as the flows change sign, and the difference is even (Jameson 2006). So no
change means no root, and one change exactly one.

With more changes the roots are isolated by Rolle's theorem, in the way in which the rule is proved.
Take a time c between two flows of opposite sign. The derivative of exp(c*u) * f(u) is exp(c*u)
times

    f1(u) = sum of (c - T_t) * F_t * exp(-T_t * u),

which changes sign once less, because only the flows after c are turned around. Between two
neighbouring roots of f1 the product is monotone, so f has at most one root there, found by the
signs at both ends. Going down to a sum without a change, and back up, finds every root: none is
missed because a solver began in the wrong place. (NumPy's roots of the polynomial lose digits
quickly with the degree; Newton's method finds one root, or none.)

Terms are kept as a sign and a logarithm, so 1200 flows at any rate neither overflow nor vanish. A
value below ``_ZERO`` of the sum of its terms' sizes cannot be told from 0 in floats: at an extreme
of f this is taken as a root that touches (two roots closer than about 3e-7 look the same).

Sources: G. J. O. Jameson, Counting zeros of generalised polynomials, Mathematical Gazette 90
(2006); C. J. Norstrøm, A sufficient condition for a unique nonnegative internal rate of return,
JFQA 7 (1972).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np

from business.roi.amounts import EXACT
from business.roi.flows import halves, sum_exact

# Each change costs a sum to search: a hundred with 1201 flows take about a second.
CHANGES_MAX = 100
# A rate closer to -100 % than this cannot be told from it; at -100 % there is no present value.
_LOWEST = -1 + 1e-9
_U_MAX = 700.0
_ZERO = 1e-13


@dataclass(frozen=True)
class InternalRates:
    """``rates`` rising; None when they were not looked for, or when ``every`` rate is one.
    ``touching``: those where the net present value is 0 without changing its sign. ``left_out``:
    how many lay too close to -100 % or beyond 1e304.
    """

    rates: tuple[float, ...] | None
    changes: int
    touching: tuple[float, ...] = ()
    left_out: int = 0
    every: bool = False


@dataclass(frozen=True)
class _Sum:
    """Terms sign * exp(log - time * u), times rising."""

    sign: np.ndarray
    log: np.ndarray
    time: np.ndarray

    def value(self, u: float) -> float:
        """Return the value over the sum of the terms' sizes: between -1 and 1."""
        power = self.log - self.time * u
        size = np.exp(power - power.max())
        return float(np.dot(self.sign, size) / size.sum())

    def relative(self, u: float) -> float:
        """Return the same, and 0 where it cannot be told from 0."""
        value = self.value(u)
        return value if abs(value) > _ZERO else 0.0

    def changes(self) -> np.ndarray:
        return np.flatnonzero(self.sign[1:] != self.sign[:-1])

    def turned(self) -> _Sum:
        """Return f1: one change of sign less."""
        changes = self.changes()
        at = changes[len(changes) // 2]
        factor = (self.time[at] + self.time[at + 1]) / 2 - self.time
        return _Sum(self.sign * np.sign(factor), self.log + np.log(np.abs(factor)), self.time)


def internal_rates(flows: Sequence[Decimal], timing: str = "end") -> InternalRates:
    """Return every rate above -100 % at which the flows' net present value is 0."""
    terms = _terms(flows, timing)
    if not terms:
        return InternalRates(None, 0, every=True)
    series = _Sum(
        sign=np.array([1.0 if amount > 0 else -1.0 for _, amount in terms]),
        log=np.array([math.log(abs(amount)) for _, amount in terms]),
        time=np.array([half / 2 for half, _ in terms]),
    )
    changes = len(series.changes())
    if changes > CHANGES_MAX:
        return InternalRates(None, changes)
    chain = [series]
    for _ in range(changes):
        chain.append(chain[-1].turned())
    roots: list[tuple[float, bool]] = []
    for level in reversed(chain[:-1]):
        roots = _roots(level, [u for u, _ in roots])
    shown = [
        (math.expm1(u) if touches else _polish(terms, math.expm1(u)), touches)
        for u, touches in roots
        if abs(u) < _U_MAX and math.expm1(u) > _LOWEST
    ]
    return InternalRates(
        rates=tuple(rate for rate, _ in shown),
        changes=changes,
        touching=tuple(rate for rate, touches in shown if touches),
        left_out=len(roots) - len(shown),
    )


def _terms(flows: Sequence[Decimal], timing: str) -> list[tuple[int, Decimal]]:
    """Return (time in half years, amount), rising, without zeros."""
    by_time: dict[int, list[Decimal]] = {}
    for year, flow in enumerate(flows):
        by_time.setdefault(halves(timing, year), []).append(flow)
    # Added exactly: what cancels must leave no dust with a sign.
    terms = [(half, sum_exact(parts)) for half, parts in sorted(by_time.items())]
    return [(half, amount) for half, amount in terms if amount]


def _polish(terms: list[tuple[int, Decimal]], rate: float) -> float:
    """Return the root in 34 digits, rounded once: Newton's steps on x = (1 + rate) ** -1/2.

    The search above leaves an error of about 1e-14. A step that leads away is not taken.
    """
    with localcontext(EXACT):
        x = (1 + Decimal(rate)).sqrt() ** -1
        for _ in range(3):
            powers = [(half, amount * x**half) for half, amount in terms]
            slope = sum(half * term for half, term in powers)
            if not slope:
                return rate
            step = sum(term for _, term in powers) / slope
            if abs(step) > Decimal("1e-6"):
                return rate
            x -= x * step
        return float(x**-2 - 1)


def _roots(level: _Sum, extremes: list[float]) -> list[tuple[float, bool]]:
    """Return the roots of ``level``, rising, each with whether it touches; ``extremes`` separate
    them.
    """
    values = [level.relative(u) for u in extremes]
    # Towards +infinity the earliest term wins, towards -infinity the latest.
    signs = [float(level.sign[-1]), *values, float(level.sign[0])]
    ends: list[float | None] = [None, *extremes, None]
    found: list[tuple[float, bool]] = []
    for index in range(len(ends) - 1):
        if index and signs[index] == 0:
            found.append((extremes[index - 1], _touches(signs, index)))
        if signs[index] * signs[index + 1] < 0:
            low, high = _bracket(level, ends[index], ends[index + 1])
            found.append((_bisect(level, low, high), False))
    return found


def _touches(signs: list[float], index: int) -> bool:
    left = next(value for value in reversed(signs[:index]) if value)
    right = next(value for value in signs[index + 1 :] if value)
    return left * right > 0


def _bracket(level: _Sum, low: float | None, high: float | None) -> tuple[float, float]:
    """Replace an infinite end by a point where the sign is already that of infinity."""
    if low is None:
        low = _reach(level, 0.0 if high is None else high, -1.0, float(level.sign[-1]))
    if high is None:
        high = _reach(level, low, 1.0, float(level.sign[0]))
    return low, high


def _reach(level: _Sum, start: float, step: float, sign: float) -> float:
    while level.relative(start + step) * sign <= 0:
        step *= 2
    return start + step


def _bisect(level: _Sum, low: float, high: float) -> float:
    """Halve until no float lies between; about 60 steps."""
    sign_high = level.relative(high)
    while True:
        middle = low + (high - low) / 2
        if not low < middle < high:
            return middle
        if level.value(middle) * sign_high > 0:
            high = middle
        else:
            low = middle
