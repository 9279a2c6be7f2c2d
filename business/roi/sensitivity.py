"""What moves the net present value: a tornado, break-even values, scenarios side by side.

All use the simulation's model with the inputs at their means but for one, which takes many values
at once as an array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from business.roi.distributions import Distribution
from business.roi.errors import BadInput, Problem
from business.roi.model import Arithmetic, evaluate
from business.roi.monte_carlo import power_in_floats
from business.roi.scenario import Input, Scenario
from business.roi.valuation import Valuation, money, value_scenario

LOW, HIGH = 0.10, 0.90
SCENARIOS_MAX = 10
_GRID = 257
# A grid of 257 points is searched 256 times finer each time: after eight no float lies between.
_ZOOMS = 8


@dataclass(frozen=True)
class Bar:
    """One input of the tornado: its 10 % and 90 % quantiles and the net present values there."""

    path: str
    low: float
    high: float
    npv_at_low: float
    npv_at_high: float

    @property
    def swing(self) -> float:
        """How far the net present value moves."""
        return abs(self.npv_at_high - self.npv_at_low)


@dataclass(frozen=True)
class BreakEven:
    """The value of one input at which the net present value is 0, all others at their means.

    ``value`` None: there is none within the limits of the input, ``low`` to ``high``. Of several
    it is the one nearest to the base case.
    """

    path: str
    base: float
    value: float | None
    low: float
    high: float


def tornado(scenario: Scenario) -> tuple[Bar, ...]:
    """Return the uncertain inputs, the widest swing first."""
    _check_known(scenario)
    bars = []
    for entry in scenario.inputs():
        if isinstance(entry.value, Distribution):
            low, high = entry.value.quantile(LOW), entry.value.quantile(HIGH)
            at_low, at_high = net_present_values(scenario, entry.path, np.array([low, high]))
            bars.append(Bar(entry.path, low, high, float(at_low), float(at_high)))
    return tuple(sorted(bars, key=lambda bar: -bar.swing))


def break_even(scenario: Scenario, path: str) -> BreakEven:
    """Return what the input at ``path`` must be for a net present value of 0.

    An amount is looked for between 0 and a million times its base value, a share between 0 and 1, a
    rate between -90 % and 1000 %.
    """
    _check_known(scenario)
    entry = scenario.input_at(path)
    if entry is None:
        raise BadInput([Problem(path, "There is no such input in the scenario.")])
    assert entry.central is not None
    base = float(entry.central)
    points = _points(entry, base)
    values = net_present_values(scenario, path, points)
    roots = [float(point) for point in points[values == 0]]
    roots += [
        _refine(scenario, path, points[index], points[index + 1])
        for index in np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0)
    ]
    nearest = min(roots, key=lambda root: abs(root - base), default=None)
    return BreakEven(path, base, nearest, float(points[0]), float(points[-1]))


def break_evens(scenario: Scenario) -> tuple[BreakEven, ...]:
    """Return the break-even of every input that changes the net present value."""
    found = []
    for entry in scenario.inputs():
        one = break_even(scenario, entry.path)
        if one.value is not None or _matters(scenario, entry, one):
            found.append(one)
    return tuple(found)


def net_present_values(scenario: Scenario, path: str, values: np.ndarray) -> np.ndarray:
    """Return the net present value for each value of one input, all others at their means."""

    def value(entry: Input, year: int) -> Any:
        if entry.path == path:
            return values
        assert entry.central is not None
        return float(entry.central)

    with np.errstate(all="ignore"):
        years = evaluate(scenario, Arithmetic(value, float, power_in_floats))
        total = np.zeros(len(values))
        for flow, factor in zip(years.flow, years.factor, strict=True):
            total = total + flow * factor
    return total


def compare(scenarios: Sequence[Scenario]) -> dict[str, Any]:
    """Return the scenarios' base cases side by side, and the differences to the first.

    Raises ``BadInput`` when their currencies differ; other differences are warnings.
    """
    if not 2 <= len(scenarios) <= SCENARIOS_MAX:
        raise BadInput(f"Compare 2 to {SCENARIOS_MAX} scenarios, not {len(scenarios)}.")
    currencies = sorted({scenario.reported_currency for scenario in scenarios})
    if len(currencies) > 1:
        raise BadInput(
            f"Amounts in {' and '.join(currencies)} cannot be compared: give the scenarios one"
            " currency for their results (report_currency)."
        )
    found = [value_scenario(scenario) for scenario in scenarios]
    rows = {name: [read(one) for one in found] for name, read in _ROWS.items()}
    return {
        "currency": currencies[0],
        "names": [scenario.name for scenario in scenarios],
        "rows": rows,
        "npv_difference": [
            None if value is None or rows["npv"][0] is None else value - rows["npv"][0]
            for value in rows["npv"]
        ],
        "warnings": _unlike(scenarios),
    }


def _measure(name: str) -> Any:
    return lambda found: None if found.measures is None else getattr(found.measures, name)


def _npv(found: Valuation) -> float | None:
    return None if found.measures is None else _money(found, found.measures.npv)


def _money(found: Valuation, amount: Any) -> float | None:
    return money(amount, found.scenario.minor_digits)


_ROWS: dict[str, Any] = {
    "npv": _npv,
    **{name: _measure(name) for name in ("irr", "mirr", "roi", "bcr")},
    **{name: _measure(name) for name in ("payback_years", "discounted_payback_years")},
    "annual_savings": lambda found: _money(found, found.annual_savings),
    "tco_current": lambda found: _money(found, found.tco_current.total),
    "tco_proposed": lambda found: _money(found, found.tco_proposed.total),
}


def _unlike(scenarios: Sequence[Scenario]) -> list[str]:
    facts: dict[str, set[Any]] = {
        "horizons": {scenario.horizon_years for scenario in scenarios},
        "timings": {scenario.timing for scenario in scenarios},
        "discount rates": {scenario.discount_rate.central for scenario in scenarios},
        "bases of the rate": {scenario.rate_kind for scenario in scenarios},
        "tax rates": {scenario.tax_rate and scenario.tax_rate.central for scenario in scenarios},
    }
    return [
        f"The scenarios have different {name}: their values are not alike."
        for name, values in facts.items()
        if len(values) > 1
    ]


def _points(entry: Input, base: float) -> np.ndarray:
    if entry.role == "share":
        return np.linspace(0, 1, _GRID)
    if entry.role == "rate":
        return np.concatenate([np.linspace(-0.9, 1, _GRID), np.linspace(1, 10, _GRID)[1:]])
    return np.concatenate([[0.0], (base or 1.0) * np.geomspace(1e-6, 1e6, _GRID)])


def _refine(scenario: Scenario, path: str, low: float, high: float) -> float:
    for _ in range(_ZOOMS):
        points = np.linspace(low, high, _GRID)
        values = net_present_values(scenario, path, points)
        signs = np.sign(values)
        changed = np.flatnonzero(signs[1:] != signs[0])
        if len(changed) == 0 or changed[0] >= _GRID - 1:
            break
        low, high = float(points[changed[0]]), float(points[changed[0] + 1])
        if high <= np.nextafter(low, np.inf):
            break
    at_low, at_high = net_present_values(scenario, path, np.array([low, high]))
    return float(low if abs(at_low) <= abs(at_high) else high)


def _matters(scenario: Scenario, entry: Input, found: BreakEven) -> bool:
    ends = net_present_values(scenario, entry.path, np.array([found.low, found.high]))
    return bool(ends[0] != ends[1])


def _check_known(scenario: Scenario) -> None:
    unknown = [entry.path for entry in scenario.inputs() if entry.value is None]
    if unknown:
        raise BadInput([Problem(unknown[0], "This is unknown, and the analysis needs it.")])
