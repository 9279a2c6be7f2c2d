"""What may be asked of the engine: every limit in one place, every refusal a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulation.engine.errors import BadRequest
from simulation.engine.integrators import INTEGRATORS, REAL_METHODS, Composition
from simulation.engine.scenarios import SCENARIOS, Scenario

SEED_MAX = 2**63 - 1
# Pair interactions of one run: about two days of one core. More is a mistyped number.
INTERACTIONS_MAX = 10**14
# The same of a fast multipole force, some 2 microseconds a body and step.
BODY_STEPS_MAX = 10**11

QUANTITIES = ("energy", "momentum", "angular_momentum", "mass", "information")
COLLISIONS = ("bounce", "merge")
BOUNDARIES = ("open", "periodic")
BOX_MIN, BOX_MAX = 2.0**-20, 2.0**40
FORCES = ("direct", "fmm")
# The rms relative error of the force that each preset of the fast multipole method guarantees.
ACCURACIES = (1e-3, 1e-4, 1e-5)
_ACCURACY = 1e-4

FAULT_QUANTITIES = ("energy", "momentum", "angular_momentum", "mass")


@dataclass(frozen=True)
class Request:
    """A checked request with its defaults filled in. Made by ``check_request`` alone.

    Everything that the result depends on. ``accuracy`` is None for direct summation; ``radius``
    (one for all bodies or one each, N-body units) and ``restitution`` belong to ``collisions``,
    ``box`` (the side, a power of two) to the boundary periodic;
    ``custom`` is the scenario where it is none of ``SCENARIOS``.
    """

    scenario: str
    bodies: int
    dt_tu: float
    steps: int
    seed: int
    integrator: str = "leapfrog"
    force: str = "direct"
    accuracy: float | None = None
    softening: float | None = None
    collisions: str | None = None
    restitution: float | None = None
    radius: float | tuple[float, ...] | None = None
    boundary: str = "open"
    box: float | None = None
    custom: Scenario | None = field(default=None, repr=False, compare=False)

    @property
    def definition(self) -> Scenario:
        """The scenario's units, limits and title."""
        return self.custom if self.custom is not None else SCENARIOS[self.scenario]

    @property
    def softening_tu(self) -> float:
        """The softening length: the one asked for, or the scenario's."""
        if self.softening is not None:
            return self.softening
        return self.definition.softening(self.bodies)

    @property
    def is_reversible(self) -> bool:
        """Whether its steps can be run backwards bit for bit: on integers, without collisions."""
        return self.integrator not in REAL_METHODS and self.collisions is None

    @property
    def runs_on_one_process(self) -> bool:
        """Whether its forces cannot be shared out among processes."""
        return self.integrator in REAL_METHODS

    @property
    def evaluations(self) -> int:
        """Force evaluations of a step."""
        return INTEGRATORS[self.integrator].stages

    def to_json(self) -> dict[str, Any]:
        """Return what ``check_request`` takes, by name, without a custom scenario."""
        return {name: value for name, value in vars(self).items() if name != "custom"}


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
    scenario = SCENARIOS.get(name) if isinstance(name, str) else None
    if scenario is None:
        raise BadRequest(f"There is no scenario {shown(name)}; there are {', '.join(SCENARIOS)}.")
    return scenario


def check_request(
    scenario: str | Scenario,
    *,
    bodies: int | None = None,
    dt_tu: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    integrator: str = "leapfrog",
    force: str = "direct",
    accuracy: float | None = None,
    softening: float | None = None,
    collisions: str | None = None,
    restitution: float | None = None,
    radius: float | Sequence[float] | None = None,
    boundary: str = "open",
    box: float | None = None,
) -> Request:
    """Fill in the scenario's defaults and hold the request to its limits; raise ``BadRequest``.

    ``softening`` is a length in N-body units; None takes the scenario's. ``collisions`` is None,
    bounce (with a ``restitution`` of 0 to 1, else 1) or merge, for bodies with a ``radius``: one
    length, or one for each body. ``boundary`` is open, or periodic in a ``box`` of that side, a
    power of two, about the origin.
    """
    chosen = scenario if isinstance(scenario, Scenario) else find_scenario(scenario)
    if bodies is not None and chosen.is_fixed:
        raise BadRequest(
            f"The scenario {chosen.name} always has {chosen.bodies} bodies; give none."
        )
    if not isinstance(integrator, str) or integrator not in INTEGRATORS:
        raise BadRequest(
            f"There is no integrator {shown(integrator)}; there are {', '.join(INTEGRATORS)}."
        )
    request = Request(
        chosen.name,
        _whole("bodies", bodies, chosen.bodies, chosen.bodies_min, chosen.bodies_max),
        _step_size(chosen, dt_tu),
        _whole("steps", steps, chosen.steps, 1, chosen.steps_max),
        _whole("seed", seed, 0, 0, SEED_MAX),
        integrator,
        force,
        _accuracy(force, accuracy),
        _softening(softening),
        *_collisions(collisions, restitution, radius, bodies or chosen.bodies),
        *_boundary(boundary, box),
        chosen if chosen.limits is not None else None,
    )
    _check_method(request)
    _check_collisions(request)
    _check_boundary(request)
    _check_size(request)
    return request


def shown(value: object) -> str:
    """Return a value as a refusal shows it, whatever it is."""
    try:
        return repr(value)[:40]
    except ValueError:
        # Python writes no integer of more than 4300 digits.
        return "a number of thousands of digits"


def _accuracy(force: str, accuracy: float | None) -> float | None:
    if force not in FORCES:
        raise BadRequest(f"The force is one of {', '.join(FORCES)}, not {shown(force)}.")
    if force == "direct":
        if accuracy is not None:
            raise BadRequest("Direct summation is exact; an accuracy belongs to the force fmm.")
        return None
    if accuracy is None:
        return _ACCURACY
    if accuracy not in ACCURACIES:
        offered = ", ".join(f"{known:g}" for known in ACCURACIES)
        raise BadRequest(f"The accuracy of fmm is one of {offered}, not {shown(accuracy)}.")
    return float(accuracy)


def _softening(softening: float | None) -> float | None:
    if softening is None:
        return None
    if isinstance(softening, bool) or not isinstance(softening, int | float):
        raise BadRequest(f"The softening must be a length, not {shown(softening)}.")
    # Written so that NaN is refused.
    if not (softening == 0 or 1e-6 <= softening <= 1e3):
        raise BadRequest(
            f"The softening must be 0 or lie between 1e-6 and 1000, not {shown(softening)}."
        )
    return float(softening)


def _collisions(
    kind: str | None,
    restitution: float | None,
    radius: float | Sequence[float] | None,
    bodies: int,
) -> tuple[str | None, float | None, float | tuple[float, ...] | None]:
    if kind is None:
        if restitution is not None or radius is not None:
            raise BadRequest("A radius or a restitution goes with collisions: bounce or merge.")
        return None, None, None
    if kind not in COLLISIONS:
        raise BadRequest(f"Collisions are {' or '.join(COLLISIONS)}, not {str(kind)[:40]!r}.")
    if kind == "merge" and restitution is not None:
        raise BadRequest("Bodies that merge have no restitution; that belongs to bounce.")
    if kind == "bounce":
        restitution = 1.0 if restitution is None else _number("The restitution", restitution)
        if not 0.0 <= restitution <= 1.0:
            raise BadRequest(f"The restitution must lie between 0 and 1, not {restitution:g}.")
    if radius is None:
        raise BadRequest("Collisions need a radius: one for all bodies, or one for each.")
    return kind, restitution, _radius(radius, bodies)


def _radius(radius: float | Sequence[float], bodies: int) -> float | tuple[float, ...]:
    if isinstance(radius, int | float):
        given: tuple[float, ...] = (_number("A radius", radius),)
    elif isinstance(radius, str):
        raise BadRequest(f"A radius must be a number, not {radius[:40]!r}.")
    else:
        given = tuple(_number("A radius", value) for value in radius)
        if len(given) != bodies:
            raise BadRequest(f"{len(given)} radii do not go with {bodies} bodies.")
    for value in given:
        # Written so that NaN is refused.
        if not 0.0 < value < math.inf:
            raise BadRequest(f"A radius must be positive and finite, not {value:g}.")
    return given[0] if isinstance(radius, int | float) else given


def _number(name: str, value: object) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.floating):
        raise BadRequest(f"{name} must be a number, not {str(value)[:40]!r}.")
    return float(value)


def _boundary(boundary: str, box: float | None) -> tuple[str, float | None]:
    if boundary not in BOUNDARIES:
        raise BadRequest(
            f"The boundary is one of {', '.join(BOUNDARIES)}, not {str(boundary)[:40]!r}."
        )
    if boundary == "open":
        if box is not None:
            raise BadRequest("Open space has no box; a box goes with the boundary periodic.")
        return boundary, None
    if box is None:
        raise BadRequest("The boundary periodic needs a box: its side, a power of two.")
    side = _number("The side of the box", box)
    # Written so that NaN is refused.
    if not (BOX_MIN <= side <= BOX_MAX and math.frexp(side)[0] == 0.5):
        raise BadRequest(
            f"The side of the box must be a power of two between 2^-20 and 2^40, not {side:g}."
        )
    return boundary, side


def _check_boundary(request: Request) -> None:
    if request.box is None:
        return
    if request.force != "direct":
        raise BadRequest("A periodic box goes with the force direct: fmm knows no images.")
    if request.collisions is not None:
        raise BadRequest("Collisions and a periodic box do not go together yet; give one of them.")
    if not isinstance(INTEGRATORS.get(request.integrator), Composition):
        raise BadRequest(
            "A periodic box goes with an integrator on integers: leapfrog or one of Yoshida."
        )


def _check_collisions(request: Request) -> None:
    if request.collisions is not None and request.force != "direct":
        raise BadRequest("Collisions go with the force direct, whose energy bound they need.")
    if request.collisions is not None and not isinstance(
        INTEGRATORS.get(request.integrator), Composition
    ):
        raise BadRequest(
            "Collisions go with an integrator on integers: leapfrog or one of Yoshida."
        )


def _check_method(request: Request) -> None:
    if request.integrator in REAL_METHODS:
        _check_real_method(request)
    if request.force == "fmm" and request.integrator != "leapfrog":
        raise BadRequest(
            "The force fmm goes with the integrator leapfrog: a higher order would be lost in the "
            "error of its forces."
        )


def _check_real_method(request: Request) -> None:
    if request.force != "direct" or request.collisions is not None:
        raise BadRequest(
            f"The integrator {request.integrator} goes with the force direct, without collisions."
        )
    method = REAL_METHODS[request.integrator]
    method.check_size(request.bodies)
    definition = request.definition
    if definition.limits is None:
        method.check(definition.build(request.bodies, request.seed).mass, request.softening_tu)


def _check_size(request: Request) -> None:
    if request.force == "fmm":
        if request.bodies * request.steps > BODY_STEPS_MAX:
            raise BadRequest(
                f"{request.steps} steps of {request.bodies} bodies are more than 10^11 steps of a "
                "body; ask for fewer of either."
            )
    elif request.bodies**2 * request.steps * request.evaluations > INTERACTIONS_MAX:
        raise BadRequest(
            f"{request.steps} steps of {request.bodies} bodies are more than 10^14 pair forces; "
            "ask for fewer of either, or for the force fmm."
        )


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
        raise BadRequest(f"{name.capitalize()} must be a whole number, not {shown(value)}.")
    if not low <= value <= high:
        raise BadRequest(
            f"{name.capitalize()} must lie between {low} and {high}, not {shown(value)}."
        )
    return value


def _step_size(scenario: Scenario, dt_tu: float | None) -> float:
    if dt_tu is None:
        return scenario.dt_tu
    if isinstance(dt_tu, bool) or not isinstance(dt_tu, int | float):
        raise BadRequest(f"The time step must be a number, not {shown(dt_tu)}.")
    # Written so that NaN is refused.
    if not scenario.dt_tu_min <= dt_tu <= scenario.dt_tu_max:
        raise BadRequest(
            f"The time step of {scenario.name} must lie between {scenario.dt_tu_min:g} and "
            f"{scenario.dt_tu_max:g}, not {shown(dt_tu)}."
        )
    return float(dt_tu)
