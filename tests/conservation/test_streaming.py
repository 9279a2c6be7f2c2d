"""Streams of readings: order, gaps and contradictions; exactness; trends that are looked for."""

import math
import pickle
import random
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conservation import Arrival, Kind, Law, Quantity, Reading, Status, StreamVerifier, verify
from conservation.running import FloatFlux
from conservation.trend import GrowthExponent, LevelTrend, WalkTrend, mixture_bound

TOKENS = Quantity("tokens", "token")
ENERGY = Quantity("energy", "J")
OPEN = Law(TOKENS, "accounts", Kind.EXACT, "Integers.", sources_and_sinks=("issue", "burn"))
CLOSED = Law(TOKENS, "accounts", Kind.EXACT, "Integers.")
BOUNDED = Law(ENERGY, "bodies", Kind.BOUNDED, "Order and step.", tolerance=1.0)
ROUND_OFF = Law(ENERGY, "bodies", Kind.ROUND_OFF, "Quanta and steps.", tolerance=60.0)
FED = Law(ENERGY, "cells", Kind.ROUND_OFF, "Rounding.", 1e-9, sources_and_sinks=("feed",))

integers = st.integers(-(10**30), 10**30)
floats = st.floats(-1e12, 1e12)


def tokens(value):
    return Reading(TOKENS, value, at=0.0, by="ledger")


def joules(value):
    return Reading(ENERGY, value, at=0.0, by="meter")


def fed(law, values, **options):
    """A verifier that has read these values of energy in order."""
    verifier = StreamVerifier(law, **options)
    for sequence, value in enumerate(values):
        verifier.add(joules(value), sequence=sequence)
    return verifier


def balanced(count, generator):
    """Readings of tokens with their flux that balance."""
    total, readings = generator.randrange(10**20), []
    for sequence in range(count):
        flux = generator.randrange(-(10**6), 10**6)
        total += flux
        readings.append((sequence, total, flux))
    return readings


def bytes_of(thing, seen=None):
    """All bytes that an object holds by itself; what is shared by all counts nothing."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type | Law | None):
        return 0
    seen.add(id(thing))
    inner = []
    if isinstance(thing, list | tuple):
        inner = list(thing)
    elif isinstance(thing, dict):
        inner = [*thing.keys(), *thing.values()]
    for kind in type(thing).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            inner.append(getattr(thing, name, None))
    inner += list(getattr(thing, "__dict__", {}).values())
    return sys.getsizeof(thing) + sum(bytes_of(each, seen) for each in inner)


class TestExact:
    @given(st.lists(st.tuples(integers, integers), min_size=2, max_size=20))
    def test_is_what_verify_says_between_the_first_reading_and_each_other(self, readings):
        verifier = StreamVerifier(OPEN)
        verifier.add(tokens(readings[0][0]), sequence=0, flux=readings[0][1])
        flux, broken = 0, None
        for sequence, (value, entered) in enumerate(readings[1:], start=1):
            verifier.add(tokens(value), sequence=sequence, flux=entered)
            flux += entered
            expected = verify(OPEN, tokens(readings[0][0]), tokens(value), flux)
            if broken is None and expected.status is Status.VIOLATED:
                broken = expected
            shown, verdict = broken or expected, verifier.verdict()
            assert (verdict.status, verdict.expected, verdict.found, verdict.balance) == (
                shown.status, shown.expected, shown.found, shown.balance,
            )  # fmt: skip

    @given(st.integers(0, 10**9), st.integers(1, 40), integers.filter(bool), st.data())
    def test_one_unit_is_seen_in_any_place_and_stays(self, seed, count, extra, data):
        readings = balanced(count + 1, random.Random(seed))
        place = data.draw(st.integers(1, count))
        verifier = StreamVerifier(OPEN)
        for sequence, value, flux in readings:
            wrong = extra if sequence == place else 0
            verifier.add(tokens(value + wrong), sequence=sequence, flux=flux)
        verdict = verifier.verdict()
        assert verdict.status is Status.VIOLATED
        assert verdict.balance == extra
        assert f"Reading {place} is off by" in verdict.reason

    def test_components_do_not_cancel(self):
        verifier = StreamVerifier(CLOSED)
        verifier.add(tokens((1, 2)), sequence=0)
        verifier.add(tokens((2, 1)), sequence=1)
        assert verifier.verdict().status is Status.VIOLATED
        assert verifier.verdict().balance == (1, -1)

    def test_flux_of_components(self):
        verifier = StreamVerifier(OPEN)
        verifier.add(tokens((1, 2)), sequence=0)
        verifier.add(tokens((4, 1)), sequence=1, flux=(3, -1))
        verifier.add(tokens((4, 1)), sequence=2)
        assert verifier.verdict().status is Status.CONSERVED
        assert verifier.verdict().expected == (4, 1)


class TestOrder:
    @given(st.integers(0, 10**9), st.integers(2, 60), st.integers(1, 12))
    def test_neither_order_within_the_window_nor_repetition_changes_the_verdict(
        self, seed, count, window
    ):
        generator = random.Random(seed)
        readings = balanced(count, generator)
        # A reading that is late by less than the window, and each third one twice.
        shuffled = sorted(readings, key=lambda each: each[0] + generator.random() * (window - 0.01))
        for repeat in readings[::3]:
            shuffled.insert(shuffled.index(repeat) + 1, repeat)
        verifier = StreamVerifier(OPEN, window=window)
        for sequence, value, flux in shuffled:
            verifier.add(tokens(value), sequence=sequence, flux=flux)
        verdict = verifier.verdict()
        assert verdict.status is Status.CONSERVED
        assert verdict.found == readings[-1][1]
        assert (verifier.judged, verifier.lost) == (count, 0)

    def test_says_what_became_of_each(self):
        verifier = StreamVerifier(CLOSED, window=2)
        arrivals = [
            verifier.add(tokens(7), sequence=sequence) for sequence in (0, 2, 2, 1, 0, 3, 9, 4)
        ]
        assert arrivals == [
            Arrival.DUE,
            Arrival.WAITING,
            Arrival.DUPLICATE,
            Arrival.DUE,
            Arrival.DUPLICATE,
            Arrival.DUE,
            Arrival.WAITING,
            Arrival.TOO_LATE,
        ]

    def test_is_unknown_while_a_gap_is_open(self):
        verifier = StreamVerifier(OPEN)
        verifier.add(tokens(5), sequence=0)
        verifier.add(tokens(5), sequence=1)
        verifier.add(tokens(9), sequence=3, flux=2)
        verdict = verifier.verdict()
        assert verdict.status is Status.UNKNOWN
        assert verdict.reason == "Reading 2 is missing; 1 later one came already."
        verifier.add(tokens(7), sequence=2, flux=2)
        assert verifier.verdict().status is Status.CONSERVED

    def test_a_violation_waits_for_its_turn_but_not_for_what_comes_after(self):
        verifier = StreamVerifier(CLOSED)
        verifier.add(tokens(5), sequence=0)
        verifier.add(tokens(6), sequence=2)
        assert verifier.verdict().status is Status.UNKNOWN
        verifier.add(tokens(5), sequence=1)
        verifier.add(tokens(5), sequence=9)
        assert verifier.verdict().status is Status.VIOLATED

    def test_what_is_lost_with_its_flux_is_never_fine_again(self):
        verifier = StreamVerifier(OPEN, window=3)
        for sequence in (0, 1, 3, 4, 5, 6, 7):
            verifier.add(tokens(5), sequence=sequence)
        verdict = verifier.verdict()
        assert verifier.lost == 1
        assert verdict.status is Status.UNKNOWN
        assert verdict.reason.startswith("1 reading never came, nor the flux")
        assert verifier.add(tokens(5), sequence=2) is Arrival.TOO_LATE
        assert verifier.verdict().status is Status.UNKNOWN
        # The stretch after it is judged all the same.
        verifier.add(tokens(6), sequence=8)
        assert verifier.verdict().status is Status.VIOLATED

    def test_a_closed_law_needs_nothing_of_what_was_lost_and_says_so(self):
        verifier = StreamVerifier(CLOSED, window=2)
        for sequence in (0, 1, 4):
            verifier.add(tokens(5), sequence=sequence)
        assert verifier.verdict().status is Status.UNKNOWN
        verifier.close()
        assert verifier.verdict().status is Status.CONSERVED
        assert "(2 more never came, or without a number)" in verifier.verdict().reason
        verifier = StreamVerifier(CLOSED, window=1)
        for sequence, value in ((0, 5), (3, 6)):
            verifier.add(tokens(value), sequence=sequence)
        verifier.close()
        assert verifier.verdict().status is Status.VIOLATED

    def test_a_reading_too_far_ahead_is_another_numbering(self):
        verifier = StreamVerifier(CLOSED, window=4, gap_max=10)
        verifier.add(tokens(5), sequence=0)
        with pytest.raises(ValueError, match="11 numbers ahead of the next one due; at most 10"):
            verifier.add(tokens(5), sequence=12)
        assert verifier.add(tokens(5), sequence=11) is Arrival.WAITING

    def test_closing_gives_up_what_is_missing(self):
        verifier = StreamVerifier(OPEN)
        for sequence in (0, 1, 3):
            verifier.add(tokens(5), sequence=sequence)
        verifier.close()
        assert verifier.lost == 1
        assert verifier.verdict().status is Status.UNKNOWN
        with pytest.raises(ValueError, match="closed"):
            verifier.add(tokens(5), sequence=4)
        assert verifier.add(tokens(5), sequence=2) is Arrival.TOO_LATE

    def test_two_different_readings_under_one_number_are_not_believed(self):
        verifier = StreamVerifier(CLOSED)
        for sequence in (0, 1, 2):
            verifier.add(tokens(5), sequence=sequence)
        assert verifier.add(tokens(6), sequence=1) is Arrival.CONTRADICTION
        for sequence in (3, 4):
            verifier.add(tokens(5), sequence=sequence)
        verdict = verifier.verdict()
        assert verdict.status is Status.UNKNOWN
        assert verdict.reason == "Reading 1 came twice, with different numbers."

    def test_another_flux_is_a_contradiction_too(self):
        verifier = StreamVerifier(OPEN)
        verifier.add(tokens(5), sequence=0)
        verifier.add(tokens(5), sequence=1)
        assert verifier.add(tokens(5), sequence=1, flux=3) is Arrival.CONTRADICTION

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=60))
    def test_is_fine_only_when_every_number_up_to_the_last_came_and_agreed(self, arrivals):
        verifier, came, last = StreamVerifier(OPEN, window=8), {}, -1
        for sequence, wrong in arrivals:
            value = 5 if wrong else 4  # mostly right
            verifier.add(tokens(value), sequence=sequence)
            came.setdefault(sequence, set()).add(value)
            last = max(last, sequence)
        if verifier.verdict().status.is_fine:
            assert sorted(came) == list(range(last + 1))
            assert len(set.union(*came.values())) == 1


class TestCarriedOn:
    @given(st.lists(floats, min_size=4, max_size=30), st.data())
    def test_by_another_process(self, values, data):
        """A verifier that is put away between two readings goes on where it was."""
        law, place = BOUNDED.with_tolerance(1e9), data.draw(st.integers(0, len(values) - 1))
        here, there = StreamVerifier(law), StreamVerifier(law)
        for sequence, value in enumerate(values):
            here.add(joules(value), sequence=sequence)
            if sequence == place:
                there = pickle.loads(pickle.dumps(there))
            there.add(joules(value), sequence=sequence)
        assert there.verdict() == here.verdict()
        assert there.trends() == here.trends()


class TestMissing:
    def test_nothing_and_one_reading_are_unknown(self):
        verifier = StreamVerifier(CLOSED)
        assert verifier.verdict().status is Status.UNKNOWN
        assert "2 more must be looked at" in verifier.verdict().reason
        verifier.add(tokens(5), sequence=0)
        assert verifier.verdict().status is Status.UNKNOWN
        assert verifier.verdict().reason == "Looked at 1 reading: 1 more must be looked at."

    def test_as_many_readings_as_asked_for(self):
        verifier = fed(BOUNDED, [0.0] * 99, readings_min=100)
        assert verifier.verdict().status is Status.UNKNOWN
        verifier.add(joules(0.0), sequence=99)
        assert verifier.verdict().status is Status.BOUNDED

    def test_a_participant_that_did_not_answer(self):
        verifier = StreamVerifier(OPEN)
        verifier.add(tokens(5), sequence=0)
        verifier.add(tokens(7), sequence=1, flux=2)
        verifier.add(tokens(None), sequence=2, flux=3)
        assert verifier.verdict().status is Status.UNKNOWN
        assert "did not answer" in verifier.verdict().reason
        verifier.add(tokens(11), sequence=3, flux=1)
        assert verifier.verdict().status is Status.CONSERVED

    def test_the_first_number_is_the_reference(self):
        verifier = StreamVerifier(OPEN, first=10)
        verifier.add(tokens(None), sequence=10, flux=99)
        verifier.add(tokens(5), sequence=11, flux=99)
        verifier.add(tokens(6), sequence=12, flux=1)
        assert verifier.verdict().status is Status.CONSERVED


class TestFloats:
    @given(st.lists(floats, min_size=2, max_size=30))
    def test_the_balance_is_rounded_once(self, values):
        law = Law(ENERGY, "cells", Kind.BOUNDED, "why", 1e300, sources_and_sinks=("feed",))
        verifier = StreamVerifier(law, trend_allowed=math.inf)
        for sequence, value in enumerate(values):
            verifier.add(joules(value), sequence=sequence, flux=value)
        exact = Fraction(values[-1]) - Fraction(values[0]) - sum(map(Fraction, values[1:]))
        assert verifier.verdict().balance == pytest.approx(float(exact), rel=1e-15, abs=1e-18)

    def test_a_tenth_a_million_times(self):
        flux, plain = FloatFlux(), 0.0
        for _ in range(1_000_000):
            flux.add(0.1)
            plain += 0.1
        exact = float(Fraction(0.1) * 1_000_000)
        assert flux.expected(0.0) == exact
        assert plain != exact

    @pytest.mark.parametrize("entered", [[0.1, 1e16, -1e16], [1e16, 0.1, -1e16]])
    def test_nothing_small_is_lost_beside_something_large(self, entered):
        flux = FloatFlux()
        for each in entered:
            flux.add(each)
        assert flux.expected(0.0) == 0.1
        assert flux.balance(0.0, 0.1) == 0.0

    def test_an_overflow_of_the_balance_is_a_violation(self):
        assert fed(BOUNDED, [-1.7e308, 1.7e308]).verdict().status is Status.VIOLATED

    @given(st.lists(floats, min_size=2, max_size=20), st.floats(0, 1e12))
    def test_one_reading_outside_the_tolerance_is_a_violation(self, values, tolerance):
        law = BOUNDED.with_tolerance(tolerance)
        verdict = fed(law, values, trend_allowed=math.inf).verdict()
        off = [abs(value - values[0]) for value in values]
        broken = next((error for error in off if error > tolerance), None)
        assert verdict.status is (Status.BOUNDED if broken is None else Status.VIOLATED)
        assert verdict.error == (off[-1] if broken is None else broken)

    def test_the_limit_is_the_tolerance_and_not_a_bit_more(self):
        assert fed(BOUNDED, [0.0, 1.0]).verdict().status is Status.BOUNDED
        assert fed(BOUNDED, [0.0, math.nextafter(1.0, 2.0)]).verdict().status is Status.VIOLATED

    def test_round_off_is_conserved_and_bounded_is_bounded(self):
        assert fed(ROUND_OFF, [0.0, 1.0]).verdict().status is Status.CONSERVED
        assert fed(BOUNDED, [0.0, 1.0]).verdict().status is Status.BOUNDED

    def test_the_error_of_a_vector_is_its_length(self):
        verdict = fed(BOUNDED.with_tolerance(4.9), [(0.0, 0.0), (3.0, 4.0)]).verdict()
        assert verdict.status is Status.VIOLATED
        assert verdict.error == 5.0


NOISES = {
    "normal": lambda generator, count: generator.normal(size=count),
    "rounding": lambda generator, count: generator.uniform(-1.0, 1.0, count),
    "signs": lambda generator, count: generator.choice([-1.0, 1.0], count),
    "heavy tails": lambda generator, count: generator.standard_t(2.0, count),
    # Its size changes with what came before: no two increments are alike, nor independent.
    "clusters": lambda generator, count: (
        generator.normal(size=count) * np.exp(np.cumsum(generator.normal(size=count)) * 0.05)
    ),
}


def share_of_alarms(make, paths):
    """In how many streams a trend is found at any of all looks, and the median of when."""
    found = []
    for path in paths:
        trend = make()
        for place, balance in enumerate(path.tolist(), start=1):
            trend.add(place, balance)
            if trend.excludes(0.0):
                found.append(place)
                break
    return len(found) / len(paths), sorted(found)[len(found) // 2] if found else None


class TestFalseAlarms:
    """With alpha = 0.1 and a look after each of 600 readings; 200 streams of fixed seeds each."""

    ALPHA, STREAMS, READINGS = 0.1, 200, 600
    LIMIT = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / STREAMS)

    def paths(self, noise, seed):
        generator = np.random.default_rng(seed)
        return [NOISES[noise](generator, self.READINGS) for _ in range(self.STREAMS)]

    @pytest.mark.parametrize("noise", NOISES)
    @pytest.mark.parametrize("scale", [3.0, 30.0])
    def test_of_a_walk_with_increments_of_any_size(self, noise, scale):
        paths = [np.cumsum(path) for path in self.paths(noise, 11)]
        share, _ = share_of_alarms(lambda: WalkTrend(self.ALPHA, scale), paths)
        assert share <= self.LIMIT

    @pytest.mark.parametrize("noise", ["normal", "rounding", "signs"])
    def test_of_a_walk_with_declared_noise(self, noise):
        paths = [np.cumsum(path) for path in self.paths(noise, 12)]
        share, _ = share_of_alarms(lambda: WalkTrend(self.ALPHA, 10.0, 1.0), paths)
        assert share <= self.LIMIT

    @pytest.mark.parametrize("noise", ["normal", "rounding", "signs"])
    def test_of_a_level(self, noise):
        share, _ = share_of_alarms(lambda: LevelTrend(self.ALPHA, 1.0), self.paths(noise, 13))
        assert share <= self.LIMIT

    def test_a_plain_interval_would_cry_wolf(self):
        """The check of the check: twice the standard error, looked at each time, does not hold."""
        wolf = 0
        for path in self.paths("normal", 11):
            steps = np.arange(1, self.READINGS + 1)
            wolf += np.any(np.abs(np.cumsum(path)[9:]) > 1.96 * np.sqrt(steps[9:]))
        assert wolf / self.STREAMS > 0.3

    def test_too_little_noise_declared_is_found_out(self):
        """So the simulations above could have failed."""
        paths = [np.cumsum(path) for path in self.paths("normal", 12)]
        share, _ = share_of_alarms(lambda: WalkTrend(self.ALPHA, 10.0, 0.5), paths)
        assert share > self.LIMIT

    @pytest.mark.slow
    def test_of_the_verifier_over_long_streams(self):
        generator = np.random.default_rng(21)
        alarms = 0
        for _ in range(40):
            values = np.cumsum(generator.uniform(-0.1, 0.1, 10_000))
            verifier = fed(ROUND_OFF, values.tolist(), confidence=0.9)
            alarms += verifier.verdict().status is not Status.CONSERVED
        assert alarms <= 40 * 0.1 + 3 * math.sqrt(40 * 0.09)

    @pytest.mark.parametrize("period", [3, 7, 24.5, 100])
    def test_an_error_that_swings_within_its_bound_is_no_trend(self, period):
        swing = [0.49 * math.sin(2 * math.pi * place / period) for place in range(3000)]
        assert fed(BOUNDED, swing).verdict().status is Status.BOUNDED

    def test_a_slow_swing_is_none_when_whole_periods_are_averaged(self):
        swing = [0.49 * math.sin(2 * math.pi * place / 3000) for place in range(20_000)]
        assert fed(BOUNDED, swing, noise=0.02).verdict().status is Status.VIOLATED
        assert fed(BOUNDED, swing, noise=0.02, block=3000).verdict().status is Status.BOUNDED


class TestPower:
    def test_a_drift_of_a_walk_is_found_long_before_its_tolerance(self):
        generator = np.random.default_rng(31)
        found = []
        for _ in range(20):
            values = np.cumsum(generator.uniform(-0.1, 0.1, 6000) + 0.01)
            verifier = fed(ROUND_OFF, values.tolist()[:2500])  # 25 of 60 by the drift alone
            verdict = verifier.verdict()
            found.append(verdict.status is Status.VIOLATED)
            assert verdict.error < ROUND_OFF.tolerance
        assert all(found)

    def test_a_trend_of_a_level_is_found_long_before_its_tolerance(self):
        generator = np.random.default_rng(32)
        for _ in range(5):
            # It would cross the tolerance of 1 after 20 000 readings.
            values = generator.uniform(-0.2, 0.2, 8000) + np.arange(8000) / 20_000
            values[0] = 0.0
            verdict = fed(BOUNDED, values.tolist()).verdict()
            assert verdict.status is Status.VIOLATED
            assert "the balance had a trend of" in verdict.reason
            assert "99.9 % confidence at all times" in verdict.reason

    def test_half_the_trend_that_is_allowed_is_allowed(self):
        values = [place / 20_000 for place in range(8000)]
        assert fed(BOUNDED, values, trend_allowed=1e-4).verdict().status is Status.BOUNDED
        assert fed(BOUNDED, values, trend_allowed=2e-5).verdict().status is Status.VIOLATED

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_the_interval_holds_the_truth_and_narrows(self, sign):
        generator = np.random.default_rng(33)
        walk, level = WalkTrend(0.05, 10.0), LevelTrend(0.05, 1.0)
        widths = []
        drift, balance = sign * 0.3, 0.0
        for place in range(1, 20_001):
            noise = generator.uniform(-1.0, 1.0)
            balance += drift + noise
            walk.add(place, balance)
            level.add(place, 5.0 + 0.001 * sign * place + noise)
            if place in (200, 2000, 20_000):
                a, b = walk.slope(), level.slope()
                assert a.low < drift < a.high
                assert b.low < 0.001 * sign < b.high
                widths.append((a.high - a.low, b.high - b.low))
        for early, late in pairwise(widths):
            assert 2.0 < early[0] / late[0] < 10.0  # as n^-1/2, times the logarithm
            assert 15.0 < early[1] / late[1] < 60.0  # as n^-3/2

    @pytest.mark.parametrize(("variance", "rho", "alpha"), [(3.0, 1.0, 0.05), (500.0, 7.0, 1e-3)])
    def test_the_mixture_reaches_one_over_alpha_at_the_bound(self, variance, rho, alpha):
        """Independent oracle: the average over the normal prior, by quadrature."""
        rest = math.sqrt(mixture_bound(variance, rho, alpha))
        rates, step = np.linspace(-60.0, 60.0, 400_001, retstep=True)
        rates = rates / math.sqrt(variance + rho) + rest / (variance + rho)
        step /= math.sqrt(variance + rho)
        heights = np.exp(rates * rest - rates**2 * (variance + rho) / 2)
        average = float(np.sum(heights)) * step * math.sqrt(rho / (2 * math.pi))
        assert average == pytest.approx(1 / alpha, rel=1e-9)

    def test_few_equal_increments_do_not_exclude_a_drift_far_from_them(self):
        """Where the near end of what is allowed is excluded and the far one is not."""
        walk = WalkTrend(0.1, math.sqrt(6.33 * 5.0 * math.exp(-14.3)))
        for place in range(1, 21):
            walk.add(place, float(place))
        assert walk._excess(0.5) > 0.0 > walk._excess(-0.5)
        assert not walk.excludes(0.5)

    def test_the_first_reading_is_the_reference_and_no_part_of_the_fit(self):
        values = np.random.default_rng(36).uniform(0.5, 0.9, 50).tolist()
        alone = LevelTrend(0.001 / 2, BOUNDED.tolerance)
        for place, value in enumerate(values, start=1):
            alone.add(place, value)
        (trend,) = fed(BOUNDED, [0.0, *values]).trends()
        assert trend.slope.per_reading == pytest.approx(alone.slope().per_reading, rel=1e-9)
        assert trend.slope.high == pytest.approx(alone.slope().high, rel=1e-9)

    def test_stretches_and_components_share_the_false_alarms(self):
        law = Law(ENERGY, "cells", Kind.BOUNDED, "why", 1.0, sources_and_sinks=("feed",))
        verifier = StreamVerifier(law, confidence=0.9, window=1)
        found = []
        for sequence in (0, 1, 2, 4, 5, 6, 8, 9, 10):
            verifier.add(joules((0.0, 0.0)), sequence=sequence)
            if sequence in (2, 6, 10):
                found.append([1.0 - each.slope.confidence for each in verifier.trends()])
        shares = [0.1 / 2 / 2, 0.1 / 6 / 2, 0.1 / 12 / 2]
        assert found == [pytest.approx([share, share]) for share in shares]

    def test_the_ends_of_the_walks_interval_are_where_the_mixture_says(self):
        walk = WalkTrend(0.05, 2.0)
        increments = np.random.default_rng(34).normal(size=500)
        for place, balance in enumerate(np.cumsum(increments).tolist(), start=1):
            walk.add(place, balance)
        slope, rho = walk.slope(), walk._rho
        for end in (slope.low, slope.high):
            rest = increments - end
            bound = mixture_bound(float(np.sum(rest**2)), rho, 0.05)
            assert float(np.sum(rest)) ** 2 == pytest.approx(bound, rel=1e-9)

    def test_the_least_squares_are_numpys(self):
        generator = np.random.default_rng(35)
        balances = generator.normal(size=1000) + 1e6
        level = LevelTrend(0.05, 1.0)
        for place, balance in enumerate(balances.tolist()):
            level.add(place, balance)
        assert level.slope().per_reading == pytest.approx(
            np.polynomial.polynomial.polyfit(np.arange(1000.0), balances, 1)[1], rel=1e-7
        )

    def test_the_ellipsoid_is_that_of_two_by_two_matrices(self):
        """Independent oracle: the projection computed with matrices, not with sums."""
        level, count = LevelTrend(0.05, 2.0), 700
        for place in range(count):
            level.add(place, 0.0)
        real = np.stack([np.ones(count), np.arange(count)])
        few = np.stack([np.ones(100), np.arange(100)])
        G, I = real @ real.T, few @ few.T  # noqa: E741
        growth = np.log(np.linalg.det(G + I) / np.linalg.det(I))
        looseness = (np.linalg.inv(G) @ (G + I) @ np.linalg.inv(G))[1, 1]
        reach = 2.0 * math.sqrt((growth - 2 * math.log(0.05)) * looseness)
        assert level.slope().high == pytest.approx(reach, rel=1e-9)


class TestGrowth:
    @pytest.mark.parametrize(
        ("make", "exponent", "scatter"),
        [
            (lambda generator: generator.normal(size=40_000), 0.0, 0.03),
            (lambda generator: np.cumsum(generator.normal(size=40_000)), 0.5, 0.25),
            (lambda generator: np.arange(1.0, 40_001.0), 1.0, 0.02),
        ],
    )
    def test_is_that_of_noise_of_a_walk_and_of_a_drift(self, make, exponent, scatter):
        found = []
        for seed in range(5):
            growth = GrowthExponent()
            for place, balance in enumerate(make(np.random.default_rng(seed)).tolist(), start=1):
                growth.add(place, balance)
            found.append(growth.value())
        assert float(np.mean(found)) == pytest.approx(exponent, abs=scatter)

    def test_is_none_where_there_is_no_error_or_too_little_of_it(self):
        growth = GrowthExponent()
        for place in range(1, 100):
            growth.add(place, 0.0)
        assert growth.value() is None


class TestMemory:
    @pytest.mark.parametrize(
        ("law", "values"),
        [
            (CLOSED, lambda sequence: 10**12),
            (BOUNDED, lambda sequence: 0.3 * math.sin(sequence)),
            (ROUND_OFF, lambda sequence: 0.3 * math.sin(sequence)),
        ],
    )
    def test_is_the_same_after_a_thousand_and_a_hundred_thousand_readings(self, law, values):
        verifier, sizes = StreamVerifier(law), []
        for sequence in range(100_001):
            reading = Reading(law.quantity, values(sequence), float(sequence), "meter")
            verifier.add(reading, sequence=sequence)
            if sequence in (1000, 100_000):
                sizes.append(bytes_of(verifier))
        assert sizes[0] == sizes[1]
        assert sizes[0] < 40_000
        assert verifier.verdict().status.is_fine

    def test_is_bounded_whatever_is_lost(self):
        verifier, largest = StreamVerifier(CLOSED, window=8), 0
        for sequence in range(0, 100_000, 17):
            verifier.add(tokens(5), sequence=sequence)
            largest = max(largest, bytes_of(verifier)) if sequence % 170 == 0 else largest
        assert largest < 8000


class TestRefused:
    BAD: tuple = (
        (CLOSED, tokens(1.0), 2, 0, TypeError, "integer"),
        (CLOSED, tokens(True), 2, 0, TypeError, "integer"),
        (CLOSED, tokens((5, 5)), 2, 0, ValueError, "components"),
        (CLOSED, joules(5), 2, 0, ValueError, "energy in J"),
        (CLOSED, Reading(Quantity("tokens", "cent"), 5, 0.0, "x"), 2, 0, ValueError, "in cent"),
        (CLOSED, tokens(5), 2, 1, ValueError, "declares no sources"),
        (CLOSED, tokens("5"), 2, 0, TypeError, "integer"),
        (CLOSED, 5, 2, 0, TypeError, "takes readings"),
        (CLOSED, tokens(5), -1, 0, ValueError, "start at number 0"),
        (CLOSED, tokens(5), 2.0, 0, TypeError, "integer"),
        (CLOSED, tokens(5), True, 0, TypeError, "integer"),
        (CLOSED, tokens(5), 10**15, 0, ValueError, "ahead"),
        (OPEN, tokens(5), 2, 1.0, TypeError, "flux"),
        (OPEN, tokens(5), 2, True, TypeError, "flux"),
        (OPEN, tokens(5), 2, (1, 2), ValueError, "components"),
        (OPEN, tokens(None), 2, (1, 2), ValueError, "components"),
        (BOUNDED, joules(math.nan), 2, 0, ValueError, "finite"),
        (BOUNDED, joules(math.inf), 2, 0, ValueError, "finite"),
        (BOUNDED, joules(10**400), 2, 0, ValueError, "too large"),
        (BOUNDED, joules(True), 2, 0, TypeError, "number"),
        (BOUNDED, joules(None), 2, 1.0, ValueError, "declares no sources"),
        (FED, joules(5.0), 2, math.nan, ValueError, "finite"),
        (FED, joules(5.0), 2, -math.inf, ValueError, "finite"),
    )

    @pytest.mark.parametrize(("law", "reading", "sequence", "flux", "error", "sentence"), BAD)
    def test_and_nothing_is_changed(self, law, reading, sequence, flux, error, sentence):
        verifier = StreamVerifier(law)
        for number in (0, 1):
            verifier.add(Reading(law.quantity, 5, 0.0, "x"), sequence=number)
        before, size = verifier.verdict(), bytes_of(verifier)
        with pytest.raises(error, match=sentence):
            verifier.add(reading, sequence=sequence, flux=flux)
        assert verifier.verdict() == before
        assert bytes_of(verifier) == size
        assert verifier.add(Reading(law.quantity, 5, 0.0, "x"), sequence=2) is Arrival.DUE
        assert verifier.verdict().status.is_fine

    def test_components_that_are_known_from_a_flux_alone(self):
        verifier = StreamVerifier(OPEN)
        verifier.add(tokens(None), sequence=1, flux=(1, 2))
        with pytest.raises(ValueError, match="components"):
            verifier.add(tokens(5), sequence=0)
        verifier.add(tokens((5, 5)), sequence=0)
        verifier.add(tokens((6, 7)), sequence=2)
        assert verifier.verdict().status is Status.CONSERVED

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"first": -1}, ValueError),
            ({"first": 0.0}, TypeError),
            ({"window": 0}, ValueError),
            ({"window": 10**9}, ValueError),
            ({"window": True}, TypeError),
            ({"gap_max": 0}, ValueError),
            ({"readings_min": 1}, ValueError),
            ({"confidence": 1}, ValueError),
            ({"confidence": math.nan}, ValueError),
            ({"noise": 0.0}, ValueError),
            ({"noise": math.nan}, ValueError),
            ({"noise": -1.0}, ValueError),
            ({"trend_allowed": -1.0}, ValueError),
            ({"trend_allowed": math.nan}, ValueError),
            ({"block": 0}, ValueError),
            ({"block": 1.5}, TypeError),
        ],
    )
    def test_bad_options(self, options, error):
        with pytest.raises(error):
            StreamVerifier(BOUNDED, **options)

    def test_something_that_is_no_law(self):
        with pytest.raises(TypeError, match="law"):
            StreamVerifier("exact")
