"""Scenarios for the tests: one with everything, as a document."""

import copy

from hypothesis import settings

# A shared machine may be slow: no example fails for its time.
UNTIMED = settings(deadline=None)

FULL = {
    "name": "Fraud screening",
    "currency": "EUR",
    "horizon_years": 5,
    "discount_rate": 0.08,
    "inflation": 0.02,
    "tax_rate": 0.25,
    "depreciation_years": 3,
    "ramp_up": [0.5, 0.9, 1],
    "current_costs": [
        {
            "name": "rules engine",
            "annual": {"low": 180000, "likely": 200000, "high": 260000},
            "growth": 0.01,
            "replaced_share": 0.8,
        }
    ],
    "one_time_costs": [
        {
            "name": "build",
            "amount": {
                "distribution": "triangular",
                "low": 300000,
                "likely": 350000,
                "high": 600000,
            },
        },
        {"name": "second site", "amount": 50000, "year": 2},
    ],
    "running_costs": [{"name": "licences", "annual": 90000, "growth": 0.03}],
    "benefits": [
        {
            "kind": "errors",
            "name": "false alarms",
            "errors_per_year": {"low": 800, "likely": 1000, "high": 1500},
            "avoided_share": {"distribution": "uniform", "low": 0.2, "high": 0.5},
            "cost_per_error": {"distribution": "lognormal", "p5": 50, "p95": 400},
        },
        {
            "kind": "efficiency",
            "name": "case work",
            "baseline_cost": 400000,
            "gain_share": {"low": 0.02, "likely": 0.05, "high": 0.1},
        },
        {"kind": "compliance", "name": "audits", "annual_savings": 15000},
    ],
    "risks": [
        {
            "name": "breach",
            "threat_events_per_year": {"low": 0.5, "likely": 1, "high": 4},
            "vulnerability": 0.1,
            "loss_per_event": {"distribution": "lognormal", "p5": 50000, "p95": 2000000},
            "reduction_share": {"low": 0.1, "likely": 0.3, "high": 0.5},
        }
    ],
    "correlations": [
        {
            "between": ["benefits.0.errors_per_year", "benefits.0.cost_per_error"],
            "rank": -0.4,
        }
    ],
}


def full(**changes):
    """Return a copy with some keys changed; a key that is None is left out."""
    document = {**copy.deepcopy(FULL), **changes}
    return {key: value for key, value in document.items() if value is not None}


def certain(**changes):
    """Return a plain one: 1000 now, 300 a year for five years, at 10 %."""
    document = {
        "name": "plain",
        "currency": "USD",
        "horizon_years": 5,
        "discount_rate": "0.1",
        "one_time_costs": [{"name": "build", "amount": 1000}],
        "benefits": [{"kind": "compliance", "name": "saved", "annual_savings": 300}],
    }
    return {**document, **changes}
