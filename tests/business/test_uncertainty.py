"""Distributions, simulation and sensitivities against closed forms."""

import math
from decimal import Decimal

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from business import roi
from business.roi.distributions import Lognormal, Normal, Pert, Triangular, Uniform
from business.roi.monte_carlo import CHUNK, wilson_interval
from tests.business.cases import UNTIMED, certain, full

PROBABILITIES = (1e-9, 0.001, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1 - 1e-9)


def benefit(shape):
    return [{"kind": "compliance", "name": "saved", "annual_savings": shape}]


def normal(mean, sd, **more):
    return {"distribution": "normal", "mean": mean, "sd": sd, **more}


def decimals(*numbers):
    return tuple(Decimal(str(number)) for number in numbers)


class TestDistributions:
    @pytest.mark.parametrize("likely", [2, 3, 4.5, 7, 10])
    @pytest.mark.parametrize("p", PROBABILITIES)
    def test_pert_is_the_beta_distribution(self, likely, p):
        low, high = 2, 10
        found = Pert(*decimals(low, high, likely)).quantile(p)
        a, b = 1 + 4 * (likely - low) / 8, 1 + 4 * (high - likely) / 8
        x = (found - low) / 8
        reached = mpmath.betainc(a, b, 0, x, regularized=True)
        density = float(x ** (a - 1) * (1 - x) ** (b - 1) / mpmath.beta(a, b))
        # As an error of x: 1e-6 of the range, or where the density is 0 of the probability.
        assert abs(float(reached) - p) <= 1e-6 * density + 1e-8

    @pytest.mark.parametrize("likely", [2, 5, 10])
    @pytest.mark.parametrize("p", PROBABILITIES)
    def test_triangular(self, likely, p):
        low, high = 2, 10
        share = (likely - low) / (high - low)
        if p <= share:
            expected = low + math.sqrt(p * 8 * (likely - low))
        else:
            expected = high - math.sqrt((1 - p) * 8 * (high - likely))
        found = Triangular(*decimals(low, high, likely)).quantile(p)
        assert found == pytest.approx(expected, abs=8e-6)

    @pytest.mark.parametrize("p", PROBABILITIES)
    def test_uniform_normal_lognormal(self, p):
        z = float(mpmath.sqrt(2) * mpmath.erfinv(2 * mpmath.mpf(p) - 1))
        assert Uniform(*decimals(2, 10)).quantile(p) == pytest.approx(2 + 8 * p, abs=8e-6)
        assert Normal(*decimals(5, 2)).quantile(p) == pytest.approx(5 + 2 * z, rel=1e-7)
        lognormal = Lognormal(*decimals(50, 400))
        assert lognormal.quantile(0.05) == pytest.approx(50)
        assert lognormal.quantile(0.95) == pytest.approx(400)
        sigma = math.log(8) / (2 * 1.6448536269514722)
        expected = math.sqrt(20000) * math.exp(sigma * z)
        assert lognormal.quantile(p) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(
        "shape",
        [
            Pert(*decimals(2, 10, 3)),
            Triangular(*decimals(2, 10, 9)),
            Uniform(*decimals(2, 10)),
            Normal(*decimals(5, 2)),
            Lognormal(*decimals(50, 400)),
        ],
        ids=lambda shape: type(shape).__name__,
    )
    def test_the_stated_mean_is_the_integral_of_the_draws(self, shape):
        z = np.linspace(-8.5, 8.5, 200_001)
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        integral = np.sum(shape.at_scores(z) * density) * (z[1] - z[0])
        assert integral == pytest.approx(float(shape.mean()), rel=1e-6)

    @UNTIMED
    @given(st.lists(st.floats(-40, 40), min_size=1, max_size=20))
    def test_bounded_draws_stay_within_their_bounds(self, scores):
        for shape in (Pert(*decimals(0, 1, 0.9)), Uniform(*decimals(0, 1))):
            drawn = shape.at_scores(np.array(scores))
            assert ((drawn >= 0) & (drawn <= 1)).all()


class TestSimulation:
    def test_five_years_of_normal_savings(self):
        """-1000 + 5 x N(300, 80), drawn yearly, at 10 %: mean 137.24, sd 136.844."""
        scenario = roi.read_scenario(certain(benefits=benefit(normal(300, 80, draw="yearly"))))
        found = roi.simulate(scenario, trials=400_000, seed=3)
        annuity = sum(1.1**-t for t in range(1, 6))
        sd = 80 * math.sqrt(sum(1.21**-t for t in range(1, 6)))
        assert (round(300 * annuity - 1000, 2), round(sd, 3)) == (137.24, 136.844)
        assert found.npv.mean() == pytest.approx(300 * annuity - 1000, abs=4 * sd / 632)
        assert found.npv.std() == pytest.approx(sd, rel=4 / math.sqrt(2 * 400_000))
        share, low, high = found.loss
        expected = (1 - math.erf((300 * annuity - 1000) / sd / math.sqrt(2))) / 2
        assert low - 0.001 < expected < high + 0.001
        assert low < share < high
        # The fan's last year is the net present value's distribution, its first year certain.
        assert found.fan[0] == pytest.approx([-1000] * 5)
        assert found.fan[5][2] == pytest.approx(137.24, abs=4 * 1.2533 * sd / math.sqrt(131_072))
        assert found.variance_share["benefits.0.annual_savings"] == pytest.approx(1, abs=0.005)

    def test_drawn_once_the_years_move_together(self):
        scenario = roi.read_scenario(certain(benefits=benefit(normal(300, 80))))
        found = roi.simulate(scenario, trials=200_000, seed=3)
        annuity = sum(1.1**-t for t in range(1, 6))
        assert found.npv.std() == pytest.approx(80 * annuity, rel=0.01)

    def test_the_mean_of_a_product_of_independent_inputs_is_the_base_case(self):
        scenario = roi.read_scenario(full(correlations=[]))
        found = roi.simulate(scenario, trials=400_000, seed=5)
        error = found.npv.std() / math.sqrt(400_000)
        base = float(roi.value_scenario(scenario).measures.npv)
        assert abs(found.npv.mean() - base) < 4 * error

    @pytest.mark.parametrize("threads", [2, 3, 7])
    def test_the_same_for_any_number_of_threads(self, threads):
        scenario = roi.read_scenario(full())
        one = roi.simulate(scenario, trials=10 * CHUNK, seed=9, threads=1)
        many = roi.simulate(scenario, trials=10 * CHUNK, seed=9, threads=threads)
        assert one.npv.tobytes() == many.npv.tobytes()
        assert one.to_json() == many.to_json()

    def test_a_shorter_simulation_is_the_beginning_of_a_longer_one(self):
        scenario = roi.read_scenario(full())
        short = roi.simulate(scenario, trials=5000, seed=9)
        long = roi.simulate(scenario, trials=3 * CHUNK, seed=9)
        assert short.npv.tobytes() == long.npv[:5000].tobytes()
        assert (roi.simulate(scenario, trials=5000, seed=10).npv != short.npv).all()

    @pytest.mark.parametrize("rank", [-0.9, -0.3, 0.5, 0.99, 1])
    def test_ranks_correlate_as_stated(self, rank):
        """Two inputs that reach the flows in different years are seen apart in the fan's sums."""
        document = certain(
            horizon_years=2,
            one_time_costs=[{"name": "a", "amount": {"low": 1, "likely": 2, "high": 9}}],
            running_costs=[{"name": "b", "annual": normal(50, 9)}],
            benefits=benefit(500),
            correlations=[
                {
                    "between": ["one_time_costs.0.amount", "running_costs.0.annual"],
                    "rank": rank,
                }
            ],
        )
        from business.roi.monte_carlo import _Plan

        z = _Plan(roi.read_scenario(document), 4).scores(0)
        ranks = z.argsort(axis=1).argsort(axis=1)
        assert np.corrcoef(ranks)[0, 1] == pytest.approx(rank, abs=0.03)
        assert z.std(axis=1) == pytest.approx([1, 1], abs=0.02)

    def test_three_inputs_correlate_pair_by_pair(self):
        names = ["benefits.0.avoided_share", "benefits.0.cost_per_error", "risks.0.loss_per_event"]
        ranks = {(0, 1): 0.6, (0, 2): -0.2, (1, 2): 0.3}
        pairs = [{"between": [names[i], names[j]], "rank": r} for (i, j), r in ranks.items()]
        from business.roi.monte_carlo import _Plan

        plan = _Plan(roi.read_scenario(full(correlations=pairs)), 4)
        z = plan.scores(0)[[plan.column[name, 0] for name in names]]
        found = np.corrcoef(z.argsort(axis=1).argsort(axis=1))
        for (i, j), rank in ranks.items():
            assert found[i, j] == pytest.approx(rank, abs=0.03)

    def test_correlations_that_contradict_each_other_are_refused(self):
        names = ["benefits.0.avoided_share", "benefits.0.cost_per_error", "risks.0.loss_per_event"]
        pairs = [
            {"between": [names[i], names[j]], "rank": rank}
            for i, j, rank in ((0, 1, 0.9), (1, 2, 0.9), (0, 2, -0.9))
        ]
        with pytest.raises(roi.BadInput, match="contradict each other"):
            roi.simulate(roi.read_scenario(full(correlations=pairs)))

    def test_a_normal_input_below_0_is_pointed_at(self):
        scenario = roi.read_scenario(certain(benefits=benefit(normal(300, 200))))
        assert "6.7% of its draws lie below 0" in roi.simulate(scenario, trials=1000).warnings[0]

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"trials": 10}, "Trials must lie"),
            ({"trials": 10**9}, "Trials must lie"),
            ({"seed": -1}, "The seed must lie"),
            ({"threads": 0}, "Threads must lie"),
        ],
    )
    def test_refusals(self, options, sentence):
        with pytest.raises(roi.BadInput, match=sentence):
            roi.simulate(roi.read_scenario(full()), **options)

    def test_more_draws_than_fit_are_refused(self):
        many = benefit(normal(300, 80, draw="yearly")) * 11
        with pytest.raises(roi.BadInput, match="at most 512 numbers, not 550"):
            roi.simulate(roi.read_scenario(certain(horizon_years=50, benefits=many)))

    def test_nothing_uncertain_is_nothing_to_simulate(self):
        with pytest.raises(roi.BadInput, match="nothing to simulate"):
            roi.simulate(roi.read_scenario(certain()))

    @pytest.mark.parametrize(
        ("hits", "trials", "low", "high"),
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_wilsons_interval_as_published(self, hits, trials, low, high):
        assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=5e-5)


class TestSensitivity:
    LINEAR = certain(
        horizon_years=1,
        discount_rate=0,
        one_time_costs=[{"name": "a", "amount": normal(100, 3)}],
        running_costs=[{"name": "b", "annual": normal(100, 4)}],
        benefits=benefit(normal(300, 12)),
    )

    def test_a_sum_of_normals_splits_its_variance(self):
        found = roi.simulate(roi.read_scenario(self.LINEAR), trials=131_072, seed=2)
        assert list(found.variance_share) == [
            "benefits.0.annual_savings",
            "running_costs.0.annual",
            "one_time_costs.0.amount",
        ]
        shares = [144 / 169, 16 / 169, 9 / 169]
        assert list(found.variance_share.values()) == pytest.approx(shares, abs=0.006)

    def test_the_tornado_of_a_sum_is_its_quantiles(self):
        bars = roi.tornado(roi.read_scenario(self.LINEAR))
        z90 = 1.2815515655446004
        assert [bar.swing for bar in bars] == pytest.approx([24 * z90, 8 * z90, 6 * z90], rel=1e-9)
        assert bars[0].npv_at_low == pytest.approx(100 - 12 * z90)
        assert bars[1].npv_at_low == pytest.approx(100 + 4 * z90)

    def test_break_even_of_a_plain_scenario(self):
        scenario = roi.read_scenario(certain())
        annuity = (1 - 1.1**-5) / 0.1
        found = {one.path: one.value for one in roi.break_evens(scenario)}
        assert found["benefits.0.annual_savings"] == pytest.approx(1000 / annuity, rel=1e-14)
        assert found["one_time_costs.0.amount"] == pytest.approx(300 * annuity, rel=1e-14)
        irr = roi.value_scenario(scenario).measures.irr
        assert found["discount_rate"] == pytest.approx(irr, rel=1e-13)

    def test_the_value_at_every_break_even_is_0(self):
        scenario = roi.read_scenario(full())
        for one in roi.break_evens(scenario):
            if one.value is not None:
                (at,) = roi.net_present_values(scenario, one.path, np.array([one.value]))
                assert abs(at) < 1e-6, one.path

    def test_where_none_is_there_is_none(self):
        scenario = roi.read_scenario(certain(ramp_up=[1, 0.5]))
        found = roi.break_even(scenario, "ramp_up.0")
        assert found.value is None
        assert (found.low, found.high) == (0, 1)
        with pytest.raises(roi.BadInput, match="no such input"):
            roi.break_even(scenario, "moon")

    def test_scenarios_side_by_side(self):
        other = certain(name="dear", one_time_costs=[{"name": "build", "amount": 1200}])
        found = roi.compare([roi.read_scenario(certain()), roi.read_scenario(other)])
        assert found["names"] == ["plain", "dear"]
        assert found["npv_difference"] == [0, -200]
        assert found["rows"]["npv"][1] == pytest.approx(found["rows"]["npv"][0] - 200)
        assert found["warnings"] == []

    def test_unlike_scenarios_are_warned_about_or_refused(self):
        plain = roi.read_scenario(certain())
        longer = roi.read_scenario(certain(horizon_years=7, discount_rate=0.2))
        assert len(roi.compare([plain, longer])["warnings"]) == 2
        with pytest.raises(roi.BadInput, match="EUR and USD cannot be compared"):
            roi.compare([plain, roi.read_scenario(certain(currency="EUR"))])
        with pytest.raises(roi.BadInput, match="Compare 2 to 10"):
            roi.compare([plain])
