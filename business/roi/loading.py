"""A scenario from its document: which keys it has, and what must fit together."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from business.roi.amounts import NotANumber, read_number, shown
from business.roi.errors import BadInput
from business.roi.flows import TIMINGS
from business.roi.reading import Reader, digest, parse
from business.roi.scenario import (
    HORIZON_MAX,
    Benefit,
    Compliance,
    Correlation,
    CurrentCost,
    Efficiency,
    ErrorsAvoided,
    Exchange,
    Input,
    OneTimeCost,
    Risk,
    RunningCost,
    Scenario,
)

_ZERO, _ONE = Decimal(0), Decimal(1)
_KEYS = (
    "name",
    "description",
    "industry",
    "currency",
    "horizon_years",
    "timing",
    "rate_kind",
    "discount_rate",
    "inflation",
    "finance_rate",
    "reinvest_rate",
    "tax_rate",
    "depreciation_years",
    "ramp_up",
    "current_costs",
    "one_time_costs",
    "running_costs",
    "benefits",
    "risks",
    "correlations",
    "report_currency",
)
_BENEFIT_KEYS = {
    "errors": ("errors_per_year", "avoided_share", "cost_per_error"),
    "efficiency": ("baseline_cost", "gain_share"),
    "compliance": ("annual_savings",),
}


def load_scenario(text: str | bytes) -> Scenario:
    """Return the scenario of a JSON text. Raises ``BadInput`` with all that is wrong."""
    return read_scenario(parse(text))


def read_scenario(document: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a document. Raises ``BadInput`` with all that is wrong."""
    if not isinstance(document, Mapping):
        raise BadInput(f"A scenario is an object with a name, not {shown(document)}.")
    reader = Reader()
    whole = reader.keys(document, "", _KEYS)
    years = reader.whole(whole.get("horizon_years"), "horizon_years", "The horizon", 1, HORIZON_MAX)
    reader.text(whole, "description", "")
    reader.text(whole, "industry", "")
    scenario = Scenario(
        name=reader.text(whole, "name", ""),
        currency=reader.currency(whole.get("currency"), "currency"),
        horizon_years=years,
        timing=reader.choice(whole, "timing", TIMINGS),
        rate_kind=reader.choice(whole, "rate_kind", ("nominal", "real")),
        discount_rate=reader.number(whole, "discount_rate", "", "rate"),
        inflation=_optional(reader, whole, "inflation", "rate"),
        finance_rate=reader.rate(whole, "finance_rate"),
        reinvest_rate=reader.rate(whole, "reinvest_rate"),
        tax_rate=_optional(reader, whole, "tax_rate", "share"),
        depreciation_years=_depreciation(reader, whole),
        ramp_up=tuple(reader.value(v, p, "share") for p, v in reader.items(whole, "ramp_up")),
        current_costs=tuple(_current(reader, *e) for e in reader.items(whole, "current_costs")),
        one_time_costs=tuple(
            _one_time(reader, *e, years) for e in reader.items(whole, "one_time_costs")
        ),
        running_costs=tuple(_running(reader, *e) for e in reader.items(whole, "running_costs")),
        benefits=tuple(
            benefit
            for entry in reader.items(whole, "benefits")
            if (benefit := _benefit(reader, *entry)) is not None
        ),
        risks=tuple(_risk(reader, *e) for e in reader.items(whole, "risks")),
        correlations=(),
        exchange=_exchange(reader, whole.get("report_currency"), years),
        inputs_sha256=digest(document),
    )
    if not scenario.name:
        reader.wrong("name", "Give the scenario a name.")
    if not (scenario.benefits or scenario.risks or scenario.current_costs):
        reader.wrong("benefits", "Give at least one benefit, reduced risk or replaced cost.")
    correlations = _correlations(reader, whole, scenario)
    reader.finish()
    return Scenario(**{**vars(scenario), "correlations": correlations})


def _optional(reader: Reader, part: Mapping[str, Any], key: str, role: str) -> Input | None:
    return None if part.get(key) is None else reader.number(part, key, "", role)


def _depreciation(reader: Reader, whole: Mapping[str, Any]) -> int | None:
    years = whole.get("depreciation_years")
    if years is None:
        return None
    return reader.whole(years, "depreciation_years", "Depreciation in years", 1, HORIZON_MAX)


def _growth(reader: Reader, part: Mapping[str, Any], path: str) -> Input:
    return reader.number(part, "growth", path, "rate", _ZERO)


def _current(reader: Reader, path: str, entry: Any) -> CurrentCost:
    part = reader.keys(entry, path, ("name", "annual", "growth", "replaced_share"))
    return CurrentCost(
        name=reader.text(part, "name", path),
        annual=reader.number(part, "annual", path, "money"),
        growth=_growth(reader, part, path),
        replaced_share=reader.number(part, "replaced_share", path, "share", _ONE),
    )


def _one_time(reader: Reader, path: str, entry: Any, years: int) -> OneTimeCost:
    part = reader.keys(entry, path, ("name", "amount", "year"))
    return OneTimeCost(
        name=reader.text(part, "name", path),
        amount=reader.number(part, "amount", path, "money"),
        year=reader.whole(part.get("year", 0), f"{path}.year", "The year of a cost", 0, years),
    )


def _running(reader: Reader, path: str, entry: Any) -> RunningCost:
    part = reader.keys(entry, path, ("name", "annual", "growth"))
    return RunningCost(
        name=reader.text(part, "name", path),
        annual=reader.number(part, "annual", path, "money"),
        growth=_growth(reader, part, path),
    )


def _benefit(reader: Reader, path: str, entry: Any) -> Benefit | None:
    kind = entry.get("kind") if isinstance(entry, Mapping) else None
    if not isinstance(kind, str) or kind not in _BENEFIT_KEYS:
        reader.wrong(f"{path}.kind", f"A benefit's kind is one of {', '.join(_BENEFIT_KEYS)}.")
        return None
    part = reader.keys(entry, path, ("kind", "name", *_BENEFIT_KEYS[kind], "growth"))
    name, growth = reader.text(part, "name", path), _growth(reader, part, path)
    if kind == "errors":
        return ErrorsAvoided(
            name=name,
            errors_per_year=reader.number(part, "errors_per_year", path, "count"),
            avoided_share=reader.number(part, "avoided_share", path, "share"),
            cost_per_error=reader.number(part, "cost_per_error", path, "money"),
            growth=growth,
        )
    if kind == "efficiency":
        return Efficiency(
            name=name,
            baseline_cost=reader.number(part, "baseline_cost", path, "money"),
            gain_share=reader.number(part, "gain_share", path, "share"),
            growth=growth,
        )
    savings = reader.number(part, "annual_savings", path, "money")
    return Compliance(name=name, annual_savings=savings, growth=growth)


def _risk(reader: Reader, path: str, entry: Any) -> Risk:
    by_threat = isinstance(entry, Mapping) and "threat_events_per_year" in entry
    names = ("threat_events_per_year", "vulnerability") if by_threat else ("events_per_year",)
    part = reader.keys(entry, path, ("name", *names, "loss_per_event", "reduction_share", "growth"))
    return Risk(
        name=reader.text(part, "name", path),
        frequency=tuple(
            reader.number(part, name, path, "share" if name == "vulnerability" else "count")
            for name in names
        ),
        loss_per_event=reader.number(part, "loss_per_event", path, "money"),
        reduction_share=reader.number(part, "reduction_share", path, "share"),
        growth=_growth(reader, part, path),
    )


def _exchange(reader: Reader, entry: Any, years: int) -> Exchange | None:
    if entry is None:
        return None
    part = reader.keys(entry, "report_currency", ("code", "rates"))
    code = reader.currency(part.get("code"), "report_currency.code")
    found = part.get("rates")
    if not isinstance(found, list) or len(found) != years + 1:
        reader.wrong(
            "report_currency.rates",
            f"Give {years + 1} rates, one for each year from 0 to {years}.",
        )
        return None
    rates = []
    for year, value in enumerate(found):
        try:
            rates.append(read_number(value, low=0, high=10**9))
        except NotANumber as wrong:
            reader.wrong(f"report_currency.rates.{year}", f"This {wrong}")
            return None
    if not all(rates):
        reader.wrong("report_currency.rates", "An exchange rate is more than 0.")
    return Exchange(code, tuple(rates))


def _correlations(
    reader: Reader, whole: Mapping[str, Any], scenario: Scenario
) -> tuple[Correlation, ...]:
    uncertain = {entry.path: entry for entry in scenario.inputs() if entry.is_uncertain}
    found: dict[frozenset[str], Correlation] = {}
    for path, entry in reader.items(whole, "correlations"):
        part = reader.keys(entry, path, ("between", "rank"))
        pair = part.get("between")
        if (
            not isinstance(pair, list)
            or len(pair) != 2
            or not all(isinstance(name, str) for name in pair)
            or pair[0] == pair[1]
        ):
            reader.wrong(f"{path}.between", "Name two different inputs by their paths.")
            continue
        missing = [name for name in pair if name not in uncertain]
        if missing:
            reader.wrong(f"{path}.between", f"No uncertain input stands at {shown(missing[0])}.")
            continue
        first, second = (uncertain[name] for name in pair)
        if first.yearly != second.yearly:
            reader.wrong(f"{path}.between", "Both are drawn once, or both yearly.")
            continue
        if frozenset(pair) in found:
            reader.wrong(f"{path}.between", "This pair stands twice.")
            continue
        try:
            rank = float(read_number(part.get("rank"), low=-1, high=1))
        except NotANumber as wrong:
            reader.wrong(f"{path}.rank", f"This {wrong}")
            continue
        found[frozenset(pair)] = Correlation(pair[0], pair[1], rank)
    return tuple(found.values())
