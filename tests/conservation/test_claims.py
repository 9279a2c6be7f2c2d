"""Claims bounded by evidence, on inputs that hold nothing and on inputs with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from conservation.claims import (
    accept_false_share,
    accept_few_false,
    conformal_p_values,
    evidence_bits,
    interval_of_share,
)

RUNS = 4_000


def upper_bound(values: np.ndarray) -> float:
    """Where the mean would lie with 99.99 % if it were no higher than measured."""
    return float(values.mean() + 3.7 * values.std() / np.sqrt(values.size))


def lower_bound(values: np.ndarray) -> float:
    return float(values.mean() - 3.7 * values.std() / np.sqrt(values.size))


class TestPValues:
    def test_are_counted_from_above_and_ties_count_against_the_claim(self):
        found = conformal_p_values(np.array([1.0, 2.0, 2.0, 3.0]), np.array([0.0, 2.0, 2.5, 9.0]))
        assert found.tolist() == [1.0, 0.8, 0.4, 0.2]

    @given(
        st.lists(st.floats(-9, 9), min_size=1, max_size=40),
        st.lists(st.floats(-9, 9), min_size=1, max_size=9),
    )
    def test_agree_with_counting_one_by_one(self, known, scores):
        counted = [(1 + sum(k >= s for k in known)) / (len(known) + 1) for s in scores]
        assert conformal_p_values(np.array(known), np.array(scores)).tolist() == counted

    def test_no_p_value_is_smaller_than_the_calibration_set_allows(self):
        assert conformal_p_values(np.zeros(99), np.array([1e9])).tolist() == [0.01]

    @pytest.mark.parametrize("level", [0.02, 0.1, 0.5])
    def test_a_case_like_the_others_is_refuted_no_more_often_than_said(self, level):
        """The coverage of split-conformal prediction, exact: floor(level (n+1)) / (n+1)."""
        chance = np.random.default_rng(1)
        scores = chance.standard_t(2, size=(RUNS, 50))
        refuted = np.array(
            [conformal_p_values(row[:-1], row[-1:])[0] <= level for row in scores], float
        )
        exact = np.floor(level * 50 + 1e-9) / 50
        assert lower_bound(refuted) <= exact <= upper_bound(refuted)
        assert exact <= level

    @pytest.mark.parametrize(
        ("known", "scores"), [([], [1.0]), ([1.0], [np.nan]), ([np.nan], [1.0]), ([[1.0]], [1.0])]
    )
    def test_what_is_no_row_of_numbers_is_refused(self, known, scores):
        with pytest.raises(ValueError, match=r"calibration score|without gaps"):
            conformal_p_values(np.array(known), np.array(scores))


class TestFewFalse:
    @pytest.mark.parametrize("expected", [0.25, 1.0])
    def test_inputs_that_contain_nothing_give_no_more_claims_than_said(self, expected):
        chance = np.random.default_rng(2)
        claims = np.array(
            [
                accept_few_false(
                    conformal_p_values(chance.normal(size=999), chance.normal(size=100)), expected
                ).sum()
                for _ in range(RUNS)
            ]
        )
        assert lower_bound(claims) <= expected
        # The bound is nearly reached: a method that claims nothing would keep it, too.
        assert upper_bound(claims) >= 0.7 * expected

    def test_says_the_same_in_bits(self):
        p_values = np.array([0.001, 0.004, 0.006, 0.2, 1.0])
        enough = evidence_bits(p_values) >= np.log2(5) + np.log2(1 / 0.02) - 1e-12
        assert accept_few_false(p_values, 0.02).tolist() == enough.tolist()

    @pytest.mark.parametrize("expected", [0.0, -1.0, np.inf, np.nan])
    def test_a_budget_is_a_number_above_0(self, expected):
        with pytest.raises(ValueError, match="above 0"):
            accept_few_false(np.array([0.5]), expected)


class TestFalseShare:
    def test_agrees_with_scipy(self):
        chance = np.random.default_rng(3)
        for _ in range(200):
            p_values = chance.uniform(1e-9, 1, 30) ** chance.integers(1, 5)
            adjusted = stats.false_discovery_control(p_values)
            assert accept_false_share(p_values, 0.1).tolist() == (adjusted <= 0.1).tolist()

    @pytest.mark.parametrize("share", [0.1, 0.3])
    def test_of_the_claims_no_larger_share_is_false_than_said(self, share):
        """With conformal p-values that share one calibration set (Bates et al. 2023, theorem 1)."""
        chance = np.random.default_rng(4)
        false_shares, found = [], []
        is_real = np.arange(100) < 20
        for _ in range(RUNS // 2):
            scores = chance.normal(size=100) + 3.0 * is_real
            claims = accept_false_share(
                conformal_p_values(chance.normal(size=1_000), scores), share
            )
            false_shares.append((claims & ~is_real).sum() / max(claims.sum(), 1))
            found.append((claims & is_real).sum())
        bound = share * 0.8
        assert (
            lower_bound(np.array(false_shares))
            <= bound
            <= upper_bound(np.array(false_shares)) + 0.02
        )
        assert np.mean(found) > 5

    def test_nothing_is_claimed_where_there_is_nothing(self):
        assert not accept_false_share(np.array([0.2, 0.9]), 0.1).any()
        assert accept_false_share(np.array([]), 0.1).size == 0

    @pytest.mark.parametrize("p_values", [[0.0], [1.1], [-0.1], [np.nan]])
    def test_what_is_no_p_value_is_refused(self, p_values):
        with pytest.raises(ValueError, match="p-value"):
            accept_false_share(np.array(p_values), 0.1)


class TestIntervalOfShare:
    @pytest.mark.parametrize(
        ("count", "of"), [(0, 1), (1, 1), (0, 50), (50, 50), (3, 17), (14, 17), (400, 90_000)]
    )
    @pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
    def test_agrees_with_the_quantiles_of_the_beta_distribution(self, count, of, confidence):
        tail = (1 - confidence) / 2
        low = stats.beta.ppf(tail, count, of - count + 1) if count else 0.0
        high = stats.beta.ppf(1 - tail, count + 1, of - count) if count < of else 1.0
        np.testing.assert_allclose(
            interval_of_share(count, of, confidence), (low, high), rtol=1e-9, atol=1e-12
        )

    @pytest.mark.parametrize(("count", "of"), [(-1, 5), (6, 5), (0, 0)])
    def test_what_is_no_count_is_refused(self, count, of):
        with pytest.raises(ValueError, match="no count"):
            interval_of_share(count, of)
