"""How much evidence a claim needs, so that few claims are false.

A claim such as *this payment is fraud* picks one of m tests; the pick costs log2(m) bits. Its
evidence is -log2(p), where p is the conformal p-value against a calibration set of n cases in which
there is nothing to claim (Vovk, Gammerman & Shafer 2005; Bates et al. 2023, Ann. Stat. 51, 149):

    p = (1 + number of calibration scores >= the score) / (n + 1)

Whatever the score measures, P(p <= t) <= t for a case that is exchangeable with the calibration
set. Two budgets follow, both in bits:

* evidence >= log2(m) + log2(1/eps): at most eps false claims are expected among the m
  (a-contrario detection: Desolneux, Moisan & Morel 2000, IJCV 40, 7);
* evidence >= log2(m/k) + log2(1/q) for the largest k that as many claims reach: of the claims made,
  at most the share q is expected to be false (Benjamini & Hochberg 1995, JRSS B 57, 289).

Limits. Both hold on average over calibration sets and cases, not for each one and not within a
group. They hold as long as the cases are exchangeable with the calibration set: after a drift they
do not, which ``e_values.exchangeability_evidence`` notices. No p-value is below 1/(n+1), so a small
calibration set can support no claim among many.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from conservation.checks import check_confidence

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
_HALVINGS = 60


def conformal_p_values(calibration: Floats, scores: Floats) -> Floats:
    """Return the p-value of each score against calibration scores; high scores are suspicious.

    Ties count against the claim. O((n + m) log n).
    """
    known = _scores("calibration scores", calibration)
    if known.size == 0:
        raise ValueError("a p-value needs at least one calibration score")
    ordered = np.sort(known)
    below = np.searchsorted(ordered, _scores("scores", scores), side="left")
    return (1.0 + known.size - below.astype(np.float64)) / (known.size + 1.0)


def accept_few_false(p_values: Floats, expected: float) -> Bools:
    """Return which claims to accept so that at most ``expected`` false ones are expected."""
    if not 0.0 < expected < math.inf:
        raise ValueError(f"the expected number of false claims is above 0, not {expected!r}")
    tests = _p_values(p_values)
    return tests <= expected / max(tests.size, 1)


def accept_false_share(p_values: Floats, share: float) -> Bools:
    """Return which claims to accept so that at most ``share`` of them is expected to be false."""
    check_confidence(share)
    tests = _p_values(p_values)
    ordered = np.sort(tests)
    reached = np.flatnonzero(ordered <= share * np.arange(1, tests.size + 1) / max(tests.size, 1))
    if reached.size == 0:
        return np.zeros(tests.size, dtype=np.bool_)
    return tests <= ordered[reached[-1]]


def evidence_bits(p_values: Floats) -> Floats:
    """Return the evidence of each claim in bits, -log2(p)."""
    return -np.log2(_p_values(p_values))


def interval_of_share(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a chance that came true ``count`` times in ``of`` trials.

    Clopper & Pearson 1934, by bisection of the binomial tails. Independent trials.
    O(min(count, of - count)).
    """
    check_confidence(confidence)
    if not 0 <= count <= of or of < 1:
        raise ValueError(f"{count} of {of} is no count of trials")
    tail = (1.0 - confidence) / 2.0
    low = 0.0 if count == 0 else 1.0 - _largest_chance(of - count, of, tail)
    high = 1.0 if count == of else _largest_chance(count, of, tail)
    return low, high


def _largest_chance(count: int, of: int, tail: float) -> float:
    """Return the chance at which at most ``count`` come true with probability ``tail``."""
    if count == 0:
        return -math.expm1(math.log(tail) / of)
    few = 2 * count <= of
    # The shorter tail is summed: P(X <= count), or P(X > count) by counting what did not come true.
    largest = count if few else of - count - 1
    terms = np.arange(1, largest + 1, dtype=np.float64)
    choose = np.concatenate([[0.0], np.cumsum(np.log((of - terms + 1.0) / terms))])
    places = np.arange(largest + 1, dtype=np.float64)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        chance = 0.5 * (low + high)
        if chance in (low, high):
            break
        part = chance if few else 1.0 - chance
        logs = choose + places * math.log(part) + (of - places) * math.log1p(-part)
        summed = float(np.exp(logs).sum())
        if (summed if few else 1.0 - summed) > tail:
            low = chance
        else:
            high = chance
    return 0.5 * (low + high)


def _scores(name: str, scores: Floats) -> Floats:
    numbers = np.asarray(scores, dtype=np.float64)
    if numbers.ndim != 1 or np.isnan(numbers).any():
        raise ValueError(f"{name} are one row of numbers without gaps")
    return numbers


def _p_values(p_values: Floats) -> Floats:
    numbers = _scores("p-values", p_values)
    if ((numbers <= 0.0) | (numbers > 1.0)).any():
        raise ValueError("a p-value is above 0 and at most 1")
    return numbers
