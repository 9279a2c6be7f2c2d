"""Published reference problems: what a textbook or a manual prints, to the digits that it prints.

The documentation's table is made from this list, and a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from business import roi

EXCEL = "Microsoft, Excel 97 worksheet function reference"
NUMPY = "numpy-financial 1.0 reference"


@dataclass(frozen=True)
class Problem:
    name: str
    source: str
    measure: str
    flows: tuple[str | int | float, ...]
    published: float | tuple[float, ...]
    decimals: int
    rate: str = "0.1"
    options: dict = field(default_factory=dict)

    def ours(self) -> float | tuple[float, ...]:
        measures = roi.measure(roi.read_flows(self.flows), Decimal(self.rate), **self.options)
        found = getattr(measures, self.measure)
        return float(found) if isinstance(found, Decimal) else found

    def differences(self) -> list[float]:
        ours, published = self.ours(), self.published
        if isinstance(published, tuple):
            assert len(ours) == len(published)
            return [a - b for a, b in zip(ours, published, strict=True)]
        return [ours - published]


def excel(name: str) -> str:
    return f"{EXCEL}, {name}"


MIRR = (-120000, 39000, 30000, 21000, 37000, 46000)
IRR = (-70000, 12000, 15000, 18000, 21000, 26000)
_RATES = {"finance_rate": Decimal("0.10"), "reinvest_rate": Decimal("0.12")}
PROBLEMS = (
    # Excel's NPV puts its first value at the end of year 1: a zero stands before it.
    Problem("NPV example 1", excel("NPV"), "npv", (0, -10000, 3000, 4200, 6800), 1188.44, 2),
    Problem(
        "the same, first flow now", excel("NPV"), "npv", (-10000, 3000, 4200, 6800), 1307.29, 2
    ),
    Problem(
        "NPV example 2",
        excel("NPV"),
        "npv",
        (-40000, 8000, 9200, 10000, 12000, 14500),
        1922.06,
        2,
        rate="0.08",
    ),
    Problem(
        "NPV example 2, loss in year 6",
        excel("NPV"),
        "npv",
        (-40000, 8000, 9200, 10000, 12000, 14500, -9000),
        -3749.47,
        2,
        rate="0.08",
    ),
    Problem("IRR after five years", excel("IRR"), "irr", IRR, 0.0866, 4),
    Problem("IRR after four years", excel("IRR"), "irr", IRR[:5], -0.0212, 4),
    Problem("IRR after two years", excel("IRR"), "irr", IRR[:3], -0.4435, 4),
    Problem("MIRR after five years", excel("MIRR"), "mirr", MIRR, 0.1261, 4, options=_RATES),
    Problem("MIRR after three years", excel("MIRR"), "mirr", MIRR[:4], -0.0480, 4, options=_RATES),
    Problem(
        "MIRR, reinvested at 14 %",
        excel("MIRR"),
        "mirr",
        MIRR,
        0.1348,
        4,
        options={**_RATES, "reinvest_rate": Decimal("0.14")},
    ),
    Problem("irr, first", f"{NUMPY}, irr", "irr", (-100, 39, 59, 55, 20), 0.28095, 5),
    Problem("irr, late inflow", f"{NUMPY}, irr", "irr", (-100, 0, 0, 74), -0.0955, 4),
    Problem("irr, late outflow", f"{NUMPY}, irr", "irr_roots", (-100, 100, 0, 7), (0.06206,), 5),
    Problem(
        "npv",
        f"{NUMPY}, npv",
        "npv",
        (-40000, 5000, 8000, 12000, 30000),
        3065.22267,
        5,
        rate="0.08",
    ),
    Problem(
        "oil pump, two roots",
        "Lorie, Savage: Three Problems in Rationing Capital, J. Business 28 (1955)",
        "irr_roots",
        (-1600, 10000, -10000),
        (0.25, 4.0),
        2,
    ),
    Problem(
        "two roots",
        "Hirshleifer: On the Theory of Optimal Investment Decision, J. Pol. Economy 66 (1958)",
        "irr_roots",
        (-1, 5, -6),
        (1.0, 2.0),
        2,
    ),
    Problem(
        "no root",
        "Hirshleifer: On the Theory of Optimal Investment Decision, J. Pol. Economy 66 (1958)",
        "irr_roots",
        (-1, 3, "-2.5"),
        (),
        2,
    ),
)
