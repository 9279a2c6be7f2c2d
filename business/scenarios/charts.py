"""What the plots of a version are drawn from: plain numbers, the same as in the tables."""

from __future__ import annotations

from typing import Any

from business.scenarios.models import ScenarioVersion
from business.scenarios.selectors import titles_of

TORNADO_MAX = 12
BENEFITS = {
    "benefit_replaced": "Replaced costs",
    "benefit_errors": "Errors avoided",
    "benefit_efficiency": "Efficiency",
    "benefit_compliance": "Compliance",
    "benefit_risk": "Reduced risk",
}


def series_of(version: ScenarioVersion) -> dict[str, Any]:
    """Return the numbers of each plot."""
    answer = version.results
    titles = titles_of(version.document)
    rows = answer["years"]
    benefits = {title: [row[key] for row in rows] for key, title in BENEFITS.items()}
    simulation = answer["simulation"] or {}
    shares = simulation.get("variance_share", {})
    return {
        "currency": answer["currency"],
        "npv": answer["npv"],
        "years": [row["year"] for row in rows],
        "benefits": {title: values for title, values in benefits.items() if any(values)},
        "costs": {
            "One-time costs": [_less(row["one_time_cost"]) for row in rows],
            "Running costs": [_less(row["running_cost"]) for row in rows],
        },
        "tax": [_less(row["tax"]) for row in rows],
        "cumulative": [row["cumulative_flow"] for row in rows],
        "fan": simulation.get("fan", []),
        "histogram": simulation.get("histogram"),
        "tornado": [
            {
                **bar,
                "title": titles.get(bar["path"], bar["path"]),
                "variance_share": shares.get(bar["path"]),
            }
            for bar in answer["tornado"][:TORNADO_MAX]
        ],
    }


def _less(amount: float | None) -> float | None:
    return None if amount is None else -amount
