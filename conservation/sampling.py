"""Judge a law over many accounts by looking at some of them, and say how sure that is.

What a sample says about all accounts is derived in ``population``; here it becomes a verdict. Not
enough looked at is UNKNOWN, with how many more it takes; a total is CONSERVED only when every
account was read.

Who knows the seed beforehand knows where nobody looks. Choose it after the readings are fixed, and
publish it: anyone can then draw the same accounts.
"""

from __future__ import annotations

import math

from conservation.checks import check_confidence, check_count
from conservation.laws import Kind, Law, Number
from conservation.population import (
    accounts_needed,
    broken_at_most,
    check_bounds,
    check_population,
    draw_accounts,
    interval_of_total,
    sure_interval,
)
from conservation.verification import Status, Verdict
from conservation.wording import percent, plural, short


class AccountSample:
    """A growing random sample of the accounts 0 … population - 1, and the verdict on all of them.

    Parameters
    ----------
    law : Law
        The law that each account is judged by.
    population : int
        How many accounts there are, at most 10^12.
    seed : int
        Decides the order in which accounts are drawn, on every machine alike.
    confidence, allowed_fraction : float
        The verdict is fine once no account looked at broke the law, and with this confidence at
        most this fraction of all accounts breaks it. An allowed fraction of 0 means: look at all.
    balance_bounds : (low, high) or None
        Between what each account's balance is declared to lie; needed for the total.

    Memory grows with the sample, not with the population.
    """

    def __init__(
        self,
        law: Law,
        population: int,
        *,
        seed: int,
        confidence: float = 0.95,
        allowed_fraction: float = 0.01,
        balance_bounds: tuple[Number, Number] | None = None,
    ) -> None:
        if not isinstance(law, Law):
            raise TypeError(f"accounts are judged by a law, not by {type(law).__name__}")
        check_population(population)
        check_count("seed", seed, 0)
        check_confidence(confidence)
        if isinstance(allowed_fraction, bool) or not 0.0 <= allowed_fraction < 1.0:
            raise ValueError(
                f"the allowed fraction is at least 0 and less than 1, not {allowed_fraction!r}"
            )
        if balance_bounds is not None:
            check_bounds(*balance_bounds)
        self._law, self._population = law, population
        self._confidence, self._allowed_fraction = confidence, allowed_fraction
        self._bounds = balance_bounds
        self._order = draw_accounts(population, seed)
        self._verdicts: dict[int, Verdict | None] = {}
        self._looked = self._broken = 0
        self._first_broken: Verdict | None = None
        self._needed = accounts_needed(population, allowed_fraction, confidence)

    @property
    def looked(self) -> int:
        """How many of the drawn accounts answered."""
        return self._looked

    @property
    def broken(self) -> int:
        """How many of them broke the law."""
        return self._broken

    @property
    def needed(self) -> int:
        """How many accounts must be looked at for a verdict that is fine."""
        return self._needed

    def draw(self, count: int) -> list[int]:
        """Return the next accounts to look at; each one drawn must be recorded.

        Raises ``ValueError`` when so many are not left.
        """
        check_count("number of accounts to draw", count, 1)
        left = self._population - len(self._verdicts)
        if count > left:
            raise ValueError(
                f"{plural(count, 'account')} cannot be drawn: {left:,} of {self._population:,} "
                "are left"
            )
        drawn = [next(self._order) for _ in range(count)]
        self._verdicts.update(dict.fromkeys(drawn))
        return drawn

    def record(self, account: int, verdict: Verdict) -> None:
        """Note the verdict on one drawn account. UNKNOWN may be replaced later; others stay.

        Raises ``TypeError`` or ``ValueError``, and changes nothing, for an account that was not
        drawn, or was judged, for a verdict on another law, and for a balance outside the declared
        bounds.
        """
        if isinstance(account, bool) or not isinstance(account, int):
            raise TypeError(f"an account is named by its number, not by {account!r}")
        if not isinstance(verdict, Verdict):
            raise TypeError(f"an account is recorded with its verdict, not with {verdict!r}")
        if account not in self._verdicts:
            raise ValueError(f"account {account} was not drawn: chosen ones would be no sample")
        if _is_known(self._verdicts[account]):
            raise ValueError(f"account {account} was judged before")
        if verdict.law.with_tolerance(self._law.tolerance) != self._law:
            raise ValueError(
                f"account {account} was judged by another law than that for "
                f"{self._law.quantity.name} over {self._law.summed_over}"
            )
        if self._bounds is not None and _is_known(verdict):
            _check_balance(account, verdict, self._law, self._bounds)
        self._verdicts[account] = verdict
        self._looked += _is_known(verdict)
        if verdict.status is Status.VIOLATED:
            self._broken += 1
            self._first_broken = self._first_broken or verdict

    def broken_at_most(self) -> int:
        """Return how many of all accounts may break the law; silent ones count as breaking it."""
        silent = len(self._verdicts) - self.looked
        return broken_at_most(
            self._population, len(self._verdicts), self.broken + silent, self._confidence
        )

    def verdict(self) -> Verdict:
        """Return the verdict on the law in each of all accounts.

        Its numbers are those of the first broken account, else there are none.
        """
        status, sentence = self._status()
        first = self._first_broken
        if first is None:
            limit = self._law.tolerance
            return Verdict(self._law, status, None, None, None, None, limit, sentence)
        return Verdict(
            self._law,
            status,
            first.expected,
            first.found,
            first.balance,
            first.error,
            first.limit,
            sentence,
        )

    def _status(self) -> tuple[Status, str]:
        looked, broken, drawn = self.looked, self.broken, len(self._verdicts)
        seen = f"Looked at {looked:,} of {self._population:,}"
        sure = f"with {percent(self._confidence)} confidence"
        at_most = self.broken_at_most()
        if broken:
            return Status.VIOLATED, (
                f"{seen}: {broken:,} broke the law, and at most {at_most:,} of all do {sure}."
            )
        if looked < drawn:
            return Status.UNKNOWN, (
                f"{seen}: {drawn - looked:,} more were drawn and did not answer. What is silent "
                "may be what is broken."
            )
        may = f"at most {_share(at_most, self._population)} may break it {sure}"
        if looked < self._needed:
            return Status.UNKNOWN, (
                f"{seen}: {may}. {self._needed - looked:,} more must be looked at to allow for no "
                f"more than {percent(self._allowed_fraction)}."
            )
        fine = Status.BOUNDED if self._law.kind is Kind.BOUNDED else Status.CONSERVED
        if looked == self._population:
            return fine, f"{seen}: none broke the law. {self._law.reason}"
        return fine, f"{seen}: none broke the law, {may}. {self._law.reason}"

    def total(self) -> tuple[Number, Number]:
        """Return between what the balances of all accounts sum to, with the asked-for confidence
        at all times. Both ends are the same, and sure, when every account was read.

        Raises ``ValueError`` when no bounds were declared. O(sample).
        """
        if self._bounds is None:
            raise ValueError("a total needs bounds that were declared for each account's balance")
        balances = [
            each.balance for each in self._verdicts.values() if each and each.balance is not None
        ]
        numbers = [each for each in balances if not isinstance(each, tuple)]
        if len(numbers) < len(self._verdicts):
            # Who is silent may hold anything that is allowed: the sample says nothing.
            return sure_interval(numbers, self._population, *self._bounds)
        return interval_of_total(numbers, self._population, *self._bounds, self._confidence)

    def verdict_on_total(self, law: Law) -> Verdict:
        """Return the verdict of a law on the sum of all accounts' balances. O(sample).

        CONSERVED needs every account; BOUNDED and VIOLATED may come from a sample, and say so.
        """
        if law.quantity != self._law.quantity:
            raise ValueError(
                f"the accounts hold {self._law.quantity.name}, not {law.quantity.name}"
            )
        low, high = self.total()
        status, sentence = self._status_of_total(law, low, high)
        known = low if self.looked == self._population else None
        error = None if known is None else abs(known)
        return Verdict(law, status, None, None, known, error, law.tolerance, sentence)

    def _status_of_total(self, law: Law, low: Number, high: Number) -> tuple[Status, str]:
        looked = self.looked
        said = (
            f"Looked at {looked:,} of {self._population:,}: the balances of all sum to between "
            f"{short(low)} and {short(high)} {law.quantity.unit}"
        )
        if looked == self._population:
            holds = abs(low) <= law.tolerance
            fine = Status.BOUNDED if law.kind is Kind.BOUNDED else Status.CONSERVED
            said = f"All {looked:,} were read: their balances sum to {short(low)}"
            return (fine if holds else Status.VIOLATED), f"{said} {law.quantity.unit}. {law.reason}"
        said += f" with {percent(self._confidence)} confidence"
        if low > law.tolerance or high < -law.tolerance:
            return Status.VIOLATED, f"{said}; the limit is {short(law.tolerance)}. {law.reason}"
        if law.kind is Kind.BOUNDED and -law.tolerance <= low and high <= law.tolerance:
            return Status.BOUNDED, f"{said}. {law.reason}"
        left = self._population - looked
        return Status.UNKNOWN, f"{said}. To know it, {left:,} more must be looked at."


def _is_known(verdict: Verdict | None) -> bool:
    return verdict is not None and verdict.status is not Status.UNKNOWN


def _share(count: int, population: int) -> str:
    # Rounded up: 0.99991 % is said as 1 %, never as less than it is.
    return percent(math.ceil(1e6 * count / population) / 1e6) if count else "none"


def _check_balance(account: int, verdict: Verdict, law: Law, bounds: tuple[Number, Number]) -> None:
    balance = verdict.balance
    if balance is None or isinstance(balance, tuple):
        raise ValueError(f"a total needs one number as the balance of account {account}")
    low, high = bounds
    if not low <= balance <= high:
        raise ValueError(
            f"account {account} is off by {short(balance)} {law.quantity.unit}: outside the "
            f"declared bounds, {short(low)} to {short(high)}"
        )
