"""The model: from a scenario's inputs to the money of each year. One set of formulas for decimals
(the base case), for arrays (trials, sensitivities) and for single floats.

An ``Arithmetic`` says what number an input has in a year; the rest is + - * / and powers, which
mean the same for all three. So the simulation cannot drift from the base case; a test compares
them.

Conventions: yearly amounts begin in year 1 and grow from year 2; amounts are in prices of year 0
and follow inflation with a nominal discount rate, or stay as they are with a real one; the ramp's
last share holds for later years; a tax loss lowers the tax on other income at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from business.roi.flows import halves
from business.roi.scenario import Benefit, Input, Scenario

# A Decimal, a float or an array: the operators alone are used.
Number = Any


@dataclass(frozen=True)
class Arithmetic:
    """``value(input, year)`` is an input's number (year 0: of an input that is drawn once);
    ``constant`` turns a Decimal into one; ``power(base, halves)`` is base ** (halves / 2).
    """

    value: Callable[[Input, int], Number]
    constant: Callable[[Decimal], Number]
    power: Callable[[Number, int], Number]


@dataclass(frozen=True)
class Years:
    """Money of each year, from year 0. Costs are positive. ``flow`` is benefits less costs, after
    tax; ``factor`` is what it is multiplied by to be worth now.
    """

    current_cost: list[Number]
    kept_cost: list[Number]
    one_time_cost: list[Number]
    running_cost: list[Number]
    benefit: dict[str, list[Number]]
    tax: list[Number]
    taxed_benefit: list[Number]
    taxed_cost: list[Number]
    flow: list[Number]
    factor: list[Number]


# The benefits in the order in which they are shown.
BENEFIT_KINDS = ("replaced", "errors", "efficiency", "compliance", "risk")


def evaluate(scenario: Scenario, arithmetic: Arithmetic) -> Years:
    """Return the money of each year. O(years * items)."""
    return _Model(scenario, arithmetic).years()


class _Model:
    def __init__(self, scenario: Scenario, arithmetic: Arithmetic) -> None:
        self.scenario = scenario
        self.arithmetic = arithmetic
        self.horizon = scenario.horizon_years
        self.zero = arithmetic.constant(Decimal(0))
        self.one = arithmetic.constant(Decimal(1))
        self.prices = [self._price(year) for year in range(self.horizon + 1)]
        self.exchange = [
            self.one if scenario.exchange is None else arithmetic.constant(rate)
            for rate in (
                scenario.exchange.rates if scenario.exchange else [Decimal(1)] * (self.horizon + 1)
            )
        ]

    def years(self) -> Years:
        """Add up the items year by year."""
        scenario = self.scenario
        # Items are added one by one: fifty of them over fifty years do not fit beside each other.
        current_cost = self._sum(self._yearly([c.annual], c.growth) for c in scenario.current_costs)
        running_cost = self._sum(self._yearly([c.annual], c.growth) for c in scenario.running_costs)
        benefit = {
            "replaced": self._sum(
                self._ramped([c.annual, c.replaced_share], c.growth) for c in scenario.current_costs
            )
        }
        items: tuple[Benefit, ...] = (*scenario.benefits, *scenario.risks)
        for kind in BENEFIT_KINDS[1:]:
            benefit[kind] = self._sum(
                self._ramped(item.factors(), item.growth) for item in items if item.kind == kind
            )
        one_time = self._one_time()
        benefits = self._sum(benefit.values())
        tax, taxed_benefit, taxed_cost = self._after_tax(benefits, one_time, running_cost)
        flow = [gain - cost for gain, cost in zip(taxed_benefit, taxed_cost, strict=True)]
        return Years(
            current_cost=current_cost,
            kept_cost=[
                cost - gone for cost, gone in zip(current_cost, benefit["replaced"], strict=True)
            ],
            one_time_cost=one_time,
            running_cost=running_cost,
            benefit=benefit,
            tax=tax,
            taxed_benefit=taxed_benefit,
            taxed_cost=taxed_cost,
            flow=flow,
            factor=self._factors(),
        )

    def _price(self, year: int) -> Number:
        """Return prices of the year over those of year 0; 1 where amounts need no such step."""
        inflation = self.scenario.inflation
        if inflation is None or self.scenario.rate_kind == "real" or year == 0:
            return self.one
        base = self.one + self.arithmetic.value(inflation, 0)
        return self.arithmetic.power(base, halves(self.scenario.timing, year))

    def _deflator(self, since: int, year: int) -> Number:
        """Return what money fixed in ``since`` is worth in ``year``, in the flows' prices."""
        inflation = self.scenario.inflation
        if inflation is None or self.scenario.rate_kind == "nominal":
            return self.one
        base = self.one + self.arithmetic.value(inflation, 0)
        timing = self.scenario.timing
        return self.one / self.arithmetic.power(base, halves(timing, year) - halves(timing, since))

    def _factors(self) -> list[Number]:
        base = self.one + self.arithmetic.value(self.scenario.discount_rate, 0)
        timing = self.scenario.timing
        return [
            self.one / self.arithmetic.power(base, halves(timing, year))
            for year in range(self.horizon + 1)
        ]

    def _yearly(
        self, factors: Iterable[Input], growth: Input, ramp: list[Number] | None = None
    ) -> list[Number]:
        """Return the product of the factors for each year, grown, priced and ramped."""
        factors = list(factors)
        by_year = any(factor.yearly for factor in factors)
        base = None if by_year else self._product(factors, 0)
        amounts = [self.zero]
        for year in range(1, self.horizon + 1):
            weight = self.prices[year] * self.exchange[year]
            if growth.value != 0:
                step = self.one + self.arithmetic.value(growth, 0)
                weight = weight * self.arithmetic.power(step, 2 * (year - 1))
            if ramp:
                weight = weight * ramp[year]
            amounts.append((self._product(factors, year) if by_year else base) * weight)
        return amounts

    def _ramped(self, factors: Iterable[Input], growth: Input) -> list[Number]:
        steps = self.scenario.ramp_up
        if not steps:
            return self._yearly(factors, growth)
        shares = [
            self.arithmetic.value(steps[min(max(year - 1, 0), len(steps) - 1)], year)
            for year in range(self.horizon + 1)
        ]
        return self._yearly(factors, growth, shares)

    def _product(self, factors: list[Input], year: int) -> Number:
        product = self.arithmetic.value(factors[0], year)
        for factor in factors[1:]:
            product = product * self.arithmetic.value(factor, year)
        return product

    def _one_time(self) -> list[Number]:
        amounts = [self.zero] * (self.horizon + 1)
        for cost in self.scenario.one_time_costs:
            year = cost.year
            amount = self.arithmetic.value(cost.amount, year)
            amounts[year] = amounts[year] + amount * (self.prices[year] * self.exchange[year])
        return amounts

    def _after_tax(
        self, benefits: list[Number], one_time: list[Number], running: list[Number]
    ) -> tuple[list[Number], list[Number], list[Number]]:
        """Return the tax, and benefits and costs after it: (gain - cost) * (1 - tax rate), and the
        relief on one-time costs as they are written off.
        """
        rate = self.scenario.tax_rate
        costs = [once + yearly for once, yearly in zip(one_time, running, strict=True)]
        if rate is None:
            return [self.zero] * len(costs), benefits, costs
        share = self.arithmetic.value(rate, 0)
        written_off = self._written_off(one_time)
        relief = [
            share * (yearly + gone) for yearly, gone in zip(running, written_off, strict=True)
        ]
        due = [share * gain for gain in benefits]
        return (
            [owed - less for owed, less in zip(due, relief, strict=True)],
            [gain - owed for gain, owed in zip(benefits, due, strict=True)],
            [cost - less for cost, less in zip(costs, relief, strict=True)],
        )

    def _written_off(self, one_time: list[Number]) -> list[Number]:
        """Return how much of the one-time costs each year deducts."""
        years = self.scenario.depreciation_years
        if years is None:
            return one_time
        written = [self.zero] * (self.horizon + 1)
        spent_in = {cost.year for cost in self.scenario.one_time_costs}
        for spent in spent_in:
            last = min(spent + years, self.horizon)
            if last == spent:
                written[spent] = written[spent] + one_time[spent]
                continue
            yearly = one_time[spent] / self.arithmetic.constant(Decimal(years))
            for year in range(spent + 1, last + 1):
                rest = years - (year - spent - 1) if year == last else 1
                amount = yearly * self.arithmetic.constant(Decimal(rest))
                written[year] = written[year] + amount * self._deflator(spent, year)
        return written

    def _sum(self, items: Iterable[list[Number]]) -> list[Number]:
        total: list[Number] | None = None
        for item in items:
            if total is None:
                total = item
            else:
                total = [sofar + more for sofar, more in zip(total, item, strict=True)]
        return [self.zero] * (self.horizon + 1) if total is None else total
