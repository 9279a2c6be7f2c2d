"""Cash flows and their measures: published problems, other programs, invariants, bad input."""

import itertools
import math
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import numpy_financial
import pytest
import pyxirr
from hypothesis import assume, given
from hypothesis import strategies as st
from mpmath.libmp import NoConvergence

from business import roi
from tests.business.cases import UNTIMED
from tests.business.reference import PROBLEMS

CENTS = st.integers(-(10**9), 10**9).map(lambda cents: Decimal(cents) / 100)
OUTLAYS = st.integers(1, 10**8).map(lambda cents: -Decimal(cents) / 100)
INFLOWS = st.lists(
    st.integers(0, 10**8).map(lambda cents: Decimal(cents) / 100), min_size=1, max_size=12
).filter(any)
RATES = st.integers(-900, 3000).map(lambda mille: Decimal(mille) / 1000)
TIMINGS = st.sampled_from(roi.TIMINGS)


def measure(*flows, rate="0.1", **options):
    return roi.measure(roi.read_flows(flows), Decimal(rate), **options)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_published_problems(problem):
    half_a_digit = 0.5 * 10**-problem.decimals * (1 + 1e-9)
    assert all(abs(difference) <= half_a_digit for difference in problem.differences())


class TestOneCaseThrough:
    """-50, four times 16, and 20 at 10 %, computed by hand in fractions."""

    flows = (-50, 16, 16, 16, 16, 20)

    def test_end_of_year(self):
        found = measure(*self.flows)
        value = sum(Fraction(f) / Fraction(11, 10) ** t for t, f in enumerate(self.flows))
        assert float(found.npv) == pytest.approx(float(value), rel=1e-15)
        assert found.irr == pytest.approx(0.195197216, abs=1e-9)
        assert found.payback_years == 3.125
        assert found.discounted_payback_years == pytest.approx(3.9343125, rel=1e-14)
        assert found.roi == pytest.approx(float(value) / 50, rel=1e-14)
        assert found.bcr == pytest.approx(float(value) / 50 + 1, rel=1e-14)
        assert found.roi_undiscounted == pytest.approx(34 / 50)
        assert found.warnings == ()

    def test_middle_and_start_of_year(self):
        inflows = 50 + float(measure(*self.flows).npv)
        middle, start = measure(*self.flows, timing="mid"), measure(*self.flows, timing="start")
        assert float(middle.npv) == pytest.approx(inflows * math.sqrt(1.1) - 50, rel=1e-14)
        assert float(start.npv) == pytest.approx(inflows * 1.1 - 50, rel=1e-14)
        assert measure(*self.flows).irr < middle.irr < start.irr
        # (1 + m)^5 = (inflows at the end of year 5) / 50, which the timing shifts.
        ends = [(found.mirr + 1) ** 5 for found in (measure(*self.flows), middle, start)]
        assert ends[1] / ends[0] == pytest.approx(math.sqrt(1.1), rel=1e-13)
        assert ends[2] / ends[0] == pytest.approx(1.1, rel=1e-13)


class TestRoots:
    @pytest.mark.parametrize(
        ("flows", "roots"),
        [
            ((-1000, 5000, -6000), (1.0, 2.0)),
            ((-1600, 10000, -10000), (0.25, 4.0)),
            ((100, -300, 250), ()),
            ((5,), ()),
            ((-1, 0, 0, 1), (0.0,)),
        ],
    )
    def test_to_the_last_bit_where_a_float_can_hold_it(self, flows, roots):
        assert measure(*flows).irr_roots == roots
        assert (measure(*flows).irr is None) == (len(roots) != 1)

    def test_a_root_that_touches_is_found_and_said(self):
        found = measure(1, "-2.2", "1.21")
        assert found.irr_roots == pytest.approx((0.1,), abs=1e-6)
        assert any("touches 0" in warning for warning in found.warnings)

    @pytest.mark.parametrize("second", ["1.1001", "1.10001"])
    def test_two_roots_close_together_are_two(self, second):
        """(x - 1.1) * (x - second), x = 1 + rate."""
        other = Decimal(second)
        found = measure(1, -(Decimal("1.1") + other), Decimal("1.1") * other)
        assert found.irr_roots == pytest.approx((0.1, float(other) - 1), abs=1e-12)
        assert found.irr is None

    def test_a_triple_root(self):
        assert measure(-1, "3.3", "-3.63", "1.331").irr == pytest.approx(0.1, abs=1e-4)

    def test_flows_that_cancel_at_once(self):
        found = measure(-1, 1, timing="start")
        assert (found.irr, found.irr_roots) == (None, None)
        assert any("every rate" in warning for warning in found.warnings)

    def test_too_many_changes_are_unknown_and_not_none(self):
        found = measure(*([1, -1] * 60))
        assert (found.irr, found.irr_roots) == (None, None)
        assert any("change sign 119 times" in warning for warning in found.warnings)

    def test_a_century_by_the_month(self):
        """Level payments: the present value of an annuity, known in closed form."""
        rate = measure(-1000, *([10] * 1200)).irr
        assert 10 * (1 - (1 + rate) ** -1200) / rate == pytest.approx(1000, rel=1e-12)

    def test_rates_at_the_edge(self):
        assert measure("-1e-15", "1e15").irr == pytest.approx(1e30, rel=1e-15)
        found = measure(-(10**15), "1e-15")
        assert found.irr is None
        assert found.irr_roots == ()
        assert any("left out" in warning for warning in found.warnings)
        assert not any("no internal rate" in warning for warning in found.warnings)

    @UNTIMED
    @given(st.lists(st.integers(-999, 999), min_size=2, max_size=9), TIMINGS)
    def test_all_real_roots_as_polynomial_roots_in_50_digits(self, flows, timing):
        """Independent oracle: mpmath's roots of the polynomial in (1 + rate) ** -1/2."""
        found = roi.internal_rates(roi.read_flows(flows), timing)
        coefficients = {}
        for year, flow in enumerate(flows):
            half = 0 if year == 0 else 2 * year - roi.TIMINGS.index(timing)
            coefficients[half] = coefficients.get(half, 0) + flow
        if not any(coefficients.values()):
            assert found.every
            return
        low = min(half for half, value in coefficients.items() if value)
        high = max(half for half, value in coefficients.items() if value)
        step = math.gcd(*(half - low for half, value in coefficients.items() if value)) or 1
        polynomial = [coefficients.get(half, 0) for half in range(low, high + 1, step)]
        with mpmath.workdps(50):
            try:
                roots = mpmath.polyroots(polynomial, asc=True, maxsteps=500, extraprec=400)
            except NoConvergence:  # A double root.
                assume(False)
            rates = [x ** mpmath.mpf(-2 / step) - 1 for x in map(mpmath.mpc, roots) if x.real > 0]
            real = sorted(float(r.real) for r in rates if abs(r.imag) < 1e-18 * abs(1 + r))
            near = [r for r in rates if 0 < abs(r.imag) < 1e-5 * abs(1 + r)]
        gaps = [b - a for a, b in itertools.pairwise(real)]
        if near or any(gap < 1e-5 * (1 + abs(b)) for gap, b in zip(gaps, real[1:], strict=True)):
            assume(False)  # Two roots that cannot be told apart in floats: the case above.
        assert found.rates == pytest.approx(real, rel=1e-12, abs=1e-12)


class TestInvariants:
    @UNTIMED
    @given(st.lists(CENTS, min_size=2, max_size=15), TIMINGS)
    def test_the_net_present_value_is_0_at_each_root(self, flows, timing):
        found = roi.internal_rates(flows, timing)
        for rate in set(found.rates or ()) - set(found.touching):
            if rate > -0.99:
                worth = [abs(f) for f in roi_worth(flows, Decimal(rate), timing)]
                value = roi.net_present_value(flows, Decimal(rate), timing)
                assert abs(value) <= Decimal("1e-13") * sum(worth)

    @UNTIMED
    @given(OUTLAYS, INFLOWS, TIMINGS)
    def test_one_change_has_one_root_where_the_value_changes_its_sign(
        self, outlay, inflows, timing
    ):
        flows = [outlay, *inflows]
        found = roi.internal_rates(flows, timing)
        if timing == "start" and (outlay + inflows[0] >= 0 or not any(inflows[1:])):
            return
        assert found.changes == 1
        if found.left_out:
            return
        (rate,) = found.rates
        beside = Decimal("1e-6") * (1 + Decimal(rate))
        assert roi.net_present_value(flows, Decimal(rate) - beside, timing) > 0
        assert roi.net_present_value(flows, Decimal(rate) + beside, timing) < 0

    @UNTIMED
    @given(OUTLAYS, INFLOWS, RATES, RATES, TIMINGS)
    def test_conventional_flows_are_worth_less_at_a_higher_rate(
        self, outlay, inflows, a, b, timing
    ):
        flows = [outlay, *inflows]
        low, high = sorted((a, b))
        more, less = (roi.net_present_value(flows, rate, timing) for rate in (low, high))
        assert more >= less - Decimal("1e-18") * abs(more)

    @UNTIMED
    @given(st.lists(CENTS, min_size=1, max_size=12), RATES, st.integers(1, 10**4), TIMINGS)
    def test_scaling_scales_money_and_leaves_the_rest(self, flows, rate, scale, timing):
        once = roi.measure(flows, rate, timing=timing)
        scaled = roi.measure([flow * scale for flow in flows], rate, timing=timing)
        assert float(scaled.npv) == pytest.approx(float(once.npv) * scale, rel=1e-12, abs=1e-12)
        for name in ("mirr", "roi", "bcr", "payback_years", "roi_undiscounted"):
            before, after = getattr(once, name), getattr(scaled, name)
            assert (before is None) == (after is None)
            assert before is None or after == pytest.approx(before, rel=1e-12, abs=1e-12)

    @UNTIMED
    @given(
        st.lists(CENTS, min_size=1, max_size=10), st.lists(CENTS, min_size=1, max_size=10), RATES
    )
    def test_values_add(self, one, other, rate):
        length = max(len(one), len(other))
        padded = [[*flows, *[Decimal(0)] * (length - len(flows))] for flows in (one, other)]
        both = [a + b for a, b in zip(*padded, strict=True)]
        parts = [roi.net_present_value(flows, rate) for flows in padded]
        assert roi.net_present_value(both, rate) == pytest.approx(sum(parts), abs=Decimal("1e-9"))

    @UNTIMED
    @given(RATES, RATES)
    def test_fishers_relation_there_and_back(self, rate, inflation):
        there = roi.real_rate(rate, inflation)
        assert abs(roi.nominal_rate(there, inflation) - rate) < Decimal("1e-30") * 100

    @UNTIMED
    @given(OUTLAYS, INFLOWS, RATES)
    def test_paid_back_within_the_years_when_the_sum_is_not_below_0(self, outlay, inflows, rate):
        found = roi.measure([outlay, *inflows], rate)
        assert (found.payback_years is not None) == (outlay + sum(inflows) >= 0)
        assert (found.discounted_payback_years is not None) == (found.npv >= 0)
        if found.payback_years is not None:
            year = math.ceil(found.payback_years)
            assert sum(inflows[:year]) + outlay >= -Decimal("1e-9")
            assert sum(inflows[: year - 1]) + outlay < 0

    @UNTIMED
    @given(OUTLAYS, INFLOWS)
    def test_mirr_at_the_internal_rate_is_the_internal_rate(self, outlay, inflows):
        flows = [outlay, *inflows]
        (rate,) = roi.internal_rates(flows).rates or (None,)
        if rate is None or not -0.9 < rate < 50:
            return
        found = roi.modified_internal_rate(
            flows, finance_rate=Decimal(rate), reinvest_rate=Decimal(rate)
        )
        assert found == pytest.approx(rate, rel=1e-9, abs=1e-12)


class TestOtherPrograms:
    @UNTIMED
    @given(OUTLAYS, INFLOWS, st.integers(1, 500).map(lambda mille: mille / 1000))
    def test_numpy_financial(self, outlay, inflows, rate):
        flows = [float(flow) for flow in (outlay, *inflows)]
        found = roi.measure(roi.read_flows(flows), Decimal(str(rate)))
        size = sum(map(abs, flows))
        assert float(found.npv) == pytest.approx(numpy_financial.npv(rate, flows), abs=1e-12 * size)
        mirr = numpy_financial.mirr(np.array(flows), rate, rate)
        assert found.mirr == pytest.approx(mirr, rel=1e-10, abs=1e-10)

    @UNTIMED
    @given(OUTLAYS, INFLOWS, st.integers(1, 500).map(lambda mille: mille / 1000))
    def test_pyxirr(self, outlay, inflows, rate):
        flows = [float(flow) for flow in (outlay, *inflows)]
        found = roi.measure(
            roi.read_flows(flows), Decimal(str(rate)), reinvest_rate=Decimal("0.07")
        )
        size = sum(map(abs, flows))
        assert float(found.npv) == pytest.approx(pyxirr.npv(rate, flows), abs=1e-12 * size)
        assert found.mirr == pytest.approx(pyxirr.mirr(flows, rate, 0.07), rel=1e-10, abs=1e-10)
        theirs = pyxirr.irr(flows)
        if theirs is not None and found.irr is not None and -0.9 < found.irr < 50:
            assert found.irr == pytest.approx(theirs, rel=1e-6, abs=1e-8)

    def test_trailing_zeros_change_no_root(self):
        flows = (-1, "2.85", 0, 0)
        assert measure(*flows).irr == pytest.approx(1.85)


class TestPayback:
    def test_lost_and_reached_again_counts_the_last_time(self):
        found = measure(-100, 150, -60, 50)
        assert found.payback_years == pytest.approx(2.2)
        assert any("reached again" in warning for warning in found.warnings)

    def test_lost_for_good_is_unknown(self):
        found = measure(-1000, 5000, -6000)
        assert found.payback_years is None
        assert any("lost again" in warning for warning in found.warnings)

    def test_reached_exactly_at_a_year_is_that_year(self):
        assert measure(-100, 50, 50, 50).payback_years == 2

    def test_nothing_to_pay_back(self):
        assert measure(100, 50).payback_years is None
        assert measure(100, 50).roi is None

    def test_an_outlay_that_comes_late(self):
        assert measure(10, -30, 40).payback_years == pytest.approx(1.5)


@pytest.mark.parametrize("rate", ["0", "1"])
def test_nothing_and_a_hundred_percent_are_rates_as_any(rate):
    found = measure(-1000, 600, 600, 600, rate=rate)
    expected = -1000 + sum(600 / (1 + float(rate)) ** t for t in (1, 2, 3))
    assert float(found.npv) == pytest.approx(expected)


def test_a_rate_that_was_meant_in_percent_is_pointed_at():
    assert "A rate of 10 is 1000 %" in measure(-1, 2, rate="10").warnings[0]


def test_a_value_past_the_floats_is_unknown_and_said():
    answer = measure(*[1e15] * 1201, rate="-0.9999").to_json()
    assert answer["npv"] is None
    assert any("too large" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(
    ("flows", "sentence"),
    [
        ([], "at least one cash flow"),
        ([1, ""], "The flow of year 1 must be a number"),
        ([1, "x" * 10**6], "at most 60 characters"),
        ([float("nan")], "must be a number, not 'nan'"),
        ([float("inf")], "must be a number, not 'inf'"),
        (["1e400"], "must lie between"),
        (["1e999999"], "must lie between"),
        (["1e9999999"], "must be a number"),
        (["1e-400"], "at least 1E-15"),
        (["1_000"], "must be a number"),
        (["١"], "must be a number"),
        ([None], "not null"),
        ([True], "not true"),
        ([[1]], "not a list"),
        ([10**400], "at most 40 digits"),
        ([1] * 10**6, "At most 1201 cash flows"),
    ],
)
def test_bad_flows_are_refused_with_a_sentence(flows, sentence):
    with pytest.raises(roi.BadInput) as refused:
        roi.read_flows(flows)
    assert sentence in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("rate", "sentence"),
    [
        ("-1", "more than -1"),
        ("-2", "more than -1"),
        ("-0.99999", "at least -0.9999"),
        ("1e400", "between -100 and 100"),
        ("nan", "must be a number"),
        ("ten", "must be a number"),
        ("10%", "must be a fraction"),
    ],
)
def test_bad_rates_are_refused_with_a_sentence(rate, sentence):
    with pytest.raises(roi.BadInput, match=sentence):
        roi.read_rate_of("The rate", rate)


def roi_worth(flows, rate, timing):
    from business.roi.flows import present_values

    return present_values(flows, rate, timing)
