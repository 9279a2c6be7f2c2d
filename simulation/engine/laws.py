"""The verdicts on a run's five laws, and their numbers in SI.

Exact laws compare Python integers; the limits of the others come from the kernel, which derives
them at each step from the state (see ``kernels``). The reasons below are shown to people.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from conservation import Kind, Law, Reading, Status, Value, Verdict, verify
from simulation.engine import kernels
from simulation.engine.requests import QUANTITIES
from simulation.engine.run_state import RunState
from simulation.engine.series import Series

_BITS = (
    (kernels.BROKE_MOMENTUM, "momentum"),
    (kernels.BROKE_MASS, "mass"),
    (kernels.BROKE_ENERGY, "energy"),
    (kernels.BROKE_SPIN, "angular_momentum"),
)


@dataclass(frozen=True)
class Violation:
    """A law that one step broke. Numbers in SI; vectors are tuples. That step was undone."""

    step: int
    quantity: str
    also_broken: tuple[str, ...]
    law: str
    expected: float | tuple[float, ...]
    found: float | tuple[float, ...]
    error: float
    limit: float
    unit: str
    sentence: str


def unit_si(state: RunState, quantity: str) -> float:
    """Return the size in SI of one N-body unit of a quantity (1 for bits)."""
    scenario = state.definition
    return {
        "energy": scenario.energy_J,
        "momentum": scenario.momentum_kg_m_per_s,
        "angular_momentum": scenario.angular_momentum_kg_m2_per_s,
        "mass": scenario.mass_kg,
        "information": 1.0,
    }[quantity]


def describe_violation(state: RunState, outcome: int, mass_error: int = 0) -> Violation:
    """Name every law that the refused step broke, from the readings that it left behind."""
    broken = [name for bit, name in _BITS if outcome & bit]
    for name in broken:
        verdict = _violated(state, name, mass_error)
        state.broken[name] = asdict(_in_si(state, name, verdict, broken))
    return Violation(**state.broken[broken[0]])


def _violated(state: RunState, name: str, mass_error: int) -> Verdict:
    law = state.laws[name]
    if name == "mass":
        return _verify(state, law, state.mass_q(), state.mass_q() + mass_error)
    law = law.with_tolerance(state.limit_refused(name))
    start, end, flux = state.reference(name), state.found(name), state.flux_tu.get(name, 0)
    if isinstance(start, tuple) and not isinstance(end, tuple):
        # Only the length of the error was kept.
        with_flux = zip(start, flux, strict=True) if isinstance(flux, tuple) else None
        start = math.hypot(*([s + f for s, f in with_flux] if with_flux else start))
        flux = 0
    return _verify(state, law, start, end, flux)


def _verify(state: RunState, law: Law, start: Any, end: Any, flux: Value = 0) -> Verdict:
    return verify(
        law,
        Reading(law.quantity, start, 0.0, "engine"),
        Reading(law.quantity, end, state.time_tu, "engine"),
        flux,
    )


def _in_si(state: RunState, name: str, verdict: Verdict, broken: list[str]) -> Violation:
    unit = unit_si(state, name) * _quantum(state, name)
    expected, found = _scaled(verdict.expected, unit), _scaled(verdict.found, unit)
    error = float(verdict.error or 0) * unit
    law = verdict.law
    title = name.replace("_", " ")
    # The states themselves differ too little to print: the error says it.
    sentence = (
        f"The {law.kind} law of {title} broke in step {state.step + 1}: off by {error:.6g} "
        f"{law.quantity.unit}, limit {float(verdict.limit) * unit:.6g} {law.quantity.unit}."
    )
    others = tuple(other for other in broken if other != name)
    return Violation(
        state.step + 1,
        name,
        others,
        str(law.kind),
        expected,
        found,
        error,
        float(verdict.limit) * unit,
        law.quantity.unit,
        sentence,
    )


def _scaled(value: Any, unit: float) -> Any:
    if isinstance(value, tuple):
        return tuple(float(component) * unit for component in value)
    return float(value) * unit


def _quantum(state: RunState, name: str) -> float:
    """Return what one unit of a law's value is in N-body units: exact laws count quanta."""
    if name == "momentum":
        return state.momentum_unit_tu
    return math.ldexp(1.0, state.mass_exponent) if name == "mass" else 1.0


def verdicts(state: RunState) -> dict[str, Verdict]:
    """Return the verdict on each law between step 0 and the current, verified step.

    Values are integers for exact laws (quanta, bits), N-body units for the others.
    """
    return {name: _verdict(state, name) for name in QUANTITIES}


def _verdict(state: RunState, name: str) -> Verdict:
    law = state.laws[name]
    if name in state.unclaimed:
        law = replace(law, reason=state.unclaimed[name])
        reading = Reading(law.quantity, None, state.time_tu, "engine")
        found = state.value(name) if name in state.tracks else None
        return replace(verify(law, reading, None), found=found, reason=law.reason)
    if name == "mass":
        return _verify(state, law, state.mass_0_q, state.mass_q())
    if name == "information":
        return _verify(state, law, state.state_bits, information_bits(state))
    if law.kind is not Kind.EXACT:
        law = law.with_tolerance(state.limit(name))
    flux = state.flux_tu.get(name, 0)
    return _verify(state, law, state.reference(name), state.value(name), flux)


def information_bits(state: RunState) -> int | None:
    """Return the bits known to be kept over the whole run; None where not all is known.

    A retrace that missed shows that at least one bit is gone; how many more is not known.
    """
    if not state.is_reversible and state.step:
        return None
    if state.information_lost:
        return state.state_bits - 1
    return state.state_bits if state.proved_steps >= state.step else None


def summary(state: RunState) -> dict[str, dict[str, Any]]:
    """Return the numbers of each law over the whole run, in SI, ready for JSON.

    ``initial`` and ``final`` of a vector are its length. ``limit`` is the one in force at the step
    of ``max_abs_error``; ``worst_margin`` is the largest error/limit of any step. Relative errors
    are against |initial|, or for vectors against the sum of the bodies' magnitudes (totals may be
    zero).
    """
    now = verdicts(state)
    return {name: _summary_of(state, name, now[name]) for name in QUANTITIES}


def _summary_of(state: RunState, name: str, verdict: Verdict) -> dict[str, Any]:
    unit = unit_si(state, name) * _quantum(state, name)
    found: dict[str, Any] = {
        "unit": verdict.law.quantity.unit,
        "initial": _length(_initial(state, verdict), unit),
        "final": _length(verdict.found, unit),
        **_extremes(state, name, verdict, unit),
        "law": str(verdict.law.kind),
        "verdict": str(verdict.status),
        "reason": verdict.law.reason,
    }
    if verdict.law.sources_and_sinks:
        flux = state.flux_tu.get(name, 0.0)
        components = flux if isinstance(flux, tuple) else (flux,)
        found["flux"] = [float(component) * unit for component in components]
    if name == "information":
        found["proved_steps"] = state.proved_steps
    violation = state.broken.get(name)
    if violation is not None:
        found["final"] = _length(violation["found"], 1.0)
        found["max_abs_error"], found["limit"] = violation["error"], violation["limit"]
        found["worst_step"], found["worst_margin"] = violation["step"], None
        found["verdict"] = str(Status.VIOLATED)
    scale = _scale(state, name) * unit_si(state, name)
    error = found["max_abs_error"]
    found["max_rel_error"] = None if error is None else (error / scale if scale else 0.0)
    return found


def _initial(state: RunState, verdict: Verdict) -> Any:
    """Return the value at step 0, which the verdict's expectation is only without a flux."""
    law = verdict.law
    return state.reference(law.quantity.name) if law.sources_and_sinks else verdict.expected


def _extremes(state: RunState, name: str, verdict: Verdict, unit: float) -> dict[str, Any]:
    if name in state.unclaimed:
        return dict.fromkeys(("max_abs_error", "limit", "worst_margin", "worst_step"))
    if name not in state.tracks:
        error = None if verdict.error is None else float(verdict.error) * unit
        return {
            "max_abs_error": error,
            "max_rel_error": None,
            "limit": 0.0,
            "worst_margin": verdict.margin,
            "worst_step": state.step,
        }
    track = state.tracks[name]
    _, error, limit = track.largest
    return {
        "max_abs_error": abs(error) * unit,
        "max_rel_error": None,
        "limit": limit * unit,
        "worst_margin": track.worst_margin,
        "worst_step": track.worst_step,
    }


def _scale(state: RunState, name: str) -> float:
    """Return what an error is held against, in N-body units."""
    if name == "mass":
        return float(np.sum(state.mass))
    return float(state.state_bits) if name == "information" else state.scale_tu(name)


def _length(value: Any, unit: float) -> float | None:
    if value is None:
        return None
    components = value if isinstance(value, tuple | list) else (value,)
    if len(components) == 1:
        return float(components[0]) * unit
    return math.hypot(*(float(component) for component in components)) * unit


def series(state: RunState) -> dict[str, Series]:
    """Return error and limit along the run for each quantity that the kernel reads, in SI."""
    return {name: _series_of(state, name) for name in state.tracks if name not in state.unclaimed}


def _series_of(state: RunState, name: str) -> Series:
    step, error, limit = state.tracks[name].arrays()
    unit = unit_si(state, name) * _quantum(state, name)
    time_s = step * (state.dt_tu * state.definition.time_s)
    return Series(step, time_s, error * unit, limit * unit)


def live(state: RunState) -> dict[str, dict[str, Any]]:
    """Return energy, momentum and information now, in SI, each with its limit and verdict."""
    now = verdicts(state)
    return {
        name: _live_of(state, name, now[name]) for name in ("energy", "momentum", "information")
    }


def _live_of(state: RunState, name: str, verdict: Verdict) -> dict[str, Any]:
    unit = unit_si(state, name) * _quantum(state, name)
    broken = state.broken.get(name)
    error = None if verdict.error is None else float(verdict.error) * unit
    return {
        "unit": verdict.law.quantity.unit,
        "value": _length(verdict.found, unit),
        "balance": broken["error"] if broken else error,
        "limit": broken["limit"] if broken else float(verdict.limit) * unit,
        "margin": None if broken else verdict.margin,
        "verdict": str(Status.VIOLATED if broken else verdict.status),
    }
