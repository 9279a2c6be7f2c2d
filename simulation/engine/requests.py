"""What may be asked of the engine: every limit in one place, every refusal a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulation.engine.errors import BadRequest
from simulation.engine.scenarios import SCENARIOS, Scenario

SEED_MAX = 2**63 - 1
# Pair interactions of one run: about two days of one core. More is a mistyped number.
INTERACTIONS_MAX = 10**14

QUANTITIES = ("energy", "momentum", "angular_momentum", "mass", "information")
FAULT_QUANTITIES = ("energy", "momentum", "angular_momentum", "mass")


@dataclass(frozen=True)
class Request:
    """A checked request with its defaults filled in. Made by ``check_request`` alone."""

    scenario: str
    bodies: int
    dt_tu: float
    steps: int
    seed: int


@dataclass(frozen=True)
class Fault:
    """A drill: ``momentum`` alters a body's momentum after ``step``, ``reading`` what is reported.

    ``relative_size`` is a part of the body's momentum, or of the quantity's scale: |kinetic| +
    |potential| energy, sum |x||p|, sum |p|. Whole quantities move by one unit at least.
    """

    kind: str
    step: int
    quantity: str = "momentum"
    body: int = 0
    relative_size: float = 1e-3


def find_scenario(name: str) -> Scenario:
    """Return the scenario of that name, or raise ``BadRequest``."""
    scenario = SCENARIOS.get(name)
    if scenario is None:
        raise BadRequest(f"There is no scenario {name!r}; there are {', '.join(SCENARIOS)}.")
    return scenario


def check_request(
    scenario: str,
    *,
    bodies: int | None = None,
    dt_tu: float | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Request:
    """Fill in the scenario's defaults and hold the request to its limits; raise ``BadRequest``."""
    chosen = find_scenario(scenario)
    if bodies is not None and chosen.is_fixed:
        raise BadRequest(f"The scenario {scenario} always has {chosen.bodies} bodies; give none.")
    request = Request(
        scenario,
        _whole("bodies", bodies, chosen.bodies, chosen.bodies_min, chosen.bodies_max),
        _step_size(chosen, dt_tu),
        _whole("steps", steps, chosen.steps, 1, chosen.steps_max),
        _whole("seed", seed, 0, 0, SEED_MAX),
    )
    if request.bodies**2 * request.steps > INTERACTIONS_MAX:
        raise BadRequest(
            f"{request.steps} steps of {request.bodies} bodies are more than 10^14 pair forces; "
            "ask for fewer of either."
        )
    return request


def check_fault(fault: Fault, request: Request) -> None:
    """Hold a drill to the run it belongs to; raise ``BadRequest``."""
    if fault.kind not in ("momentum", "reading"):
        raise BadRequest(f"A fault is of kind momentum or reading, not {fault.kind!r}.")
    if fault.quantity not in FAULT_QUANTITIES:
        raise BadRequest(f"A fault alters one of {', '.join(FAULT_QUANTITIES)}.")
    if fault.kind == "momentum" and fault.quantity != "momentum":
        raise BadRequest("A fault of kind momentum alters the quantity momentum.")
    _whole("the fault's step", fault.step, 1, 1, request.steps)
    _whole("the fault's body", fault.body, 0, 0, request.bodies - 1)
    size = fault.relative_size
    if not isinstance(size, int | float) or not math.isfinite(size) or not 1e-12 <= size <= 1.0:
        raise BadRequest("The fault's relative size lies between 1e-12 and 1.")


def _whole(name: str, value: int | None, default: int, low: int, high: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"{name.capitalize()} must be a whole number, not {value!r}.")
    if not low <= value <= high:
        raise BadRequest(f"{name.capitalize()} must lie between {low} and {high}, not {value}.")
    return value


def _step_size(scenario: Scenario, dt_tu: float | None) -> float:
    if dt_tu is None:
        return scenario.dt_tu
    if isinstance(dt_tu, bool) or not isinstance(dt_tu, int | float):
        raise BadRequest(f"The time step must be a number, not {dt_tu!r}.")
    # Written so that NaN is refused.
    if not scenario.dt_tu_min <= dt_tu <= scenario.dt_tu_max:
        raise BadRequest(
            f"The time step of {scenario.name} must lie between {scenario.dt_tu_min:g} and "
            f"{scenario.dt_tu_max:g}, not {str(dt_tu)[:40]}."
        )
    return float(dt_tu)
