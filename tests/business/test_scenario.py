"""Scenarios: reading, the base case against sums done by hand, unknowns, bad input."""

import json
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from business import roi
from business.roi.amounts import EXACT
from business.roi.model import Arithmetic, evaluate
from business.roi.monte_carlo import power_in_floats
from tests.business.cases import UNTIMED, certain, full

PLAIN_NPV = 300 * (1 - 1.1**-5) / 0.1 - 1000


def value(document):
    return roi.value_scenario(roi.read_scenario(document))


def answer(document):
    return value(document).to_json()


class TestBaseCase:
    def test_a_plain_scenario_is_its_cash_flows(self):
        found = answer(certain())
        assert found["npv"] == round(PLAIN_NPV, 2)
        flows = roi.measure(roi.read_flows([-1000, *[300] * 5]), Decimal("0.1"))
        for name in ("irr", "mirr", "payback_years", "roi", "bcr"):
            assert found[name] == pytest.approx(getattr(flows, name), rel=1e-14)
        assert found["payback_months"] == pytest.approx(40)
        assert found["annual_savings"] == 300

    def test_everything_against_a_sheet_done_by_hand(self):
        """Independent oracle: the conventions written out once more, in floats, year by year."""
        mean = {
            "current": (180000 + 4 * 200000 + 260000) / 6,
            "build": (300000 + 350000 + 600000) / 3,
            "errors": (800 + 4 * 1000 + 1500) / 6 * 0.35,
            "gain": 400000 * (0.02 + 0.2 + 0.1) / 6,
            "threat": (0.5 + 4 + 4) / 6 * 0.1 * (0.1 + 1.2 + 0.5) / 6,
        }
        z95 = 1.6448536269514722
        for name, low, high in (("error", 50, 400), ("loss", 50000, 2000000)):
            sigma = np.log(high / low) / (2 * z95)
            mean[name] = np.sqrt(low * high) * np.exp(sigma**2 / 2)
        tax, flows, tco_current, tco_proposed = 0.25, [-mean["build"]], 0.0, mean["build"]
        for year in range(1, 6):
            price, ramp = 1.02**year, [0.5, 0.9, 1, 1, 1][year - 1]
            current = mean["current"] * 1.01 ** (year - 1) * price
            benefits = mean["errors"] * mean["error"] + mean["gain"] + 15000
            benefits = (benefits + mean["threat"] * mean["loss"]) * price * ramp
            benefits += current * 0.8 * ramp
            running = 90000 * 1.03 ** (year - 1) * price
            spent = 50000 * price if year == 2 else 0
            written = mean["build"] / 3 if year <= 3 else 0
            written += 50000 * 1.02**2 / 3 if year in (3, 4, 5) else 0
            gross = benefits - running
            flows.append(gross - tax * (gross - written) - spent)
            tco_current += current
            tco_proposed += running + spent + current * (1 - 0.8 * ramp)
        found = answer(full())
        assert [row["flow"] for row in found["years"]] == pytest.approx(flows, abs=0.01)
        npv = sum(flow / 1.08**year for year, flow in enumerate(flows))
        assert found["npv"] == pytest.approx(npv, abs=0.01)
        assert found["tco_current"]["total"] == pytest.approx(tco_current, abs=0.01)
        assert found["tco_proposed"]["total"] == pytest.approx(tco_proposed, abs=0.01)
        assert found["roi"] == pytest.approx(found["bcr"] - 1)
        assert found["roi"] * found["costs_present_value"] == pytest.approx(npv, abs=0.02)

    @pytest.mark.parametrize("timing", roi.TIMINGS)
    @pytest.mark.parametrize("kind", ["nominal", "real"])
    def test_floats_follow_the_same_formulas(self, timing, kind):
        scenario = roi.read_scenario(full(timing=timing, rate_kind=kind))
        arithmetic = Arithmetic(lambda entry, _: float(entry.central), float, power_in_floats)
        ours = evaluate(scenario, arithmetic)
        exact = roi.value_scenario(scenario).years
        assert ours.flow == pytest.approx([float(flow) for flow in exact.flow], rel=1e-12)
        assert ours.factor == pytest.approx([float(f) for f in exact.factor], rel=1e-13)

    @pytest.mark.parametrize("timing", roi.TIMINGS)
    @UNTIMED
    @given(
        rate=st.integers(0, 300).map(lambda n: Decimal(n) / 1000),
        inflation=st.integers(-50, 200).map(lambda n: Decimal(n) / 1000),
    )
    def test_a_nominal_and_the_fisher_real_rate_give_one_value(self, timing, rate, inflation):
        with localcontext(EXACT):
            real = roi.real_rate(rate, inflation)
        nominal = full(timing=timing, discount_rate=rate, inflation=inflation)
        one = value(nominal).measures.npv
        # Read as 34 digits: a real rate is a quotient.
        other = value({**nominal, "rate_kind": "real", "discount_rate": real}).measures.npv
        assert float(other) == pytest.approx(float(one), rel=1e-9, abs=1e-6)

    def test_another_currency_by_the_rates_of_each_year(self):
        rates = [2, 1, 1, 1, 1, 1]
        found = answer(certain(report_currency={"code": "JPY", "rates": rates}))
        assert found["currency"] == "JPY"
        assert found["npv"] == round(PLAIN_NPV - 1000)
        assert found["years"][0]["flow"] == -2000

    def test_minor_units(self):
        third = [{"kind": "compliance", "name": "saved", "annual_savings": "333.33333"}]
        assert answer(certain(benefits=third))["years"][1]["flow"] == 333.33
        assert answer(certain(benefits=third, currency="JPY"))["years"][1]["flow"] == 333
        assert answer(certain(benefits=third, currency="KWD"))["years"][1]["flow"] == 333.333

    def test_benefits_grow_from_the_second_year_and_ramp_up(self):
        benefit = {"kind": "compliance", "name": "saved", "annual_savings": 100, "growth": 0.5}
        found = answer(certain(benefits=[benefit], ramp_up=[0.5, 1]))
        flows = [row["benefit_compliance"] for row in found["years"]]
        assert flows == [0, 50, 150, 225, 337.5, 506.25]

    def test_a_replaced_system_alone_is_a_benefit(self):
        cost = {"name": "old", "annual": 500, "replaced_share": 0.6}
        found = answer(certain(benefits=[], current_costs=[cost]))
        assert found["npv"] == round(PLAIN_NPV, 2)
        assert found["tco_current"]["total"] == 2500
        assert found["tco_proposed"]["total"] == 1000 + 5 * 200

    def test_annualised_loss_expectancy(self):
        risk = {
            "name": "breach",
            "threat_events_per_year": 2,
            "vulnerability": "0.1",
            "loss_per_event": 3000,
            "reduction_share": 0.5,
        }
        found = answer(certain(benefits=[], risks=[risk]))
        assert [row["benefit_risk"] for row in found["years"]] == [0, *[300] * 5]
        assert found["npv"] == round(PLAIN_NPV, 2)

    @pytest.mark.parametrize("years", [1, 3, 5, 50])
    def test_all_of_a_one_time_cost_is_deducted(self, years):
        found = answer(certain(discount_rate=0, tax_rate=0.5, depreciation_years=years))
        assert found["npv"] == (5 * 300 - 1000) * 0.5

    def test_saying_nothing_is_said(self):
        said = answer(certain())["assumptions"]
        assert "Before tax: no tax rate is stated." in said
        assert "No ramp-up is stated: benefits are complete from year 1." in said

    def test_the_inputs_have_one_digest_whatever_their_order(self):
        turned = dict(reversed(list(certain().items())))
        digest = answer(certain())["inputs_sha256"]
        assert answer(turned)["inputs_sha256"] == digest
        assert answer(certain(name="other"))["inputs_sha256"] != digest


class TestUnknown:
    def test_an_unknown_benefit_leaves_unknown_what_needs_it_and_no_more(self):
        benefit = {"kind": "compliance", "name": "saved", "annual_savings": None}
        cost = {"name": "old", "annual": 500}
        found = answer(certain(benefits=[benefit], current_costs=[cost]))
        for name in ("npv", "irr", "irr_roots", "mirr", "roi", "bcr", "payback_years"):
            assert found[name] is None
        assert found["payback_months"] is None
        assert found["annual_savings"] is None
        assert found["years"][1]["benefit_compliance"] is None
        assert found["tco_current"]["total"] == 2500
        assert found["costs_present_value"] == 1000
        assert found["unknown"] == ["benefits.0.annual_savings"]
        assert "benefits.0.annual_savings" in found["warnings"][0]
        json.dumps(found, allow_nan=False)

    def test_an_unknown_rate(self):
        found = answer(certain(discount_rate=None))
        assert found["npv"] is None
        assert found["annual_savings"] == 300

    def test_an_analysis_refuses_what_is_unknown(self):
        scenario = roi.read_scenario(full(discount_rate=None) | {"discount_rate": None})
        for analysis in (roi.simulate, roi.tornado, roi.break_evens):
            with pytest.raises(roi.BadInput, match="discount_rate: This is unknown"):
                analysis(scenario)


BENEFIT = {"kind": "compliance", "name": "b"}
REFUSALS = [
    ({"horizon_years": -5}, "horizon_years", "between 1 and 50, not '-5'"),
    ({"horizon_years": 1_000_000}, "horizon_years", "between 1 and 50"),
    ({"horizon_years": 2.5}, "horizon_years", "whole number"),
    ({"horizon_years": "five"}, "horizon_years", "whole number"),
    ({"horizon_years": None}, "horizon_years", "not null"),
    ({"horizon_years": True}, "horizon_years", "not true"),
    ({"discount_rate": -1}, "discount_rate", "more than -1"),
    ({"discount_rate": "8%"}, "discount_rate", "must be a fraction"),
    ({"discount_rate": "ten"}, "discount_rate", "must be a number"),
    ({"discount_rate": float("nan")}, "discount_rate", "must be a number"),
    ({"tax_rate": 1.5}, "tax_rate", "between 0 and 1"),
    ({"depreciation_years": 0}, "depreciation_years", "between 1 and 50"),
    ({"benefits": []}, "benefits", "at least one benefit"),
    ({"benefits": {}}, "benefits", "must be a list"),
    ({"benefits": [BENEFIT]}, "benefits.0.annual_savings", "missing"),
    ({"benefits": [{"kind": "magic"}]}, "benefits.0.kind", "one of errors, efficiency"),
    ({"benefits": [{**BENEFIT, "annual_savings": -5}]}, "benefits.0.annual_savings", "between 0"),
    (
        {"benefits": [{**BENEFIT, "annual_savings": "1e400"}]},
        "benefits.0.annual_savings",
        "between",
    ),
    ({"benefits": [{**BENEFIT, "annual_savings": [1]}]}, "benefits.0.annual_savings", "a list"),
    ({"benefits": [3]}, "benefits.0.kind", "kind"),
    ({"benefits": [{**BENEFIT, "anual_savings": 5}]}, "benefits.0.anual_savings", "Did you mean"),
    ({"currency": "euro"}, "currency", "a code such as EUR"),
    ({"name": ""}, "name", "Give the scenario a name"),
    ({"name": "x" * 400}, "name", "at most 300"),
    ({"name": "a\x1b[2J"}, "name", "a text"),
    ({"timing": "noon"}, "timing", "one of end, mid, start"),
    (
        {"one_time_costs": [{"name": "x", "amount": 1, "year": 6}]},
        "one_time_costs.0.year",
        "0 and 5",
    ),
    ({"ramp_up": [2]}, "ramp_up.0", "between 0 and 1"),
    ({"ramp_up": [1] * 51}, "ramp_up", "At most 50"),
    ({"colour": 1}, "colour", "Nothing reads this"),
    ({"report_currency": {"code": "JPY", "rates": [1]}}, "report_currency.rates", "Give 6 rates"),
    (
        {"report_currency": {"code": "JPY", "rates": [0] * 6}},
        "report_currency.rates",
        "more than 0",
    ),
]
RANGES = [
    ({"low": 3, "likely": 2, "high": 4}, "must rise"),
    ({"low": 3, "high": 4}, "must be a number"),
    ({"distribution": "cauchy"}, "one of pert"),
    ({"distribution": "lognormal", "p5": 0, "p95": 4}, "above 0"),
    ({"distribution": "normal", "mean": 5, "sd": -1}, "between 0"),
    ({"low": 1, "likely": 2, "high": 4, "draw": "daily"}, "once or yearly"),
    ({"low": 1, "likely": 2, "high": 4, "basis": "gossip"}, "one of measured"),
    ({"low": 1, "likely": 2, "high": 4, "mode": 3}, "Nothing reads this"),
]


class TestRefusals:
    @pytest.mark.parametrize(("changes", "field", "sentence"), REFUSALS)
    def test_each_names_its_field(self, changes, field, sentence):
        with pytest.raises(roi.BadInput) as refused:
            roi.read_scenario(certain(**changes))
        problem = next(p for p in refused.value.problems if p.field == field)
        assert sentence in problem.sentence

    @pytest.mark.parametrize(("shape", "sentence"), RANGES)
    def test_ranges(self, shape, sentence):
        with pytest.raises(roi.BadInput, match=sentence):
            roi.read_scenario(certain(benefits=[{**BENEFIT, "annual_savings": shape}]))

    def test_a_share_has_limits_that_a_normal_has_not(self):
        with pytest.raises(roi.BadInput, match="has limits"):
            roi.read_scenario(certain(ramp_up=[{"distribution": "normal", "mean": 0.5, "sd": 0.1}]))

    def test_all_that_is_wrong_is_said_at_once(self):
        with pytest.raises(roi.BadInput) as refused:
            roi.read_scenario(certain(horizon_years=-1, discount_rate="x", benefits=[]))
        assert {p.field for p in refused.value.problems} == {
            "horizon_years",
            "discount_rate",
            "benefits",
        }
        assert str(refused.value).endswith("(2 more to mend.)")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "no JSON"),
            ("[" * 100_000, "no JSON"),
            ('{"name": NaN}', "NaN is no number"),
            ('{"name": 1, "name": 2}', "stands twice"),
            ("[1]", "a scenario is an object|A scenario is an object"),
            ('{"horizon_years": ' + "9" * 5000 + "}", "60 characters"),
            (b"\xff\xfe\x00", "no JSON"),
            (" " * (2**20 + 1), "at most 1048576 bytes"),
        ],
    )
    def test_what_is_no_scenario(self, text, sentence):
        with pytest.raises(roi.BadInput, match=sentence):
            roi.load_scenario(text)

    @pytest.mark.parametrize(
        ("pair", "rank", "sentence"),
        [
            (["a", "b"], 0.5, "No uncertain input stands at"),
            (["benefits.0.avoided_share"] * 2, 0.5, "two different"),
            (["benefits.0.avoided_share", "benefits.0.cost_per_error"], 2, "between -1 and 1"),
            (["benefits.0.avoided_share", "benefits.2.annual_savings"], 1, "No uncertain input"),
        ],
    )
    def test_correlations(self, pair, rank, sentence):
        with pytest.raises(roi.BadInput, match=sentence):
            roi.read_scenario(full(correlations=[{"between": pair, "rank": rank}]))

    @UNTIMED
    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        ),
        st.sampled_from(["horizon_years", "discount_rate", "benefits", "ramp_up", "risks", "name"]),
    )
    def test_anything_at_all_is_read_or_refused(self, anything, key):
        problems = []
        try:
            roi.read_scenario(certain(**{key: anything}))
        except roi.BadInput as refused:
            problems = refused.problems
        assert all(len(problem.sentence) < 200 for problem in problems)


class TestIndustries:
    @pytest.mark.parametrize("industry", roi.INDUSTRIES.values(), ids=lambda i: i.key)
    def test_each_is_a_scenario(self, industry):
        found = roi.value_scenario(roi.read_scenario(industry.document))
        assert (found.measures is None) == (industry.key == "blank")

    @pytest.mark.parametrize("industry", roi.INDUSTRIES.values(), ids=lambda i: i.key)
    def test_each_number_says_where_it_comes_from(self, industry):
        for entry in roi.read_scenario(industry.document).inputs():
            if entry.value in (None, Decimal(0), Decimal(1)):
                continue  # Unknown, or no growth and the whole: structure, no figure.
            assert entry.basis in ("published", "assumption"), entry.path
            assert entry.basis == "assumption" or (entry.source and entry.source_year)

    def test_published_facts_have_a_year_and_an_address(self):
        facts = [fact for industry in roi.INDUSTRIES.values() for fact in industry.facts]
        assert len(facts) == 6
        for fact in facts:
            assert fact.basis == "published"
            assert 2000 < fact.year <= 2026
            assert fact.url.startswith("https://")
            assert fact.source
            assert fact.note
