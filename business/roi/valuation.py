"""The base case of a scenario: every uncertain input at its mean, in decimals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal, localcontext
from typing import Any

from business.roi.amounts import EXACT, to_float
from business.roi.flows import cumulative, sum_exact
from business.roi.measures import Measures, measure
from business.roi.model import BENEFIT_KINDS, Arithmetic, Years, evaluate
from business.roi.scenario import Input, Scenario

Money = Decimal | None


@dataclass(frozen=True)
class Cost:
    """Total cost of ownership over the horizon: plain, and as worth now. Before tax."""

    total: Money
    present_value: Money


@dataclass(frozen=True)
class Valuation:
    """``measures`` is None while an input is unknown; ``unknown`` names those. Money is Decimal,
    unrounded; ``to_json`` rounds it to the currency's minor unit.
    """

    scenario: Scenario
    years: Years
    measures: Measures | None
    tco_current: Cost
    tco_proposed: Cost
    annual_savings: Money
    benefits_present_value: Money
    costs_present_value: Money
    unknown: tuple[str, ...]
    assumptions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; None is unknown."""
        return _to_json(self)


def exactly(overrides: dict[str, Decimal] | None = None) -> Arithmetic:
    """Return arithmetic in decimals; an unknown input is NaN, and so is all that needs it."""
    chosen = overrides or {}

    def value(entry: Input, year: int) -> Decimal:
        found = chosen.get(entry.path, entry.central)
        return Decimal("NaN") if found is None else found

    def power(base: Decimal, halves: int) -> Decimal:
        whole = base ** (halves // 2)
        return whole * base.sqrt() if halves % 2 else whole

    return Arithmetic(value, lambda number: number, power)


def value_scenario(scenario: Scenario) -> Valuation:
    """Return the base case."""
    with localcontext(EXACT):
        years = evaluate(scenario, exactly())
    return Valuation(
        scenario=scenario,
        years=years,
        measures=_measures(scenario, years),
        tco_current=_cost(years, years.current_cost),
        tco_proposed=_cost(
            years, _added(_added(years.one_time_cost, years.running_cost), years.kept_cost)
        ),
        annual_savings=_annual_savings(scenario, years),
        benefits_present_value=_present_value(years, years.taxed_benefit),
        costs_present_value=_present_value(years, years.taxed_cost),
        unknown=tuple(entry.path for entry in scenario.inputs() if entry.value is None),
        assumptions=tuple(_assumptions(scenario)),
    )


def _measures(scenario: Scenario, years: Years) -> Measures | None:
    rate = scenario.discount_rate.central
    if rate is None or any(flow.is_nan() for flow in years.flow):
        return None
    found = measure(
        years.flow,
        rate,
        finance_rate=scenario.finance_rate,
        reinvest_rate=scenario.reinvest_rate,
        timing=scenario.timing,
    )
    # Of a scenario the costs are known as such, also in a year whose net flow is positive.
    benefits = _present_value(years, years.taxed_benefit)
    costs = _present_value(years, years.taxed_cost)
    plain_costs = sum_exact(years.taxed_cost)
    assert benefits is not None and costs is not None
    with localcontext(EXACT):
        return replace(
            found,
            roi=to_float((benefits - costs) / costs) if costs > 0 else None,
            bcr=to_float(benefits / costs) if costs > 0 else None,
            roi_undiscounted=(
                to_float(sum_exact(years.flow) / plain_costs) if plain_costs > 0 else None
            ),
        )


def _annual_savings(scenario: Scenario, years: Years) -> Money:
    """Return the mean over years 1 to the horizon of benefits less running costs, before tax."""
    with localcontext(EXACT):
        gains = sum_exact([sum_exact(amounts) for amounts in years.benefit.values()])
        return _known((gains - sum_exact(years.running_cost)) / scenario.horizon_years)


def _cost(years: Years, amounts: Sequence[Decimal]) -> Cost:
    return Cost(_known(sum_exact(amounts)), _present_value(years, amounts))


def _present_value(years: Years, amounts: Sequence[Decimal]) -> Money:
    with localcontext(EXACT):
        return _known(sum_exact([a * f for a, f in zip(amounts, years.factor, strict=True)]))


def _added(one: Sequence[Decimal], other: Sequence[Decimal]) -> list[Decimal]:
    with localcontext(EXACT):
        return [a + b for a, b in zip(one, other, strict=True)]


def _known(amount: Decimal) -> Money:
    return None if amount.is_nan() else amount


def _assumptions(scenario: Scenario) -> list[str]:
    when = {"end": "at the end", "mid": "in the middle", "start": "at the start"}
    said = [
        f"The flows of a year count {when[scenario.timing]} of it; year 0 is not discounted.",
        f"The discount rate is {scenario.rate_kind}.",
    ]
    if scenario.inflation is None:
        said.append("No inflation is stated: amounts are taken as they are in each year.")
    elif scenario.rate_kind == "nominal":
        said.append("Amounts are in prices of year 0 and follow inflation.")
    else:
        said.append("All money is in prices of year 0.")
    if scenario.tax_rate is None:
        said.append("Before tax: no tax rate is stated.")
    elif scenario.depreciation_years is None:
        said.append("One-time costs are deducted from taxable income in their year.")
    else:
        said.append(
            f"One-time costs are written off over {scenario.depreciation_years} years, the rest in"
            " the last year."
        )
    if scenario.tax_rate is not None:
        said.append("A loss lowers the tax on other income at once.")
    if not scenario.ramp_up:
        said.append("No ramp-up is stated: benefits are complete from year 1.")
    if any(entry.is_uncertain for entry in scenario.inputs()):
        said.append("The base case takes each uncertain input at its mean.")
    if scenario.finance_rate is None or scenario.reinvest_rate is None:
        said.append("MIRR takes the discount rate where no rate of its own is stated.")
    return said


def _to_json(found: Valuation) -> dict[str, Any]:
    scenario, years, measures = found.scenario, found.years, found.measures
    digits = scenario.minor_digits
    empty = dict.fromkeys(member.name for member in fields(Measures))
    answer: dict[str, Any] = {**empty, "warnings": []} if measures is None else measures.to_json()
    if measures is not None:
        answer["npv"] = money(measures.npv, digits)
    for name in ("payback", "discounted_payback"):
        time = answer[f"{name}_years"]
        answer[f"{name}_months"] = None if time is None else time * 12
    warnings = answer.pop("warnings")
    if found.unknown:
        warnings.insert(0, f"Unknown inputs: {', '.join(found.unknown)}. What needs them is null.")
    return {
        "name": scenario.name,
        "inputs_sha256": scenario.inputs_sha256,
        "currency": scenario.reported_currency,
        "horizon_years": scenario.horizon_years,
        "timing": scenario.timing,
        "rate_kind": scenario.rate_kind,
        "discount_rate": to_float(scenario.discount_rate.central),
        **answer,
        "tco_current": _cost_json(found.tco_current, digits),
        "tco_proposed": _cost_json(found.tco_proposed, digits),
        "annual_savings": money(found.annual_savings, digits),
        "benefits_present_value": money(found.benefits_present_value, digits),
        "costs_present_value": money(found.costs_present_value, digits),
        "years": [_year_json(years, year, digits) for year in range(len(years.flow))],
        "unknown": list(found.unknown),
        "assumptions": list(found.assumptions),
        "warnings": warnings,
    }


def _cost_json(cost: Cost, digits: int) -> dict[str, float | None]:
    return {
        "total": money(cost.total, digits),
        "present_value": money(cost.present_value, digits),
    }


def _year_json(years: Years, year: int, digits: int) -> dict[str, Any]:
    with localcontext(EXACT):
        worth = years.flow[year] * years.factor[year]
    return {
        "year": year,
        **{f"benefit_{kind}": money(years.benefit[kind][year], digits) for kind in BENEFIT_KINDS},
        "one_time_cost": money(years.one_time_cost[year], digits),
        "running_cost": money(years.running_cost[year], digits),
        "tax": money(years.tax[year], digits),
        "flow": money(years.flow[year], digits),
        "present_value": money(worth, digits),
        "cumulative_flow": money(cumulative(years.flow[: year + 1])[-1], digits),
    }


def money(amount: Decimal | None, digits: int) -> float | None:
    """Return an amount rounded to the minor unit, half to even; None for an unknown one."""
    if amount is None or amount.is_nan():
        return None
    with localcontext(EXACT):
        return to_float(round(amount, digits))
