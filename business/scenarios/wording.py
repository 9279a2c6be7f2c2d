"""Results in words: one sentence, and each measure with its formula and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from business import roi
from business.roi.scenario import MINOR_DIGITS
from business.scenarios import outline
from business.scenarios.models import LongSimulation, ScenarioVersion
from business.scenarios.selectors import Realised
from simulation.figures import NO_VALUE, percent, sci

_NARROW = "\u202f"
_FORMULAS = {formula.key: formula for formula in roi.FORMULAS}


@dataclass(frozen=True)
class Measure:
    """A result with how it is computed."""

    title: str
    value: str
    note: str
    formula: roi.Formula | None


def money(amount: float | None, currency: str, *, exact: bool = False) -> str:
    """Return an amount with its currency; without minor units unless ``exact``."""
    if amount is None:
        return NO_VALUE
    digits = MINOR_DIGITS.get(currency, 2) if exact or abs(amount) < 100 else 0
    text = f"{amount:,.{digits}f}".replace(",", _NARROW).replace("-", "−")
    return f"{text} {currency}".strip()


def years(value: float | None) -> str:
    """Return a time in years: 2.4 years (29 months)."""
    if value is None:
        return NO_VALUE
    return f"{value:.1f} years ({round(value * 12)} months)"


def ratio(value: float | None) -> str:
    """Return a plain ratio."""
    return NO_VALUE if value is None else f"{value:.2f}".replace("-", "−")


def describe_result(answer: Mapping[str, Any]) -> str:
    """Return the answer of a version in one sentence."""
    if answer["npv"] is None:
        return f"The value is unknown: {len(answer['unknown'])} inputs are."
    horizon = answer["horizon_years"]
    span = f"{horizon} year{'s' if horizon != 1 else ''}"
    value = money(answer["npv"], answer["currency"])
    verb = "gains" if answer["npv"] >= 0 else "loses"
    text = f"The change {verb} {value.lstrip('−')} in present value over {span}"
    if answer["payback_years"] is not None:
        text += f" and pays back in {answer['payback_years']:.1f} years"
    if answer["simulation"]:
        loss = percent(answer["simulation"]["probability_of_loss"])
        text += f"; it loses in {loss} of the trials"
    return text


def list_measures(answer: Mapping[str, Any]) -> list[Measure]:
    """Return every measure of a version with its formula."""
    code = answer["currency"]
    roots = answer["irr_roots"]
    irr_note = ""
    if answer["irr"] is None:
        listed = ", ".join(percent(root) for root in roots or [])
        irr_note = f"The flows have several: {listed}." if listed else "There is none."
    rows = [
        ("Net present value", money(answer["npv"], code, exact=True), "", "npv"),
        ("Internal rate of return", percent(answer["irr"]), irr_note, "irr"),
        ("Modified internal rate of return", percent(answer["mirr"]), "", "mirr"),
        ("Return on investment", percent(answer["roi"]), "In present values.", "roi"),
        ("Return on investment, undiscounted", percent(answer["roi_undiscounted"]), "", "roi"),
        ("Benefit-cost ratio", ratio(answer["bcr"]), "", "bcr"),
        ("Payback", years(answer["payback_years"]), "", "payback"),
        (
            "Discounted payback",
            years(answer["discounted_payback_years"]),
            "",
            "discounted_payback",
        ),
        (
            "Saved a year",
            money(answer["annual_savings"], code),
            "Mean of the years from 1: benefits less running costs, before tax.",
            "",
        ),
        ("Cost of ownership today", money(answer["tco_current"]["total"], code), _TCO, ""),
        ("Cost of ownership proposed", money(answer["tco_proposed"]["total"], code), _TCO, ""),
        ("Benefits in present value", money(answer["benefits_present_value"], code), "", "npv"),
        ("Costs in present value", money(answer["costs_present_value"], code), "", "npv"),
    ]
    found = answer["simulation"]
    if found:
        low, high = found["probability_of_loss_ci95"]
        rows.append(
            (
                "Probability of a loss",
                percent(found["probability_of_loss"]),
                f"{percent(low)} to {percent(high)} by the number of trials alone.",
                "loss",
            )
        )
    return [Measure(title, value, note, _FORMULAS.get(key)) for title, value, note, key in rows]


_TCO = "Over the horizon, undiscounted, before tax."


@dataclass(frozen=True)
class Threshold:
    """An input's base case, and where it makes the change worth nothing."""

    title: str
    base: str
    value: str


def list_thresholds(answer: Mapping[str, Any], document: Mapping[str, Any]) -> list[Threshold]:
    """Return the break-even values, those that exist first."""
    places = {held.path: held for held in outline.numbers_of(document)}
    rows = sorted(answer["break_even"], key=lambda one: one["value"] is None)
    return [
        Threshold(
            places[one["path"]].title,
            _in_words(one["base"], places[one["path"]].place, answer["currency"]),
            "none"
            if one["value"] is None
            else _in_words(one["value"], places[one["path"]].place, answer["currency"]),
        )
        for one in rows
        if one["path"] in places
    ]


def _in_words(value: float, place: outline.Place, currency: str) -> str:
    if place.is_percent:
        return percent(value)
    if place.role == "money":
        return money(value, currency)
    return f"{sci(value, 4)} {place.unit}"


def describe_simulation(asked: LongSimulation) -> str:
    """Return how a long simulation fares in one sentence."""
    trials = f"{asked.trials:,}".replace(",", _NARROW)
    if asked.state == LongSimulation.State.DONE and asked.result is not None:
        share = percent(asked.result["probability_of_loss"])
        return f"{asked.version.scenario.name} loses in {share} of {trials} trials"
    if asked.state == LongSimulation.State.FAILED:
        return asked.failure
    return f"{trials} trials are being computed"


_COMPARED = (
    ("npv", "Net present value", "money"),
    ("irr", "Internal rate of return", "percent"),
    ("mirr", "Modified internal rate of return", "percent"),
    ("roi", "Return on investment", "percent"),
    ("bcr", "Benefit-cost ratio", "ratio"),
    ("payback_years", "Payback", "years"),
    ("discounted_payback_years", "Discounted payback", "years"),
    ("annual_savings", "Saved a year", "money"),
    ("tco_current", "Cost of ownership today", "money"),
    ("tco_proposed", "Cost of ownership proposed", "money"),
)


def list_compared(compared: Mapping[str, Any], versions: list[ScenarioVersion]) -> dict[str, Any]:
    """Return the table of a comparison: a row a measure, a cell a scenario."""
    code = compared["currency"]
    write = {"money": lambda v: money(v, code), "percent": percent, "ratio": ratio, "years": years}
    table = [
        (title, [write[how](value) for value in compared["rows"][name]])
        for name, title, how in _COMPARED
    ]
    table.insert(
        1, ("Difference to the first", [money(v, code) for v in compared["npv_difference"]])
    )
    losses = [(v.results["simulation"] or {}).get("probability_of_loss") for v in versions]
    table.append(("Probability of a loss", [percent(loss) for loss in losses]))
    table.append(("Horizon", [f"{v.results['horizon_years']} years" for v in versions]))
    table.append(("Discount rate", [percent(v.results["discount_rate"]) for v in versions]))
    return {"table": table, "warnings": compared["warnings"]}


def describe_realised(found: Sequence[Realised]) -> str:
    """Return what was saved so far, against the forecast for the same months."""
    if not found:
        return "Nobody has recorded what was saved"
    return "; ".join(_against_forecast(each) for each in found)


def _against_forecast(found: Realised) -> str:
    share = "" if found.share is None else f" ({percent(float(found.share))})"
    saved = money(float(found.amount), found.currency)
    forecast = money(float(found.forecast), found.currency)
    return f"{saved} saved of {forecast} forecast for the same months{share}"


def describe_fact(fact: roi.Fact) -> str:
    """Return a published figure with its range: 5 % of revenue, 10 USD (8 USD to 12 USD)."""

    def write(value: float) -> str:
        is_share = fact.unit.startswith("share")
        return percent(value) if is_share else money(value, fact.unit)

    text = write(fact.value)
    if fact.unit.startswith("share "):
        text = f"{text} {fact.unit.removeprefix('share ')}"
    if fact.low is None or fact.high is None:
        return text
    return f"{text} ({write(fact.low)} to {write(fact.high)})"
