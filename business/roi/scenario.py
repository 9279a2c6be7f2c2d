"""A scenario: every stated input of one decision, certain, uncertain or unknown.

Amounts are in prices of year 0, unless no inflation is stated (then they are each year's own).
Yearly amounts begin in year 1 and grow from year 2 on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal

from business.roi.distributions import Distribution

HORIZON_MAX = 50
ITEMS_MAX = 50

# Digits after the point, where they are not two (ISO 4217).
MINOR_DIGITS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"), 0),
    **dict.fromkeys(("RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


@dataclass(frozen=True)
class Input:
    """One number with where it stands and where it comes from.

    ``value`` is a Decimal, a distribution, or None: unknown. ``yearly``: drawn anew for each year
    (luck), not once for all (ignorance). ``role`` is money, count, share or rate. ``basis`` is
    measured, published, assumption, or empty.
    """

    path: str
    value: Decimal | Distribution | None
    role: str
    yearly: bool = False
    basis: str = ""
    source: str = ""
    source_year: int | None = None

    @property
    def is_uncertain(self) -> bool:
        """Whether it has a distribution."""
        return isinstance(self.value, Distribution)

    @property
    def central(self) -> Decimal | None:
        """The value, or the distribution's mean; None when unknown."""
        return self.value.mean() if isinstance(self.value, Distribution) else self.value


@dataclass(frozen=True)
class CurrentCost:
    """What today's system costs a year, and the share of it that the change replaces."""

    name: str
    annual: Input
    growth: Input
    replaced_share: Input


@dataclass(frozen=True)
class OneTimeCost:
    """What the change costs once, in ``year``."""

    name: str
    amount: Input
    year: int


@dataclass(frozen=True)
class RunningCost:
    """What the new system costs a year."""

    name: str
    annual: Input
    growth: Input


@dataclass(frozen=True)
class ErrorsAvoided:
    """Errors a year * share avoided * cost of one."""

    name: str
    errors_per_year: Input
    avoided_share: Input
    cost_per_error: Input
    growth: Input
    kind = "errors"

    def factors(self) -> tuple[Input, ...]:
        """Return what the yearly benefit is the product of."""
        return (self.errors_per_year, self.avoided_share, self.cost_per_error)


@dataclass(frozen=True)
class Efficiency:
    """Baseline cost a year * gain as a share of it."""

    name: str
    baseline_cost: Input
    gain_share: Input
    growth: Input
    kind = "efficiency"

    def factors(self) -> tuple[Input, ...]:
        """Return what the yearly benefit is the product of."""
        return (self.baseline_cost, self.gain_share)


@dataclass(frozen=True)
class Compliance:
    """Savings a year, as stated."""

    name: str
    annual_savings: Input
    growth: Input
    kind = "compliance"

    def factors(self) -> tuple[Input, ...]:
        """Return what the yearly benefit is the product of."""
        return (self.annual_savings,)


@dataclass(frozen=True)
class Risk:
    """Annualised loss expectancy * share removed. ``frequency`` is loss events a year, or threat
    events a year and the vulnerability (the share of them that becomes a loss).
    """

    name: str
    frequency: tuple[Input, ...]
    loss_per_event: Input
    reduction_share: Input
    growth: Input
    kind = "risk"

    def factors(self) -> tuple[Input, ...]:
        """Return what the yearly benefit is the product of."""
        return (*self.frequency, self.loss_per_event, self.reduction_share)


Benefit = ErrorsAvoided | Efficiency | Compliance | Risk


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation of two uncertain inputs."""

    first: str
    second: str
    rank: float


@dataclass(frozen=True)
class Exchange:
    """Results in another currency: its units for one of the scenario's, for each year from 0."""

    currency: str
    rates: tuple[Decimal, ...]


@dataclass(frozen=True)
class Scenario:
    """All inputs. ``rate_kind`` is nominal or real; ``tax_rate`` None means before tax, and
    ``depreciation_years`` None that one-time costs are expensed in their year.
    """

    name: str
    currency: str
    horizon_years: int
    timing: str
    rate_kind: str
    discount_rate: Input
    inflation: Input | None
    finance_rate: Decimal | None
    reinvest_rate: Decimal | None
    tax_rate: Input | None
    depreciation_years: int | None
    ramp_up: tuple[Input, ...]
    current_costs: tuple[CurrentCost, ...]
    one_time_costs: tuple[OneTimeCost, ...]
    running_costs: tuple[RunningCost, ...]
    benefits: tuple[Benefit, ...]
    risks: tuple[Risk, ...]
    correlations: tuple[Correlation, ...]
    exchange: Exchange | None
    inputs_sha256: str

    def inputs(self) -> list[Input]:
        """Return every input that stands in the scenario, in its order."""
        return list(_inputs_in(self))

    def input_at(self, path: str) -> Input | None:
        """Return the input at a path, or None."""
        return next((entry for entry in self.inputs() if entry.path == path), None)

    @property
    def reported_currency(self) -> str:
        """The currency of the results."""
        return self.exchange.currency if self.exchange else self.currency

    @property
    def minor_digits(self) -> int:
        """Digits after the point in the results' currency."""
        return MINOR_DIGITS.get(self.reported_currency, 2)


def _inputs_in(node: object) -> Iterator[Input]:
    if isinstance(node, Input):
        yield node
    elif isinstance(node, tuple):
        for part in node:
            yield from _inputs_in(part)
    elif hasattr(node, "__dataclass_fields__") and not isinstance(node, Distribution):
        for member in fields(node):  # type: ignore[arg-type]
            yield from _inputs_in(getattr(node, member.name))
