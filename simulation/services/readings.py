"""What a run tells monitoring and its plots: its quantities in SI, each with its limit."""

from __future__ import annotations

import math
from typing import Any

from monitoring.readings import UNITS
from monitoring.services import QuantityReading
from simulation import engine


def readings_of(state: engine.State) -> list[QuantityReading]:
    """Return energy, momentum and information of the last verified state."""
    return [
        QuantityReading(
            quantity=name,
            unit=UNITS[name],
            value=now["value"],
            balance=now["balance"],
            limit=now["limit"],
            law=str(state.laws[name].kind),
            verdict=now["verdict"],
        )
        for name, now in engine.live(state).items()
    ]


def readings_at_the_end(
    state: engine.State, violation: engine.Violation | None
) -> list[QuantityReading]:
    """Return the last readings of a run; the broken law's is what was found, not what was rolled
    back to.

    One fault may break several laws in its step. It is one event, so one reading says VIOLATED; the
    run names the other laws.
    """
    if violation is None:
        return readings_of(state)
    broken = {violation.quantity, *violation.also_broken}
    others = [reading for reading in readings_of(state) if reading.quantity not in broken]
    return [*others, _broken_reading(violation)]


def _broken_reading(violation: engine.Violation) -> QuantityReading:
    found = violation.found
    return QuantityReading(
        quantity=violation.quantity,
        unit=UNITS[violation.quantity],
        value=math.hypot(*found) if isinstance(found, tuple) else found,
        balance=violation.error,
        limit=violation.limit,
        law=violation.law,
        verdict="VIOLATED",
    )


def describe_series(state: engine.State) -> dict[str, dict[str, Any]]:
    """Return the series of a state for the plots, as plain values."""
    return {
        name: {
            "unit": state.laws[name].quantity.unit,
            "law": str(state.laws[name].kind),
            "step": series.step.tolist(),
            "time_s": series.time_s.tolist(),
            "error": series.error.tolist(),
            "limit": series.limit.tolist(),
        }
        for name, series in engine.series(state).items()
    }
