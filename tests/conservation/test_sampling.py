"""Samples of accounts: what they may say about all, and that they say no more."""

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conservation import (
    AccountSample,
    Kind,
    Law,
    Quantity,
    Reading,
    Status,
    accounts_needed,
    broken_at_most,
    draw_accounts,
    interval_of_total,
    verify,
)
from conservation.population import _below

TOKENS = Quantity("tokens", "token")
ENERGY = Quantity("energy", "J")
LAW = Law(TOKENS, "one account", Kind.EXACT, "Double entry.")
TOTAL = Law(TOKENS, "all accounts", Kind.EXACT, "Double entry.")
ROUGH = Law(ENERGY, "one account", Kind.BOUNDED, "The meter's class.", tolerance=1.0)


def judged(balance, law=LAW):
    start = 0.0 if law is ROUGH else 0
    return verify(
        law,
        Reading(law.quantity, start, 0.0, "before"),
        Reading(law.quantity, start + balance, 1.0, "after"),
    )


def silent():
    return verify(LAW, Reading(TOKENS, 0, 0.0, "a"), Reading(TOKENS, None, 1.0, "a"))


def looked_at(sample, count, balance=lambda account: 0, law=LAW):
    for account in sample.draw(count):
        sample.record(account, judged(balance(account), law))
    return sample


def chance(population, broken_of_all, looked, broken):
    """The hypergeometric probability, exactly."""
    ways = math.comb(broken_of_all, broken) * math.comb(population - broken_of_all, looked - broken)
    return Fraction(ways, math.comb(population, looked))


class TestDrawing:
    @given(st.integers(1, 300), st.integers(0, 2**70))
    def test_each_account_once_the_same_for_the_same_seed(self, population, seed):
        drawn = list(draw_accounts(population, seed))
        assert sorted(drawn) == list(range(population))
        assert drawn == list(draw_accounts(population, seed))

    def test_is_fixed_for_ever(self):
        # Somebody else's program must draw the same accounts in ten years.
        order = draw_accounts(1_000_000, 7)
        assert [next(order) for _ in range(5)] == [495539, 435733, 17366, 490120, 882507]

    def test_every_order_is_equally_likely(self):
        counts = dict.fromkeys(((a, b, c, d) for a in range(4) for b in range(4) for c in range(4)
                                for d in range(4) if len({a, b, c, d}) == 4), 0)  # fmt: skip
        for seed in range(4800):
            counts[tuple(draw_accounts(4, seed))] += 1
        chi_square = sum((count - 200) ** 2 / 200 for count in counts.values())
        assert len(counts) == 24
        assert chi_square < 49.7  # 23 degrees of freedom, one in a thousand

    def test_a_word_beyond_the_last_whole_multiple_is_thrown_away(self):
        assert 2**64 % 3 == 1
        assert _below(3, iter([2**64 - 1, 5])) == 2

    def test_the_largest_population_costs_no_memory(self):
        account = next(draw_accounts(10**12, 1))
        assert 0 <= account < 10**12


class TestHowManyMayBeBroken:
    @given(st.data())
    def test_is_the_largest_number_that_the_exact_probability_does_not_exclude(self, data):
        population = data.draw(st.integers(1, 80))
        looked = data.draw(st.integers(0, population))
        broken = data.draw(st.integers(0, looked))
        confidence = data.draw(st.sampled_from([0.5, 0.9, 0.95, 0.999]))
        limit = (1 - Fraction(confidence)) / (looked + 1 if broken else 1)
        slack = Fraction(1, 10**9)
        likely = [
            candidate
            for candidate in range(broken, population - looked + broken + 1)
            if chance(population, candidate, looked, broken) >= limit * (1 - slack)
        ]
        assert broken_at_most(population, looked, broken, confidence) == max(likely)

    def test_three_hundred_of_a_million(self):
        assert broken_at_most(1_000_000, 300, 0, 0.95) <= 10_000
        assert accounts_needed(1_000_000, 0.01, 0.95) == 299 - 1  # 299 if drawn with replacement
        assert chance(1_000_000, 10_001, 298, 0) < Fraction(5, 100)
        assert chance(1_000_000, 10_001, 297, 0) > Fraction(5, 100)

    @pytest.mark.parametrize("population", [1000, 10**6, 10**9])
    @pytest.mark.parametrize(("looked", "broken"), [(5, 1), (50, 2), (150, 0), (150, 30)])
    def test_to_one_account_in_large_populations(self, population, looked, broken):
        limit = (1 - Fraction(0.99)) / (looked + 1 if broken else 1)
        # Rounding may only make the bound larger, here by less than a part in 1000.
        most = broken_at_most(population, looked, broken, 0.99)
        least = most - population // 1000 if population > 10**6 else most
        assert chance(population, least, looked, broken) >= limit
        assert chance(population, most + 1, looked, broken) < limit

    def test_a_tie_is_not_excluded_by_rounding(self):
        assert chance(20, 1, 19, 0) == Fraction(5, 100)
        assert broken_at_most(20, 19, 0, 0.95) == 1

    @given(st.integers(1, 10**12), st.floats(0, 0.99), st.floats(0.01, 0.9999))
    def test_what_is_needed_is_enough_and_one_less_is_not(self, population, fraction, confidence):
        needed = accounts_needed(population, fraction, confidence)
        allowed = math.floor(fraction * population)
        assert broken_at_most(population, needed, 0, confidence) <= allowed
        if 1 < needed < population:
            assert broken_at_most(population, needed - 1, 0, confidence) > allowed

    @pytest.mark.parametrize(("of_all", "seed"), [(2, 1), (10, 2), (60, 3)])
    def test_the_bound_fails_no_more_often_than_asked_however_often_one_looks(self, of_all, seed):
        """Clean looks and looks after the first find each hold by themselves, at all times."""
        population, rounds, alpha = 200, 1500, 0.1
        generator = random.Random(seed)
        bounds = {}
        failed_clean = failed_later = 0
        for _ in range(rounds):
            places = sorted(generator.sample(range(population), of_all))
            failed = {False: False, True: False}
            found = 0
            for looked in range(1, population + 1):
                found += found < of_all and places[found] == looked - 1
                key = looked, found
                if key not in bounds:
                    bounds[key] = broken_at_most(population, looked, found, 1 - alpha)
                failed[found > 0] |= bounds[key] < of_all
            failed_clean += failed[False]
            failed_later += failed[True]
        limit = rounds * alpha + 3 * math.sqrt(rounds * alpha * (1 - alpha))
        assert failed_clean <= limit
        assert failed_later <= limit
        if of_all > 2:
            assert failed_clean > 0.3 * rounds * alpha  # it is not vacuous


class TestTotals:
    @given(st.lists(st.integers(-(10**20), 10**20), min_size=1, max_size=40))
    def test_of_all_accounts_is_exact(self, balances):
        low, high = interval_of_total(balances, len(balances), -(10**20), 10**20, 0.95)
        assert low == high == sum(balances)

    @given(st.data())
    def test_the_rest_lies_within_what_was_declared(self, data):
        population = data.draw(st.integers(1, 50))
        every = data.draw(st.lists(st.integers(-5, 9), min_size=population, max_size=population))
        looked = data.draw(st.integers(0, population))
        low, high = interval_of_total(every[:looked], population, -5, 9, 0.95)
        rest = population - looked
        assert sum(every[:looked]) - 5 * rest <= low <= high <= sum(every[:looked]) + 9 * rest
        assert isinstance(low, int)

    def test_holds_at_all_times_as_often_as_asked(self):
        generator = random.Random(5)
        population, rounds, alpha = 256, 400, 0.2
        every = [generator.choice([-1.0, 1.0]) for _ in range(population)]
        total = math.fsum(every)
        failed = 0
        for _ in range(rounds):
            generator.shuffle(every)
            for looked in [1, 2, 3, 5, 8, 16, 17, 32, 50, 64, 100, 128, 200, 255, 256]:
                low, high = interval_of_total(every[:looked], population, -1.0, 1.0, 1 - alpha)
                if not low <= total <= high:
                    failed += 1
                    break
        assert failed <= rounds * alpha

    def test_narrows_as_serflings_bound_does(self):
        balances = [0.5] * 4096
        low, high = interval_of_total(balances, 10**6, 0.0, 1.0, 0.95)
        alpha = 0.05 / (13 * 14)
        left = (1 - 4096 / 10**6) * (1 + 1 / 4096)
        reach = 10**6 * math.sqrt(left * math.log(2 / alpha) / (2 * 4096))
        assert (high - low) / 2 == pytest.approx(reach, rel=1e-9)
        assert (high + low) / 2 == pytest.approx(5e5)

    def test_a_small_width_is_not_lost_beside_large_bounds(self):
        big = 10**25
        low, high = interval_of_total([big + 1] * 100, 10**6, big, big + 2, 0.95)
        assert big * 10**6 <= low < big * 10**6 + 10**6 < high <= (big + 2) * 10**6


class TestVerdictOnEachAccount:
    def test_nothing_looked_at_is_unknown(self):
        verdict = AccountSample(LAW, 1_000_000, seed=1).verdict()
        assert verdict.status is Status.UNKNOWN
        assert "298 more must be looked at" in verdict.reason

    def test_too_few_is_unknown_and_says_how_many_more(self):
        sample = looked_at(AccountSample(LAW, 1_000_000, seed=1), 200)
        verdict = sample.verdict()
        assert verdict.status is Status.UNKNOWN
        assert "Looked at 200 of 1,000,000" in verdict.reason
        assert "98 more must be looked at" in verdict.reason

    def test_enough_says_what_it_is(self):
        sample = looked_at(AccountSample(LAW, 1_000_000, seed=1), 300)
        verdict = sample.verdict()
        assert verdict.status is Status.CONSERVED
        assert verdict.reason.startswith(
            "Looked at 300 of 1,000,000: none broke the law, at most 0.9934 % may break it with "
            "95 % confidence."
        )

    def test_a_bounded_law_is_bounded(self):
        sample = AccountSample(ROUGH, 1000, seed=1)
        looked_at(sample, sample.needed, lambda _: 0.5, ROUGH)
        assert sample.verdict().status is Status.BOUNDED

    def test_one_broken_account_is_a_violation_and_its_numbers_are_shown(self):
        sample = AccountSample(LAW, 1000, seed=1)
        looked_at(sample, 100)
        looked_at(sample, 1, lambda _: 3)
        looked_at(sample, 899)
        verdict = sample.verdict()
        assert verdict.status is Status.VIOLATED
        assert (verdict.found, verdict.balance, verdict.error) == (3, 3, 3)
        assert "1 broke the law, and at most 1 of all do" in verdict.reason

    def test_one_that_is_silent_keeps_all_unknown_until_it_answers(self):
        sample = AccountSample(LAW, 1_000_000, seed=1)
        looked_at(sample, 299)
        (account,) = sample.draw(1)
        assert sample.verdict().status is Status.UNKNOWN
        sample.record(account, silent())
        assert sample.verdict().status is Status.UNKNOWN
        assert "did not answer" in sample.verdict().reason
        assert sample.broken_at_most() > 10_000
        sample.record(account, judged(0))
        assert sample.verdict().status is Status.CONSERVED

    def test_an_allowed_fraction_of_nothing_means_all(self):
        sample = AccountSample(LAW, 50, seed=3, allowed_fraction=0.0)
        assert looked_at(sample, 49).verdict().status is Status.UNKNOWN
        verdict = looked_at(sample, 1).verdict()
        assert verdict.status is Status.CONSERVED
        assert "may" not in verdict.reason

    @pytest.mark.parametrize(("population", "allowed"), [(100, 5), (10_000, 100), (3000, 1)])
    def test_is_fine_by_chance_no_more_often_than_asked(self, population, allowed):
        needed = accounts_needed(population, allowed / population, 0.95)
        assert chance(population, allowed + 1, needed, 0) <= 1 - Fraction(0.95)


class TestVerdictOnTheTotal:
    def sample(self, count, balance, population=1000, **options):
        sample = AccountSample(
            LAW, population, seed=2, balance_bounds=(-10, 10), allowed_fraction=0.5, **options
        )
        return looked_at(sample, count, balance)

    def test_is_conserved_only_when_every_account_was_read(self):
        sample = self.sample(999, lambda account: 0)
        verdict = sample.verdict_on_total(TOTAL)
        assert verdict.status is Status.UNKNOWN
        assert "1 more must be looked at" in verdict.reason
        assert sample.verdict().status is Status.CONSERVED
        looked_at(sample, 1)
        verdict = sample.verdict_on_total(TOTAL)
        assert verdict.status is Status.CONSERVED
        assert (verdict.balance, verdict.error) == (0, 0)

    def test_what_one_lost_another_may_have_won(self):
        sample = self.sample(1000, lambda account: 1 if account % 2 else -1)
        assert sample.verdict_on_total(TOTAL).status is Status.CONSERVED
        assert sample.verdict().status is Status.VIOLATED

    def test_one_unit_too_many_is_a_violation(self):
        verdict = self.sample(1000, lambda account: account == 17).verdict_on_total(TOTAL)
        assert verdict.status is Status.VIOLATED
        assert verdict.balance == 1

    def test_a_large_loss_is_found_by_a_sample(self):
        verdict = self.sample(400, lambda account: -8).verdict_on_total(TOTAL)
        assert verdict.status is Status.VIOLATED
        assert "with 95 % confidence" in verdict.reason

    def test_a_bounded_total_may_come_from_a_sample_and_says_so(self):
        law = Law(TOKENS, "all accounts", Kind.BOUNDED, "The insurance.", tolerance=9_000)
        few, many = self.sample(10, lambda _: 0), self.sample(600, lambda _: 0)
        assert few.verdict_on_total(law).status is Status.UNKNOWN
        assert many.verdict_on_total(law).status is Status.BOUNDED
        assert "Looked at 600 of 1,000" in many.verdict_on_total(law).reason

    def test_a_silent_account_may_hold_anything_that_is_allowed(self):
        sample = self.sample(500, lambda _: 0)
        low, high = sample.total()
        assert -3000 < low < high < 3000
        sample.draw(1)
        assert sample.total() == (-5000, 5000)


class TestRefused:
    @pytest.mark.parametrize("population", [0, -5, 10**12 + 1])
    def test_no_population(self, population):
        with pytest.raises(ValueError, match="population"):
            AccountSample(LAW, population, seed=1)

    @pytest.mark.parametrize("population", [True, 10.0, "10", math.nan])
    def test_a_population_that_is_no_integer(self, population):
        with pytest.raises(TypeError, match="integer"):
            AccountSample(LAW, population, seed=1)

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"seed": -1}, ValueError),
            ({"seed": 1.5}, TypeError),
            ({"confidence": 1.0}, ValueError),
            ({"confidence": 0}, ValueError),
            ({"confidence": math.nan}, ValueError),
            ({"confidence": True}, TypeError),
            ({"allowed_fraction": -0.1}, ValueError),
            ({"allowed_fraction": 1.0}, ValueError),
            ({"allowed_fraction": math.nan}, ValueError),
            ({"balance_bounds": (1, 0)}, ValueError),
            ({"balance_bounds": (0, math.inf)}, ValueError),
            ({"balance_bounds": (math.nan, 1)}, ValueError),
            ({"balance_bounds": (0, 10**400)}, ValueError),
            ({"balance_bounds": (False, True)}, TypeError),
        ],
    )
    def test_bad_options(self, options, error):
        with pytest.raises(error):
            AccountSample(LAW, 10, **{"seed": 1} | options)

    def test_something_that_is_no_law(self):
        with pytest.raises(TypeError, match="law"):
            AccountSample("exact", 10, seed=1)

    @pytest.mark.parametrize("count", [0, -1, 11, True, 2.0])
    def test_a_sample_larger_than_the_population_or_none(self, count):
        sample = AccountSample(LAW, 10, seed=1)
        with pytest.raises((ValueError, TypeError)):
            sample.draw(count)
        assert sample.draw(10) == list(draw_accounts(10, 1))

    def test_an_account_that_was_not_drawn_is_twice_judged_or_not_named(self):
        sample = AccountSample(LAW, 10, seed=1)
        (account,) = sample.draw(1)
        with pytest.raises(ValueError, match="not drawn"):
            sample.record(account + 1, judged(0))
        with pytest.raises(TypeError, match="number"):
            sample.record(True, judged(0))
        sample.record(account, judged(0))
        with pytest.raises(ValueError, match="before"):
            sample.record(account, judged(1))
        assert (sample.looked, sample.broken) == (1, 0)

    def test_a_verdict_on_something_else(self):
        sample = AccountSample(LAW, 10, seed=1)
        (account,) = sample.draw(1)
        with pytest.raises(ValueError, match="another law"):
            sample.record(account, judged(0.5, ROUGH))
        with pytest.raises(TypeError, match="verdict"):
            sample.record(account, Status.CONSERVED)
        assert sample.looked == 0

    def test_a_balance_outside_what_was_declared(self):
        sample = AccountSample(LAW, 10, seed=1, balance_bounds=(-1, 1))
        (account,) = sample.draw(1)
        with pytest.raises(ValueError, match="outside the declared bounds"):
            sample.record(account, judged(2))
        assert sample.looked == 0
        assert sample.verdict_on_total(TOTAL).status is Status.UNKNOWN

    def test_a_total_without_bounds_or_of_another_quantity(self):
        sample = AccountSample(LAW, 10, seed=1)
        with pytest.raises(ValueError, match="declared"):
            sample.verdict_on_total(TOTAL)
        with pytest.raises(ValueError, match="energy"):
            sample.verdict_on_total(ROUGH)

    @pytest.mark.parametrize(
        ("looked", "broken"), [(11, 0), (5, 6), (-1, 0), (5, -1), (True, 0), (5.0, 0)]
    )
    def test_numbers_that_are_no_sample(self, looked, broken):
        with pytest.raises((ValueError, TypeError)):
            broken_at_most(10, looked, broken, 0.95)

    @pytest.mark.parametrize("balances", [[math.nan], [2.0], [math.inf], [True], [0.0] * 11])
    def test_balances_that_are_no_sample(self, balances):
        with pytest.raises(ValueError, match=r"balance|sample"):
            interval_of_total(balances, 10, -1.0, 1.0, 0.95)
