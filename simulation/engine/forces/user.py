"""Forces that a user brings: added to gravity as integers, with the laws they break declared.

A user force is a function of positions and time. Its kick F dt is rounded to whole quanta, body by
body, and added to the kicks of gravity: still a function of the half of the state that a kick does
not change, so the step stays a bijection and every bit comes back. The time is that of the kick,
counted from step 0 in such a way that the way back meets the same number.

The laws that a force declares broken are not claimed: their verdict is UNKNOWN and names the force.
All others are verified as before, so a force that breaks one in secret is caught in that step.
Momentum is an exact law: an outer field, or one whose rounded kicks do not cancel to the quantum,
must declare it. Energy is kinetic energy, gravity's and that of ``potential``; its bound takes in
how the force changes along the motion (``bounds``), for which the function is asked at positions
beside those of the bodies too.

The longest step of a scenario knows gravity alone: a force much stronger than it asks for a shorter
one, or the energy leaves its bound and the run is stopped.

Equal digests on two machines need a function that gives equal bits there: +, -, *, / and square
roots do, sine and power may not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from conservation import Law
from simulation.engine import kernels
from simulation.engine.boundaries import add_face_variance
from simulation.engine.errors import BadRequest, OutOfRange

if TYPE_CHECKING:
    from simulation.engine.state import State

MAY_BREAK = ("energy", "momentum", "angular_momentum")
# A function in double precision is off by a few roundings: 16 units of round-off, relative to the
# force. Its work and torque widen the limits by the same rule as a multipole's error.
ROUND_OFF = 16.0 * kernels.UNIT_ROUND_OFF
_NAME_MAX = 80
_RANGE = 2.0**61

ForceFunction = Callable[[np.ndarray, np.ndarray, float], Any]


@dataclass(frozen=True)
class UserForce:
    """A force of one's own. All numbers in N-body units, float64.

    ``function(x, mass, time_tu)`` takes positions (3, N), masses (N,) and the time of the kick and
    returns the force (3, N); it must depend on nothing else, and not write to its arguments. A test
    particle has the mass by which its momentum is counted, so that a force in proportion to mass
    moves it like any body. ``potential(x, mass, time_tu)`` returns each body's potential energy
    (N,), whose sum over bodies with mass is part of the energy; None where the force has none.
    ``breaks`` names the laws it breaks: energy, momentum, angular_momentum.
    """

    name: str
    function: ForceFunction
    potential: ForceFunction | None = None
    breaks: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.strip() and self.name.isprintable()):
            raise BadRequest("A user force needs a name.")
        if len(self.name) > _NAME_MAX:
            raise BadRequest(f"The name of a user force has at most {_NAME_MAX} letters.")
        if not callable(self.function) or not (self.potential is None or callable(self.potential)):
            raise BadRequest(f"The user force {self.name!r} needs functions, not numbers.")
        unknown = sorted(set(self.breaks) - set(MAY_BREAK))
        if isinstance(self.breaks, str) or unknown:
            raise BadRequest(
                f"The user force {self.name!r} may declare broken {', '.join(MAY_BREAK)} alone."
            )
        object.__setattr__(self, "breaks", frozenset(self.breaks))

    def change_along(self, state: State) -> tuple[float, float]:
        """Return sum |v.dF/dt| and the largest |dF/dt|/(m |v|), by central differences along v."""
        x, mass, dt_tu = state.x, state.inertia.view(), state.dt_tu
        mass.flags.writeable = False
        velocity = state.p_q * state.grid.momentum_quantum / mass
        shape = (3, mass.size)
        ahead, behind = (
            _numbers(self, "force", self.function(x + way * velocity, mass, state.time_tu), shape)
            for way in (dt_tu, -dt_tu)
        )
        change = (ahead - behind) / (2.0 * dt_tu)
        along = np.abs(np.sum(velocity * change, axis=0))
        speed = np.sqrt(np.sum(velocity**2, axis=0))
        rate = np.sqrt(np.sum(change**2, axis=0))
        moving = speed > 0.0
        rate2 = np.max(rate[moving] / (mass[moving] * speed[moving]), initial=0.0)
        return math.fsum(along[state.mass > 0.0]), float(rate2)

    def __deepcopy__(self, memo: dict[int, Any]) -> UserForce:
        # A function is no part of the state: copies of a run share it.
        return self


def uniform_field(acceleration: tuple[float, float, float]) -> UserForce:
    """Return a field of constant acceleration (3,), with its potential -m g.x."""
    g = np.array(acceleration, dtype=np.float64)
    if g.shape != (3,) or not np.all(np.isfinite(g)):
        raise BadRequest("The acceleration of a uniform field has three finite components.")
    return UserForce(
        "uniform field",
        lambda x, mass, time_tu: g[:, None] * mass,
        lambda x, mass, time_tu: -mass * (g[0] * x[0] + g[1] * x[1] + g[2] * x[2]),
        frozenset({"momentum", "angular_momentum"}),
    )


def galactic_tide(vertical_frequency: float) -> UserForce:
    """Return the pull to the plane z = 0 of a galactic disc, -m nu^2 z (Heisler & Tremaine 1986).

    ``vertical_frequency`` nu in radians a time unit, nu^2 = 4 pi G rho; for comets about the Sun
    the tide's other components are ten times weaker.
    """
    if not (np.isfinite(vertical_frequency) and vertical_frequency > 0.0):
        raise BadRequest("The vertical frequency of a galactic tide is positive and finite.")
    nu2 = float(vertical_frequency) ** 2

    def pull(x: np.ndarray, mass: np.ndarray, time_tu: float) -> np.ndarray:
        force = np.zeros_like(x)
        force[2] = -nu2 * mass * x[2]
        return force

    return UserForce(
        "galactic tide",
        pull,
        lambda x, mass, time_tu: 0.5 * nu2 * mass * x[2] ** 2,
        frozenset({"momentum", "angular_momentum"}),
    )


def check_user_forces(forces: Iterable[UserForce]) -> tuple[UserForce, ...]:
    """Return the forces, or raise ``BadRequest`` where two have one name."""
    checked = tuple(forces)
    for force in checked:
        if not isinstance(force, UserForce):
            raise BadRequest(f"A user force is a UserForce, not {str(force)[:40]!r}.")
    names = [force.name for force in checked]
    if len(set(names)) != len(names):
        raise BadRequest("Two user forces have one name; give each a name of its own.")
    return checked


def broken_laws(forces: tuple[UserForce, ...]) -> dict[str, str]:
    """Return the laws that are not claimed, each with its reason."""
    reasons = {}
    for name in MAY_BREAK:
        by = [repr(force.name) for force in forces if name in force.breaks]
        if by:
            title = name.replace("_", " ")
            who = "user force" if len(by) == 1 else "user forces"
            reasons[name] = (
                f"Not claimed: the {who} {' and '.join(by)} declared that {title} is not "
                "conserved. It is neither verified nor bounded."
            )
    return reasons


def laws_with(laws: dict[str, Law], forces: tuple[UserForce, ...]) -> dict[str, Law]:
    """Return the laws with the reasons that user forces change."""
    if not forces:
        return laws
    names = ", ".join(repr(force.name) for force in forces)
    reason = (
        f"{laws['energy'].reason} The user forces ({names}) take part with their potential, in B "
        "with their change along the motion, and with the work of round-off in them."
    )
    return {**laws, "energy": replace(laws["energy"], reason=reason)}


def add_user_kicks(state: State, stage: int, time_tu: float) -> None:
    """Add the kicks of a state's user forces at its positions to ``k_q``; sum their potentials.

    Raises ``OutOfRange`` for a force that is no finite number, or too strong for the integers, and
    ``BadRequest`` for one of the wrong shape; both name it.
    """
    weight = state.method.kicks[stage]
    per_force = state.dt_tu * abs(weight) / state.grid.momentum_quantum
    x, mass = state.x.view(), state.inertia.view()
    x.flags.writeable = mass.flags.writeable = False
    energy_tu = size_tu = 0.0
    for force in state.user_forces:
        found = _numbers(force, "force", force.function(x, mass, time_tu), (3, mass.size))
        state.k_q += _whole(force, found * per_force)
        if force.potential is None:
            continue
        energy = _numbers(force, "potential", force.potential(x, mass, time_tu), (mass.size,))
        energy = np.where(state.mass > 0.0, energy, 0.0)
        energy_tu += math.fsum(energy)
        size_tu += math.fsum(np.abs(energy))
    state.field_energy_tu = energy_tu
    # A potential may have either sign: the round-off of reading it follows its size.
    state.field_scale_tu = size_tu
    state.real[kernels.ENERGY_SCALE_0] = state.energy_scale_0 + 2.0 * size_tu


def read_and_verify_with_fields(state: State, altered: np.ndarray, row: np.ndarray) -> int:
    """Do what ``kernels.read_and_verify`` does, with user forces or in a periodic box."""
    real, reading = state.real, state.reading
    state.read()
    real[kernels.SPIN_VARIANCE] += reading[kernels.SPIN_STEP_VARIANCE]
    real[kernels.ENERGY_VARIANCE] += reading[kernels.ENERGY_STEP_VARIANCE]
    add_face_variance(state)
    for drift, scale in (
        (kernels.ENERGY_DRIFT, kernels.WORK_SCALE),
        (kernels.SPIN_DRIFT, kernels.TORQUE_SCALE),
    ):
        real[drift] += real[kernels.DT] * real[kernels.FORCE_ERROR] * reading[scale]
    return state.verify_reading(altered, row)


def _numbers(force: UserForce, what: str, found: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != shape:
        raise BadRequest(
            f"The {what} of the user force {force.name!r} must be numbers of shape {shape}."
        )
    if not np.all(np.isfinite(values)):
        raise OutOfRange(f"The {what} of the user force {force.name!r} is not a finite number.")
    return values


def _whole(force: UserForce, quanta: np.ndarray) -> np.ndarray:
    if np.any(np.abs(quanta) >= _RANGE):
        raise OutOfRange(
            f"The user force {force.name!r} is too strong for the integers of this scenario; "
            "nothing overflowed."
        )
    return np.rint(quanta).astype(np.int64)
