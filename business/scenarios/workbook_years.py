"""The formulas of the sheet *Years* with their values: each step of ``business.roi.model``, a row a
step.

Column A is the title, B year 0, C year 1 … The rows are those of the model: prices, exchange, ramp,
each item, sums, tax, flow, present value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from xlsxwriter.utility import xl_col_to_name

from business.roi.scenario import Input, OneTimeCost, Scenario
from business.scenarios.workbook_terms import Term, product, term


@dataclass(frozen=True)
class Line:
    """A row of the sheet."""

    title: str
    cells: list[Term] = field(default_factory=list)
    is_factor: bool = False
    is_sum: bool = False
    # What stands in place of a value that there is not.
    unknown: str = "#N/A"


class Years:
    """Builds the rows; ``row`` and ``last`` name them for formulas elsewhere."""

    def __init__(self, scenario: Scenario, ref: Callable[[Input], Term]) -> None:
        """``ref`` returns the cell of an input."""
        self.scenario = scenario
        self.ref = ref
        self.span = range(scenario.horizon_years + 1)
        self.lines: list[Line] = []
        self.places: dict[str, int] = {}

    @property
    def rate(self) -> Term:
        """The discount rate's cell."""
        return self.ref(self.scenario.discount_rate)

    def row(self, key: str) -> str:
        """Return the range of a row."""
        place, last = self.places[key], xl_col_to_name(len(self.span))
        return f"Years!$B${place}:${last}${place}"

    def last(self, key: str) -> str:
        """Return a row's cell of the last year."""
        return f"Years!{self._at(key, self.scenario.horizon_years).text}"

    def build(self) -> None:
        """Write all rows in the order in which they are computed."""
        self._each("year", "Year", lambda y: term(y), is_factor=True)
        self._factors()
        self._items()
        self._taxes()
        self._flows()

    # -- steps ---------------------------------------------------------------------------------

    def _factors(self) -> None:
        scenario = self.scenario
        shift = {"end": 0.0, "mid": 0.5, "start": 1.0}[scenario.timing]
        self._each(
            "time",
            f"Time of the year's money, {scenario.timing} of year",
            lambda y: self._at("year", y) - shift if y else term(0),
            is_factor=True,
        )
        inflation = scenario.inflation
        is_priced = inflation is not None and scenario.rate_kind == "nominal"
        self._each(
            "price",
            "Prices over those of year 0",
            lambda y: (
                (1 + self.ref(inflation)) ** self._at("time", y)
                if is_priced and inflation is not None
                else term(1)
            ),
            is_factor=True,
        )
        rates = scenario.exchange.rates if scenario.exchange else None
        self._each(
            "exchange",
            f"{scenario.reported_currency} for one {scenario.currency}",
            lambda y: term(float(rates[y]) if rates else 1),
            is_factor=True,
        )
        steps = scenario.ramp_up
        self._each(
            "ramp",
            "Ramp-up of the benefits",
            lambda y: self.ref(steps[min(y - 1, len(steps) - 1)]) if steps and y else term(1),
            is_factor=True,
        )
        self._each(
            "factor",
            "Discount factor",
            lambda y: 1 / (1 + self.rate) ** self._at("time", y),
            is_factor=True,
        )

    def _items(self) -> None:
        scenario = self.scenario
        for cost in scenario.current_costs:
            self._yearly("current", f"Today: {cost.name}", [cost.annual], cost.growth)
        self._total("current", "Costs of today's system")
        for cost in scenario.current_costs:
            factors = [cost.annual, cost.replaced_share]
            self._yearly("replaced", f"Replaced: {cost.name}", factors, cost.growth, ramped=True)
        self._total("replaced", "Replaced costs")
        for item in (*scenario.benefits, *scenario.risks):
            self._yearly("gain", item.name or item.kind, item.factors(), item.growth, ramped=True)
        self._total("gain", "Other benefits and reduced risks")
        self._each(
            "benefit",
            "Benefits",
            lambda y: self._at("replaced", y) + self._at("gain", y),
            is_sum=True,
        )
        for once in scenario.one_time_costs:
            self._once(once)
        self._total("one_time", "One-time costs", "one_time.item")
        for running in scenario.running_costs:
            self._yearly("running", f"Running: {running.name}", [running.annual], running.growth)
        self._total("running", "Running costs")

    def _taxes(self) -> None:
        rate = self.scenario.tax_rate
        share = self.ref(rate) if rate else term(0)
        self._each("written_off", "Written off", self._written_off)
        self._each(
            "relief",
            "Tax relief on costs",
            lambda y: share * (self._at("running", y) + self._at("written_off", y)),
        )
        self._each(
            "taxed_benefit", "Benefits after tax", lambda y: self._at("benefit", y) * (1 - share)
        )
        self._each(
            "taxed_cost",
            "Costs after tax relief",
            lambda y: self._at("one_time", y) + self._at("running", y) - self._at("relief", y),
        )

    def _written_off(self, year: int) -> Term:
        years = self.scenario.depreciation_years
        if years is None:
            return self._at("one_time", year)
        total = term(0)
        for spent in sorted({cost.year for cost in self.scenario.one_time_costs}):
            last = min(spent + years, self.scenario.horizon_years)
            amount = self._at("one_time", spent)
            if last == spent == year:
                total += amount
            elif spent < year <= last:
                rest = years - (year - spent - 1) if year == last else 1
                total += amount / years * rest / self._deflator(spent, year)
        return total

    def _deflator(self, spent: int, year: int) -> Term:
        """Return what turns money fixed in one year into the flows' prices of another."""
        inflation = self.scenario.inflation
        if inflation is None or self.scenario.rate_kind == "nominal":
            return term(1)
        return (1 + self.ref(inflation)) ** (self._at("time", year) - self._at("time", spent))

    def _flows(self) -> None:
        self._each(
            "flow",
            "Flow after tax",
            lambda y: self._at("taxed_benefit", y) - self._at("taxed_cost", y),
            is_sum=True,
        )
        self._each(
            "present_value",
            "Present value",
            lambda y: self._at("flow", y) * self._at("factor", y),
            is_sum=True,
        )
        self._each(
            "cumulative",
            "Running sum of the flow",
            lambda y: (
                self._at("cumulative", y - 1) + self._at("flow", y) if y else self._at("flow", 0)
            ),
        )
        self._each(
            "paid_back", "Paid back after, years", self._paid_back, is_factor=True, unknown=""
        )

    def _paid_back(self, year: int) -> Term:
        if year == 0:
            return Term('""', math.nan)
        before, now = self._at("cumulative", year - 1), self._at("cumulative", year)
        after = (year - 1) - before / self._at("flow", year)
        value = after.value if before.value < 0 <= now.value else math.nan
        return Term(f'IF(AND({before.text}<0,{now.text}>=0),{after.text},"")', value)

    # -- rows ------------------------------------------------------------------------------------

    def _yearly(
        self,
        group: str,
        title: str,
        factors: Iterable[Input],
        growth: Input,
        *,
        ramped: bool = False,
    ) -> None:
        base = product(self.ref(factor) for factor in factors)

        def amount(year: int) -> Term:
            if not year:
                return term(0)
            found = base * (1 + self.ref(growth)) ** (year - 1) * self._weight(year)
            return found * self._at("ramp", year) if ramped else found

        self._each(f"{group}.item", title, amount)

    def _once(self, cost: OneTimeCost) -> None:
        amount = self.ref(cost.amount)
        self._each(
            "one_time.item",
            f"Once: {cost.name}",
            lambda y: amount * self._weight(y) if y == cost.year else term(0),
        )

    def _weight(self, year: int) -> Term:
        return self._at("price", year) * self._at("exchange", year)

    def _total(self, key: str, title: str, items: str = "") -> None:
        """Add up the rows of a group that stand right above."""
        prefix = items or f"{key}.item"
        count = sum(place.startswith(prefix) for place in self.places)
        first, last = len(self.lines) - count, len(self.lines)

        def total(year: int) -> Term:
            if not count:
                return term(0)
            column = self._column(year)
            value = sum(line.cells[year].value for line in self.lines[first:last])
            return Term(f"SUM({column}{first + 1}:{column}{last})", value)

        self._each(key, title, total, is_sum=True)

    def _each(
        self,
        key: str,
        title: str,
        cell: Callable[[int], Term],
        *,
        is_factor: bool = False,
        is_sum: bool = False,
        unknown: str = "#N/A",
    ) -> None:
        # The row's own number first, and cell by cell: a running sum refers to it.
        self.places[self._free(key)] = len(self.lines) + 1
        line = Line(title, is_factor=is_factor, is_sum=is_sum, unknown=unknown)
        self.lines.append(line)
        for year in self.span:
            line.cells.append(cell(year))

    def _free(self, key: str) -> str:
        return f"{key}.{len(self.lines)}" if key.endswith(".item") else key

    def _at(self, key: str, year: int) -> Term:
        place = self.places[key]
        return Term(f"{self._column(year)}{place}", self.lines[place - 1].cells[year].value)

    def _column(self, year: int) -> str:
        return xl_col_to_name(year + 1)
