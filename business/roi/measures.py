"""The measures of one series of cash flows, each with its conventions in the docstring.

Inflows are flows above 0, outflows flows below 0; a year's flow is already net. What cannot be
computed is None, and a warning says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from business.roi.amounts import EXACT, to_float
from business.roi.flows import (
    halves,
    net_present_value,
    payback,
    present_values,
    sum_exact,
)
from business.roi.internal_rate import CHANGES_MAX, InternalRates, internal_rates


@dataclass(frozen=True)
class Measures:
    """``npv`` is money, all rates and ratios are fractions, paybacks are years from now.

    ``irr`` is None unless it is the only root; ``irr_roots`` is None when roots were not looked
    for, and empty when there is none.
    """

    npv: Decimal
    irr: float | None
    irr_roots: tuple[float, ...] | None
    mirr: float | None
    roi: float | None
    roi_undiscounted: float | None
    bcr: float | None
    payback_years: float | None
    discounted_payback_years: float | None
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain numbers; None where a float cannot hold one."""
        npv = to_float(self.npv)
        warnings = list(self.warnings)
        if npv is None:
            warnings.append("The net present value is too large to show.")
        roots = None if self.irr_roots is None else list(self.irr_roots)
        return {
            "npv": npv,
            "irr": self.irr,
            "irr_roots": roots,
            "mirr": self.mirr,
            "roi": self.roi,
            "roi_undiscounted": self.roi_undiscounted,
            "bcr": self.bcr,
            "payback_years": self.payback_years,
            "discounted_payback_years": self.discounted_payback_years,
            "warnings": warnings,
        }


def measure(
    flows: Sequence[Decimal],
    rate: Decimal,
    *,
    finance_rate: Decimal | None = None,
    reinvest_rate: Decimal | None = None,
    timing: str = "end",
) -> Measures:
    """Return all measures. Without a finance or reinvestment rate, MIRR takes ``rate`` for it."""
    worth = present_values(flows, rate, timing)
    found = internal_rates(flows, timing)
    simple, fell_back = payback(flows)
    discounted, fell_back_discounted = payback(worth)
    warnings = [*_about_rate(rate), *_about_roots(found), *_about_sides(flows)]
    if any(flow < 0 for flow in flows):
        warnings += _about_payback("payback", simple, fell_back)
        warnings += _about_payback("discounted payback", discounted, fell_back_discounted)
    return Measures(
        npv=sum_exact(worth),
        irr=found.rates[0] if found.rates and len(found.rates) == 1 else None,
        irr_roots=found.rates,
        mirr=modified_internal_rate(
            flows,
            finance_rate=rate if finance_rate is None else finance_rate,
            reinvest_rate=rate if reinvest_rate is None else reinvest_rate,
            timing=timing,
        ),
        roi=return_on_investment(worth),
        roi_undiscounted=return_on_investment(flows),
        bcr=benefit_cost_ratio(worth),
        payback_years=simple,
        discounted_payback_years=discounted,
        warnings=tuple(warnings),
    )


def modified_internal_rate(
    flows: Sequence[Decimal],
    *,
    finance_rate: Decimal,
    reinvest_rate: Decimal,
    timing: str = "end",
) -> float | None:
    """Return (value of the inflows at the end / value of the outflows now) ** (1/years) - 1.

    The end is that of the last year, whatever the timing. None without an inflow, an outflow or a
    year between them. Source: Lin (1976), Engineering Economist 21; MIRR of spreadsheets.
    """
    years = len(flows) - 1
    paid = -net_present_value([min(flow, Decimal(0)) for flow in flows], finance_rate, timing)
    with localcontext(EXACT):
        factor = 1 + reinvest_rate
        root = factor.sqrt()
        earned = Decimal(0)
        for year, flow in enumerate(flows):
            if flow > 0:
                left = 2 * years - halves(timing, year)
                earned += flow * factor ** (left // 2) * (root if left % 2 else 1)
        if years < 1 or not paid or not earned:
            return None
        return to_float((earned / paid) ** (Decimal(1) / years) - 1)


def return_on_investment(amounts: Sequence[Decimal]) -> float | None:
    """Return (inflows - outflows) / outflows; None without an outflow.

    Of present values this is the ROI of Forrester's Total Economic Impact; of plain flows the
    undiscounted one.
    """
    outflows = -sum_exact([amount for amount in amounts if amount < 0])
    if not outflows:
        return None
    with localcontext(EXACT):
        return to_float(sum_exact(amounts) / outflows)


def benefit_cost_ratio(worth: Sequence[Decimal]) -> float | None:
    """Return inflows / outflows of present values; None without an outflow."""
    outflows = -sum_exact([amount for amount in worth if amount < 0])
    if not outflows:
        return None
    with localcontext(EXACT):
        return to_float(sum_exact([amount for amount in worth if amount > 0]) / outflows)


def real_rate(nominal: Decimal, inflation: Decimal) -> Decimal:
    """Return (1 + nominal) / (1 + inflation) - 1. Source: Fisher, The Theory of Interest (1930)."""
    with localcontext(EXACT):
        return (1 + nominal) / (1 + inflation) - 1


def nominal_rate(real: Decimal, inflation: Decimal) -> Decimal:
    """Return (1 + real) * (1 + inflation) - 1. Source: Fisher (1930)."""
    with localcontext(EXACT):
        return (1 + real) * (1 + inflation) - 1


def _about_rate(rate: Decimal) -> list[str]:
    if rate <= 1:
        return []
    percent = f"{rate * 100:f}".rstrip("0").rstrip(".") if rate % 1 else f"{int(rate * 100)}"
    return [f"A rate of {rate:f} is {percent} %: rates are fractions, 0.1 for 10 %."]


def _about_roots(found: InternalRates) -> list[str]:
    warnings = []
    if found.every:
        return ["The flows cancel out at once: the net present value is 0 at every rate."]
    if found.rates is None:
        return [
            f"The flows change sign {found.changes} times; the rates of return are looked for up to"
            f" {CHANGES_MAX}. There may be none, one or many."
        ]
    count = len(found.rates)
    if count > 1:
        warnings.append(
            f"{count} internal rates of return: the net present value is 0 at each, and none of"
            " them is the return. Compare the net present value or the MIRR."
        )
    elif count == 0 and found.left_out == 0:
        warnings.append(
            "There is no internal rate of return: no rate makes the net present value 0."
        )
    elif found.changes > 1:
        warnings.append(
            f"The flows change sign {found.changes} times; they have one internal rate of return"
            " all the same. Compare the MIRR."
        )
    if found.touching:
        warnings.append(
            "At an internal rate of return the net present value touches 0 without changing its"
            " sign, or changes it twice too closely to tell."
        )
    if found.left_out:
        warnings.append(
            "A rate of return too close to -100 % or too large to be shown was left out."
        )
    return warnings


def _about_sides(flows: Sequence[Decimal]) -> list[str]:
    warnings = []
    if not any(flow < 0 for flow in flows):
        warnings.append("There is no outlay: no ratio to it, no payback and no MIRR.")
    if not any(flow > 0 for flow in flows):
        warnings.append("There is no inflow: no MIRR.")
    return warnings


def _about_payback(name: str, years: float | None, fell_back: bool) -> list[str]:
    if years is None and fell_back:
        return [f"The {name} is reached and lost again: the last sum is below 0."]
    if years is None:
        return [f"The {name} is not reached within these years."]
    if fell_back:
        return [f"The {name} is reached, lost and reached again; the last time counts."]
    return []
