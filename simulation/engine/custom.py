"""A scenario made of bodies that a user brought, with limits derived from the bodies themselves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.errors import BadRequest
from simulation.engine.scenarios import ASTRONOMICAL_UNIT_M, SOLAR_MASS_KG, Bodies, Reach, Scenario

# How far beyond its start a run may go before its integers refuse: bodies may be thrown out, and
# come so close that the usual step is twice the pair's time sqrt(r^3/m). From what any two may come
# to, not from how close the closest two are: those may be a moon and its planet, and the integers
# that could hold a star in the moon's place would be too coarse for the moon.
_FARTHER, _CLOSER, _FASTER = 32.0, 16.0, 64.0
# Sizes with which no product of the laws leaves the range of a double; the same for units in SI.
_MASS_MIN, _SIZE_MAX = 1e-30, 1e20
_UNIT_MIN, _UNIT_MAX = 1e-50, 1e60
# Steps in the shortest time scale of any pair, and the fewest that a step may take.
_STEPS_OF_A_TIME, _STEPS_OF_A_TIME_MIN = 256.0, 8.0


@kernel
def _closest_and_fastest(position, velocity, mass, softening2):  # type: ignore[no-untyped-def]
    """Return (smallest r^2, largest (m_i + m_j)/r^3 + v^2/r^2) over pairs. O(N^2)."""
    closest2, fastest2 = np.inf, 0.0
    for i in range(mass.size):
        for j in range(i + 1, mass.size):
            r2, v2 = softening2, 0.0
            for a in range(3):
                r2 += (position[i, a] - position[j, a]) ** 2
                v2 += (velocity[i, a] - velocity[j, a]) ** 2
            closest2 = min(closest2, r2)
            fastest2 = max(fastest2, (mass[i] + mass[j]) / (r2 * np.sqrt(r2)) + v2 / r2)
    return closest2, fastest2


def scenario_from_bodies(
    bodies: Bodies,
    *,
    name: str = "custom",
    title: str = "Custom bodies",
    length_m: float = ASTRONOMICAL_UNIT_M,
    mass_kg: float = SOLAR_MASS_KG,
    softening_tu: float = 0.0,
    input_sha256: str | None = None,
) -> Scenario:
    """Return a scenario of these bodies (N-body units); its step follows from their fastest pair.

    A mass of 0 is a test particle; ``input_sha256`` is that of the file they came from, for the
    provenance of a result. O(N^2). Raises ``BadRequest`` for bodies that cannot move under a fixed
    step: none with mass, or two in one place without softening.
    """
    mass, position, velocity = bodies.mass, bodies.position, bodies.velocity
    _check(bodies, softening_tu)
    # Written so that NaN is refused.
    if not all(_UNIT_MIN <= unit <= _UNIT_MAX for unit in (length_m, mass_kg)):
        raise BadRequest("The units of length and mass must be positive, in metres and kilograms.")
    if mass.size == 1:
        closest2, fastest2 = 1.0, 1.0
    else:
        closest2, fastest2 = _closest_and_fastest(position, velocity, mass, softening_tu**2)
    if not closest2 >= _SIZE_MAX**-2 or not math.isfinite(fastest2):
        raise BadRequest("Two bodies are in the same place; give a softening or move one of them.")
    time_tu = 1.0 / math.sqrt(fastest2)
    limits: dict[str, Any] = {
        "name": name,
        "title": title,
        "length_m": length_m,
        "mass_kg": mass_kg,
        "softening": softening_tu,
        "bodies": int(mass.size),
        "dt_tu": 2.0 ** math.floor(math.log2(time_tu / _STEPS_OF_A_TIME)),
        "dt_tu_max": 2.0 ** math.floor(math.log2(time_tu / _STEPS_OF_A_TIME_MIN)),
        "length": _FARTHER * max(float(np.max(np.abs(position))), math.sqrt(closest2)),
        "speed": _FASTER * max(float(np.max(np.abs(velocity))), math.sqrt(float(np.sum(mass)))),
        "mass_max": float(np.max(mass)),
        "mass2_max": _largest_product(mass),
    }
    if input_sha256 is not None:
        limits["input_sha256"] = input_sha256
    # A lighter pair may come closer; but m_i m_j / r^2 is largest for the heaviest two.
    limits["closest"] = math.cbrt(limits["mass_max"] * limits["dt_tu_max"] ** 2) / _CLOSER
    return scenario_of_limits(limits, bodies)


def _check(bodies: Bodies, softening_tu: float) -> None:
    mass, position, velocity = bodies.mass, bodies.position, bodies.velocity
    if not (mass.shape == (len(bodies.names),) and position.shape == velocity.shape):
        raise BadRequest("Each body needs a name, a mass, a position and a velocity.")
    if position.shape != (mass.size, 3):
        raise BadRequest("Positions and velocities need three components for each body.")
    if not np.any(mass > 0.0):
        raise BadRequest("At least one body must have a mass.")
    sizes = np.abs(np.concatenate([mass, position.ravel(), velocity.ravel(), [softening_tu]]))
    if not np.all(np.isfinite(sizes)) or np.any(mass < 0.0) or softening_tu < 0.0:
        raise BadRequest(
            "Masses and softening must be finite and not negative, positions and velocities finite."
        )
    if np.max(sizes) > _SIZE_MAX or np.min(mass[mass > 0.0]) < _MASS_MIN:
        raise BadRequest(
            "No mass, coordinate, speed or softening may be over 1e20, and no mass but 0 below "
            "1e-30; choose other units."
        )


def _largest_product(mass: np.ndarray) -> float:
    """Return the largest m_i m_j of two bodies, test particles counted as ``state`` does."""
    heavy = np.sort(mass[mass > 0.0])[-2:]
    return float(heavy[0] * heavy[-1])


def scenario_of_limits(limits: dict[str, Any], bodies: Bodies | None = None) -> Scenario:
    """Return the custom scenario of ``limits_of``; without bodies it cannot build a start."""

    def build(count: int, seed: int) -> Bodies:
        if bodies is None:
            raise BadRequest("The bodies of this run are in its snapshots alone.")
        return bodies

    def reach(count: int, softening_tu: float) -> Reach:
        # A little less: two bodies in one place, softened, must lie below the bound, not on it.
        nearest = 0.999 * max(limits["closest"], softening_tu)
        product = limits["mass2_max"]
        momentum = limits["mass_max"] * limits["speed"]
        return Reach(limits["length"], momentum, product / nearest**2, product / nearest)

    return Scenario(
        name=limits["name"],
        title=limits["title"],
        description="Bodies that a user brought.",
        length_m=limits["length_m"],
        mass_kg=limits["mass_kg"],
        softening=lambda count: limits["softening"],
        dt_tu=limits["dt_tu"],
        dt_tu_min=limits["dt_tu"] * 2.0**-30,
        dt_tu_max=limits["dt_tu_max"],
        steps=16_384,
        bodies=limits["bodies"],
        bodies_min=limits["bodies"],
        bodies_max=limits["bodies"],
        build=build,
        reach=reach,
        limits=limits,
    )
