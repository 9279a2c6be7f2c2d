"""Laws and verdicts: exactness, missing and broken numbers, declared flux."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conservation import (
    Kind,
    Law,
    Quantity,
    Reading,
    Status,
    exact_sum,
    total_over_accounts,
    verify,
    worst,
)

TOKENS = Quantity("tokens", "token")
ENERGY = Quantity("energy", "J")
EXACT = Law(TOKENS, "accounts", Kind.EXACT, "integers", sources_and_sinks=("issue", "burn"))
CLOSED = Law(TOKENS, "accounts", Kind.EXACT, "integers")
ROUND_OFF = Law(ENERGY, "bodies", Kind.ROUND_OFF, "quanta and steps", tolerance=1e-9)
BOUNDED = Law(ENERGY, "bodies", Kind.BOUNDED, "order and step", tolerance=0.5)

integers = st.integers(min_value=-(10**30), max_value=10**30)
floats = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


def tokens(value):
    return Reading(TOKENS, value, at=0.0, by="ledger")


def joules(value):
    return Reading(ENERGY, value, at=0.0, by="engine")


class TestExact:
    @given(before=integers, flux=integers, extra=integers)
    def test_one_unit_too_many_or_too_few_is_a_violation(self, before, flux, extra):
        verdict = verify(EXACT, tokens(before), tokens(before + flux + extra), flux)

        assert verdict.status is (Status.CONSERVED if extra == 0 else Status.VIOLATED)
        assert verdict.balance == extra
        assert verdict.expected == before + flux
        assert verdict.limit == 0

    def test_a_unit_in_a_sum_that_a_float_cannot_resolve_is_seen(self):
        huge = 2**80
        assert verify(CLOSED, tokens(huge), tokens(huge + 1)).status is Status.VIOLATED

    def test_components_do_not_cancel(self):
        verdict = verify(CLOSED, tokens((1, 2, 3)), tokens((2, 1, 3)))
        assert verdict.status is Status.VIOLATED
        assert verdict.balance == (1, -1, 0)

    @pytest.mark.parametrize("value", [1.0, True, (1, 2.0)])
    def test_anything_but_integers_is_refused(self, value):
        before = (1, 1) if isinstance(value, tuple) else 1
        with pytest.raises(TypeError, match="integers"):
            verify(CLOSED, tokens(before), tokens(value))

    def test_flux_that_no_law_declared_is_refused(self):
        with pytest.raises(ValueError, match="declares no sources"):
            verify(CLOSED, tokens(1), tokens(2), 1)


class TestBoundedAndRoundOff:
    @given(before=floats, after=floats, limit=st.floats(min_value=0, max_value=1e300))
    def test_the_verdict_is_the_comparison_of_error_and_limit(self, before, after, limit):
        verdict = verify(BOUNDED.with_tolerance(limit), joules(before), joules(after))
        within = abs(after - before) <= limit
        assert verdict.status is (Status.BOUNDED if within else Status.VIOLATED)

    def test_round_off_is_conserved_within_its_tolerance_only(self):
        assert verify(ROUND_OFF, joules(1.0), joules(1.0 + 9e-10)).status is Status.CONSERVED
        assert verify(ROUND_OFF, joules(1.0), joules(1.0 + 2e-9)).status is Status.VIOLATED

    def test_the_error_of_a_vector_is_its_length(self):
        law = BOUNDED.with_tolerance(4.9)
        verdict = verify(law, joules((0.0, 0.0)), joules((3.0, 4.0)))
        assert verdict.error == 5.0
        assert verdict.status is Status.VIOLATED
        assert verdict.margin == pytest.approx(5.0 / 4.9)


class TestMissingAndBroken:
    @given(known=floats, bad=st.sampled_from([math.nan, math.inf, -math.inf]))
    def test_a_number_that_is_not_finite_is_never_fine(self, known, bad):
        for law in (ROUND_OFF, BOUNDED):
            assert verify(law, joules(known), joules(bad)).status is Status.VIOLATED
            assert verify(law, joules(bad), joules(known)).status is Status.UNKNOWN
            assert verify(law, joules(bad), joules(bad)).status is Status.UNKNOWN

    @given(known=st.none() | integers)
    def test_a_missing_reading_is_unknown_on_either_side(self, known):
        for missing in (None, tokens(None)):
            assert verify(EXACT, missing, tokens(known)).status is Status.UNKNOWN
            assert verify(EXACT, tokens(known), missing).status is Status.UNKNOWN

    def test_an_overflow_of_the_balance_is_a_violation(self):
        verdict = verify(BOUNDED, joules(-1.7e308), joules(1.7e308))
        assert verdict.status is Status.VIOLATED

    def test_readings_of_another_quantity_or_shape_are_refused(self):
        with pytest.raises(ValueError, match="tokens"):
            verify(BOUNDED, tokens(1), joules(1.0))
        with pytest.raises(ValueError, match="components"):
            verify(CLOSED, tokens((1, 2)), tokens((1, 2, 3)))


class TestLaw:
    def test_needs_a_reason(self):
        with pytest.raises(ValueError, match="does not say why"):
            Law(ENERGY, "bodies", Kind.BOUNDED, "", tolerance=1.0)

    @pytest.mark.parametrize("tolerance", [math.nan, math.inf, -1.0])
    def test_refuses_a_tolerance_that_can_never_fail_or_never_hold(self, tolerance):
        with pytest.raises(ValueError, match="finite"):
            Law(ENERGY, "bodies", Kind.BOUNDED, "why", tolerance=tolerance)

    def test_an_exact_law_has_no_tolerance(self):
        with pytest.raises(ValueError, match="exact"):
            Law(ENERGY, "bodies", Kind.EXACT, "why", tolerance=1)


class TestExactSum:
    @given(st.lists(st.integers(min_value=-(2**63), max_value=2**63 - 1), max_size=50))
    def test_of_an_array_is_pythons_sum_even_where_int64_would_wrap(self, values):
        array = np.array(values, dtype=np.int64)
        assert exact_sum(array) == sum(values) == exact_sum(values)

    @given(st.lists(st.integers(min_value=0, max_value=2**64 - 1), max_size=50))
    def test_of_unsigned_values(self, values):
        assert exact_sum(np.array(values, dtype=np.uint64)) == sum(values)

    @pytest.mark.parametrize("values", [[1.5], [True], np.array([1.0]), np.array([True])])
    def test_refuses_what_is_no_integer(self, values):
        with pytest.raises(TypeError):
            exact_sum(values)

    def test_a_partial_sum_is_no_sum(self):
        assert total_over_accounts({"a": 1, "b": None}) is None
        assert total_over_accounts({}) is None
        assert total_over_accounts({"a": 2**70, "b": -1}) == 2**70 - 1


def test_the_worst_of_several_answers_is_shown():
    every = [Status.CONSERVED, Status.BOUNDED, Status.UNKNOWN, Status.VIOLATED]
    assert worst(every) is Status.VIOLATED
    assert worst(every[:3]) is Status.UNKNOWN
    assert worst(every[:2]) is Status.BOUNDED
    assert worst([]) is Status.UNKNOWN
    assert [status.is_fine for status in every] == [True, True, False, False]
