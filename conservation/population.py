"""What a random sample says about a population: how many break a law, and what all sum to.

Accounts are drawn at random without replacement, and each one drawn is judged exactly. Two things
can then be said about all of them, and said again after every further draw.

**How many break the law.** If K of N accounts do, n drawn ones show none of them with probability
C(N-K, n) / C(N, n). The bound is the largest K for which this is at least alpha = 1 - confidence
(Clopper & Pearson 1934, for the hypergeometric distribution): 299 clean ones of a million mean at
most 1 % at 95 %. It holds at all times: a bound below the true K is reached only when a number of
draws that is fixed by K alone were all clean, and that has probability below alpha. Once k > 0 were
found broken this is no longer so, and the bound is the largest K with
(n+1) C(K,k) C(N-K,n-k) / C(N,n) >= alpha: the prior-posterior ratio with a uniform prior
(Waudby-Smith & Ramdas 2020, NeurIPS 33), which holds at all times too.

**What all sum to**, when each account's number is declared to lie in [low, high]. The mean of n
drawn ones, and of any more drawn after them, strays from the mean of all by more than

    (high - low) sqrt((1 - n/N) (1 + 1/n) log(2/alpha) / (2 n))

with probability at most alpha (Serfling 1974, Annals of Statistics 2, 39; Bardenet & Maillard 2015,
Bernoulli 21, 1361, theorem 2.4, whose maximum runs over all later numbers of draws). Used at n = 1,
2, 4, … with alpha/2, alpha/6, alpha/12, … it holds at all times. What was not looked at lies
between low and high in any case.
"""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterator

from conservation.checks import check_confidence, check_count
from conservation.laws import Number

POPULATION_MAX = 10**12
# 10^12 of these still sum to a finite float.
_BOUND_MAX = 1e290
_WORD = 2**64


def draw_accounts(population: int, seed: int) -> Iterator[int]:
    """Yield the accounts 0 … population - 1 in random order, each once. O(drawn) memory.

    Fisher & Yates' shuffle, of which only what was moved is kept, with numbers from SHA-256 of
    the seed and a counter: the same everywhere and for ever, and easy to check in any language.
    Every order is equally likely, as far as SHA-256 cannot be told from chance.
    """
    check_population(population)
    check_count("seed", seed, 0)
    words = _random_words(seed)
    moved: dict[int, int] = {}
    for place in range(population):
        other = place + _below(population - place, words)
        here, there = moved.pop(place, place), moved.get(other, other)
        if other != place:
            moved[other] = here
        yield there if other != place else here


def broken_at_most(population: int, looked: int, broken: int, confidence: float) -> int:
    """Return how many of all accounts may break a law when ``broken`` of ``looked`` at did.

    Holds with the confidence at all times, for ``broken`` = 0; and, on its own, for ``broken`` > 0
    (see the module). Rounding can only make it larger. O(log population).
    """
    check_population(population)
    check_count("number looked at", looked, 0)
    check_count("number broken", broken, 0)
    check_confidence(confidence)
    if not broken <= looked <= population:
        raise ValueError(
            f"{broken:,} broken of {looked:,} looked at of {population:,}: not a sample"
        )
    limit = math.log1p(-confidence) - (math.log1p(looked) if broken else 0.0)
    least, most = broken, population - (looked - broken)
    # The probability rises up to its mode and falls from there: search on the falling side.
    low, high = max(least, min(most, (population + 1) * broken // max(looked, 1))), most
    while low < high:
        middle = (low + high + 1) // 2
        if _log_chance_at_most(population, middle, looked, broken) >= limit:
            low = middle
        else:
            high = middle - 1
    return low


def accounts_needed(population: int, allowed_fraction: float, confidence: float) -> int:
    """Return how many accounts must be looked at, and found clean, to be so sure that at most this
    fraction of all break a law. With an allowed fraction of 0, or too small a population: all.
    """
    allowed = math.floor(allowed_fraction * population)
    if allowed == 0:
        return population
    low, high = 1, population
    while low < high:
        middle = (low + high) // 2
        if broken_at_most(population, middle, 0, confidence) <= allowed:
            high = middle
        else:
            low = middle + 1
    return low


def interval_of_total(
    balances: list[Number], population: int, low: Number, high: Number, confidence: float
) -> tuple[Number, Number]:
    """Return between what a population sums to, from a random sample of it in [low, high].

    ``balances`` in the order in which they were drawn. Holds at all times. Exact for integers when
    all are given. Raises ``ValueError`` for a sample larger than the population, numbers that
    are not finite or lie outside the bounds.
    """
    check_population(population)
    check_bounds(low, high)
    check_confidence(confidence)
    if len(balances) > population:
        raise ValueError(
            f"a sample of {len(balances):,} is larger than the population of {population:,}"
        )
    if any(isinstance(each, bool) or not low <= each <= high for each in balances):
        raise ValueError(f"a balance lies outside the declared bounds, {low!r} to {high!r}")
    sure_low, sure_high = sure_interval(balances, population, low, high)
    if not balances or len(balances) == population:
        return sure_low, sure_high
    # The last power of two: its bound on the mean holds for all larger numbers of draws too.
    epoch = len(balances).bit_length() - 1
    alpha = (1.0 - confidence) / ((epoch + 1) * (epoch + 2))
    width = float(high - low)
    # The last term is for the rounding of the mean.
    reach = half_width_of_mean(population, 2**epoch, width, alpha) + 1e-14 * width
    # Above low, so that a small width is not lost beside large bounds.
    above = math.fsum(each - low for each in balances) / len(balances)
    least, most = population * (above - reach), population * (above + reach)
    start = population * low
    if isinstance(start, int):
        least, most = math.floor(least), math.ceil(most)
    return max(sure_low, start + least), min(sure_high, start + most)


def half_width_of_mean(population: int, looked: int, width: float, alpha: float) -> float:
    """Return how far the mean of ``looked``, or of any more drawn after them, may stray from the
    mean of all with probability alpha (both sides; Bardenet & Maillard 2015, theorem 2.4).
    """
    left = (1.0 - looked / population) * (1.0 + 1.0 / looked)
    return width * math.sqrt(left * math.log(2.0 / alpha) / (2.0 * looked))


def sure_interval(
    balances: list[Number], population: int, low: Number, high: Number
) -> tuple[Number, Number]:
    """Return between what a population sums to, whatever the rest of it holds in [low, high]."""
    seen = _total(balances)
    left = population - len(balances)
    return seen + left * low, seen + left * high


def _total(balances: list[Number]) -> Number:
    if all(isinstance(each, int) for each in balances):
        return sum(balances)
    return math.fsum(balances)


def _log_chance_at_most(population: int, broken_of_all: int, looked: int, broken: int) -> float:
    """Return the log of C(K,k) C(N-K,n-k) / C(N,n), rounded up: never too small."""
    parts = [
        _log_choose(broken_of_all, broken),
        _log_choose(population - broken_of_all, looked - broken),
        -_log_choose(population, looked),
    ]
    # lgamma errs by a few units in the last place of its value, at most that of the population's.
    slack = 32.0 * sys.float_info.epsilon * math.lgamma(population + 2.0)
    return math.fsum(parts) + slack


def _log_choose(of: int, chosen: int) -> float:
    return math.lgamma(of + 1.0) - math.lgamma(chosen + 1.0) - math.lgamma(of - chosen + 1.0)


def _random_words(seed: int) -> Iterator[int]:
    counter = 0
    while True:
        block = hashlib.sha256(f"{seed}:{counter}".encode()).digest()
        for start in range(0, len(block), 8):
            yield int.from_bytes(block[start : start + 8], "big")
        counter += 1


def _below(bound: int, words: Iterator[int]) -> int:
    """Return a random number below a bound; words past its last whole multiple are thrown away."""
    fair = _WORD - _WORD % bound
    return next(word for word in words if word < fair) % bound


def check_population(population: int) -> None:
    """Raise ``TypeError`` or ``ValueError`` for a number of accounts that will not do."""
    check_count("population", population, 1)
    if population > POPULATION_MAX:
        raise ValueError(f"a population of {population:,} is too large: at most 10^12")


def check_bounds(low: Number, high: Number) -> None:
    """Raise ``TypeError`` or ``ValueError`` for declared bounds that will not do."""
    for bound in (low, high):
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise TypeError(f"the bounds of a balance are numbers, not {bound!r}")
    # Written so that what is not a number is refused.
    if not -_BOUND_MAX <= low <= high <= _BOUND_MAX:
        raise ValueError(
            "the bounds of a balance are finite (at most 1e290) and in order, not "
            f"{low!r} to {high!r}"
        )
