"""What a document gives, as plain data that is kept with its version."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from business import roi

# What a request waits for: 0.1 to 0.3 s. More is asked for as a long simulation.
TRIALS = 200_000
# For the strip beside the form.
TRIALS_QUICK = 10_000
SEED = 1
_BINS = 60


def compute(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the base case, and the simulation, tornado and break-even values where there are any.

    Raises ``BadInput``.
    """
    scenario = roi.read_scenario(document)
    answer = roi.value_scenario(scenario).to_json()
    answer |= {"simulation": None, "tornado": [], "break_even": []}
    if answer["unknown"]:
        return answer
    answer["break_even"] = [asdict(one) for one in roi.break_evens(scenario)]
    if any(entry.is_uncertain for entry in scenario.inputs()):
        answer["tornado"] = [asdict(bar) for bar in roi.tornado(scenario)]
        answer["simulation"] = simulate(scenario, trials=TRIALS, seed=SEED)
    return answer


def simulate(
    scenario: roi.Scenario,
    *,
    trials: int,
    seed: int,
    report: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Return a simulation with its histogram between the 0.5 % and 99.5 % quantiles."""
    found = roi.simulate(scenario, trials=trials, seed=seed, report=report)
    low, high = np.quantile(found.npv, (0.005, 0.995))
    counts, edges = np.histogram(found.npv, bins=_BINS, range=(float(low), float(high)))
    return {
        **found.to_json(),
        "histogram": {
            "edges": [float(edge) for edge in edges],
            "counts": [int(count) for count in counts],
        },
    }


def preview(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the base case and the probability of a loss, quickly, for the strip beside the form.

    Raises ``BadInput``.
    """
    scenario = roi.read_scenario(document)
    answer = roi.value_scenario(scenario).to_json()
    answer["probability_of_loss"] = None
    if not answer["unknown"] and any(entry.is_uncertain for entry in scenario.inputs()):
        answer["probability_of_loss"] = roi.simulate(scenario, trials=TRIALS_QUICK, seed=SEED).loss[
            0
        ]
    return answer
