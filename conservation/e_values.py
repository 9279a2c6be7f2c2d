"""Evidence that may be looked at after every case: e-processes.

An e-process starts at 1, is never negative, and at every stopping time has expectation at most 1
while the hypothesis is true. By Ville's inequality (1939) it then ever reaches 1/alpha with
probability at most alpha, however often and whenever somebody looks: log2 of it is evidence in
bits, and log2(1/alpha) bits is the budget. A p-value that is computed again after each case has no
such bound. Review: Ramdas, Gruenwald, Vovk & Shafer 2023, Stat. Sci. 38, 576.

Three hypotheses, each with what it bets against:

* ``rate_evidence``: each part is bad with a chance of at most a limit, given the past. Bets on
  higher rates from some part on (mixed over rates and over the part where it began).
* ``clustering_evidence``: the parts are independent with one unknown rate. Bets on a chain in which
  a bad part follows a bad part (universal inference: Wasserman, Ramdas & Balakrishnan 2020, PNAS
  117, 16880).
* ``exchangeability_evidence``: the stream is exchangeable with a reference set. Bets on ranks that
  are too high or too low (conformal martingale: Vovk 2021, Stat. Sci. 36, 595, the simple jumper).

Arrays hold one stream a row. The result is the evidence after each case, as the number e, not as
its logarithm; a bet never loses more than it has.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Of each stake, what is shared out anew before each bet.
_JUMP = 0.01


def rate_evidence(bad: NDArray[np.bool_], *, limit: float, rates: Sequence[float]) -> Floats:
    """Return the evidence that the rate of bad parts rose above ``limit``, after each part.

    Parameters
    ----------
    bad : (streams, parts) bool
        Whether each part was bad.
    limit : float
        The largest rate that is allowed, between 0 and 1.
    rates : sequence of float
        The rates to bet on, each above the limit.

    Notes
    -----
    For each rate r a part multiplies by r/limit if bad and by (1-r)/(1-limit) if not: expectation
    at most 1 for every rate up to the limit. A start is betted on at each part with equal weight,
    and what has not started yet is kept at 1. O(streams * parts * rates).
    """
    parts = _parts(bad)
    bets = np.asarray(rates, dtype=np.float64)
    if bets.size == 0 or not 0.0 < limit < bets.min() or bets.max() >= 1.0:
        raise ValueError("the rates to bet on lie between the limit and 1")
    streams, length = parts.shape
    won, lost = bets / limit, (1.0 - bets) / (1.0 - limit)
    begun = np.zeros((streams, bets.size))
    evidence = np.empty((streams, length))
    for place in range(length):
        begun += 1.0 / length
        begun *= np.where(parts[:, place, None], won, lost)
        evidence[:, place] = begun.mean(axis=1) + (1.0 - (place + 1.0) / length)
    return evidence


def clustering_evidence(bad: NDArray[np.bool_]) -> Floats:
    """Return the evidence that bad parts come in clusters, after each part.

    The chain's predictions are Krichevsky & Trofimov's (1981), made before each part; they are
    divided by the best likelihood that independent parts could have in hindsight.
    O(streams * parts).
    """
    parts = _parts(bad)
    streams, length = parts.shape
    seen = np.full((streams, 2, 2), 0.5)
    before = np.zeros(streams, dtype=np.intp)
    rows = np.arange(streams)
    chain = np.zeros(streams)
    count = np.zeros(streams)
    evidence = np.empty((streams, length))
    for place in range(length):
        now = parts[:, place].astype(np.intp)
        chain += np.log(seen[rows, before, now] / seen[rows, before].sum(axis=1))
        seen[rows, before, now] += 1.0
        before = now
        count += now
        evidence[:, place] = np.exp(np.minimum(chain - _best_likelihood(count, place + 1), 700.0))
    return evidence


def exchangeability_evidence(reference: Floats, stream: Floats, *, seed: int) -> Floats:
    """Return the evidence that a stream of scores differs from a reference set, after each score.

    Each score is ranked among the reference and the stream so far, ties by chance: exactly uniform
    and independent ranks if all are exchangeable (Vovk, Gammerman & Shafer 2005, section 2.2). No
    labels are needed. O((reference + stream) log).
    """
    if reference.ndim != 1 or stream.ndim != 1 or np.isnan(reference).any():
        raise ValueError("reference and stream are one row of numbers without gaps")
    chance = np.random.default_rng(seed)
    known: list[float] = sorted(reference.tolist())
    # What was won so far by betting on low ranks, on nothing, and on high ranks.
    low_stake = even_stake = high_stake = 1.0 / 3.0
    evidence = np.empty(stream.size)
    for place, score in enumerate(stream.tolist()):
        low, high = bisect_left(known, score), bisect_right(known, score)
        rank = (low + chance.random() * (high - low + 1.0)) / (len(known) + 1.0)
        insort(known, score)
        shared = _JUMP * (low_stake + even_stake + high_stake) / 3.0
        low_stake = (shared + (1.0 - _JUMP) * low_stake) * (1.5 - rank)
        even_stake = shared + (1.0 - _JUMP) * even_stake
        high_stake = (shared + (1.0 - _JUMP) * high_stake) * (0.5 + rank)
        evidence[place] = low_stake + even_stake + high_stake
    return evidence


def first_reached(evidence: Floats, level: float) -> NDArray[np.int64]:
    """Return after how many cases each row of evidence first reached a level; 0 for never."""
    reached = evidence >= level
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, 0).astype(np.int64)


def _best_likelihood(count: Floats, of: int) -> Floats:
    share = count / of
    with np.errstate(divide="ignore", invalid="ignore"):
        bad = np.where(count > 0, count * np.log(share), 0.0)
        good = np.where(count < of, (of - count) * np.log1p(-share), 0.0)
    return bad + good


def _parts(bad: NDArray[np.bool_]) -> NDArray[np.bool_]:
    if bad.ndim != 2 or bad.dtype != np.bool_ or bad.shape[1] == 0:
        raise ValueError("parts are rows of true and false, one stream a row")
    return bad
