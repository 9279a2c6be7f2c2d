"""Evidence that may be looked at at any time: seldom large where there is nothing, soon where there
is.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from conservation.claims import interval_of_share
from conservation.e_values import (
    clustering_evidence,
    exchangeability_evidence,
    first_reached,
    rate_evidence,
)

STREAMS, PARTS = 3_000, 400


def ever(evidence: np.ndarray, alpha: float) -> tuple[float, float]:
    """Return the 99.99 % interval of the chance that the evidence ever reaches 1/alpha."""
    reached = first_reached(evidence, 1 / alpha) > 0
    return interval_of_share(int(reached.sum()), reached.size, 0.9999)


def all_streams(parts: int) -> np.ndarray:
    return np.array(list(itertools.product([False, True], repeat=parts)))


class TestRate:
    @pytest.mark.parametrize("chance", [0.0, 0.03, 0.1])
    def test_expects_to_win_nothing_at_each_rate_that_is_allowed(self, chance):
        """Summed over every stream of ten parts, not simulated."""
        streams = all_streams(10)
        weights = np.where(streams, chance, 1 - chance).prod(axis=1)
        evidence = rate_evidence(streams, limit=0.1, rates=(0.2, 0.6))
        expected = weights @ evidence
        assert (expected <= 1 + 1e-12).all()
        if chance == 0.1:
            np.testing.assert_allclose(expected, 1.0, rtol=1e-12)

    @pytest.mark.parametrize("alpha", [0.01, 0.1])
    def test_looking_after_each_part_raises_no_more_false_alarms_than_said(self, alpha):
        bad = np.random.default_rng(5).random((STREAMS, PARTS)) < 0.05
        low, high = ever(rate_evidence(bad, limit=0.05, rates=(0.1, 0.2)), alpha)
        assert low <= alpha
        assert high > 0.1 * alpha

    def test_notices_a_rate_that_rose_on_the_way(self):
        chance = np.random.default_rng(6)
        rates = np.where(np.arange(PARTS) < 100, 0.05, 0.3)
        evidence = rate_evidence(
            chance.random((300, PARTS)) < rates, limit=0.05, rates=(0.1, 0.2, 0.4)
        )
        assert ever(evidence, 0.01)[0] > 0.9

    @pytest.mark.parametrize("rates", [(), (0.05,), (0.2, 1.0), (0.01, 0.2)])
    def test_bets_on_what_is_allowed_are_refused(self, rates):
        with pytest.raises(ValueError, match="between the limit and 1"):
            rate_evidence(np.zeros((1, 1), bool), limit=0.05, rates=rates)


class TestClustering:
    @pytest.mark.parametrize("chance", [0.02, 0.3, 0.9])
    def test_expects_to_win_nothing_while_parts_are_independent(self, chance):
        streams = all_streams(10)
        weights = np.where(streams, chance, 1 - chance).prod(axis=1)
        assert (weights @ clustering_evidence(streams) <= 1 + 1e-12).all()

    def test_agrees_with_the_likelihoods_written_out(self):
        # good, bad, bad, good: the chain starts after a good part.
        evidence = clustering_evidence(np.array([[False, True, True, False]]))
        chain = (1 / 2) * (1 / 4) * (1 / 2) * (1 / 4)
        independent = (1 / 2) ** 4
        assert evidence[0, -1] == pytest.approx(chain / independent)

    def test_notices_bursts_and_no_independent_parts(self):
        chance = np.random.default_rng(7)
        burst = np.repeat(chance.random((300, PARTS // 20)) < 0.2, 20, axis=1)
        clustered = burst & (chance.random((300, PARTS)) < 0.5)
        assert ever(clustering_evidence(clustered), 0.01)[0] > 0.8
        independent = chance.random((STREAMS, PARTS)) < 0.1
        assert ever(clustering_evidence(independent), 0.01)[0] <= 0.01


class TestExchangeability:
    @pytest.mark.parametrize("kind", ["smooth", "ties"])
    def test_a_stream_like_the_reference_raises_no_more_alarms_than_said(self, kind):
        chance = np.random.default_rng(8)
        scores = chance.normal(size=(1_500, 200))
        if kind == "ties":
            scores = np.round(scores)
        rows = [exchangeability_evidence(s[:80], s[80:], seed=at) for at, s in enumerate(scores)]
        low, high = ever(np.array(rows), 0.1)
        assert low <= 0.1
        assert high > 0.005

    @pytest.mark.parametrize("shift", [-1.0, 1.0])
    def test_notices_a_shift_either_way(self, shift):
        chance = np.random.default_rng(9)
        rows = [
            exchangeability_evidence(
                chance.normal(size=300), chance.normal(size=200) + shift, seed=at
            )
            for at in range(100)
        ]
        assert ever(np.array(rows), 0.01)[0] > 0.8

    def test_the_same_seed_gives_the_same_evidence(self):
        scores = np.round(np.random.default_rng(1).normal(size=60))
        first, again, other = (
            exchangeability_evidence(scores[:30], scores[30:], seed=seed) for seed in (1, 1, 2)
        )
        assert (first == again).all() and (first != other).any()


def test_first_reached_counts_from_1_and_says_0_for_never():
    evidence = np.array([[1.0, 5.0, 2.0, 9.0], [1.0, 1.0, 1.0, 1.0], [7.0, 0.0, 0.0, 0.0]])
    assert first_reached(evidence, 5.0).tolist() == [2, 0, 1]
