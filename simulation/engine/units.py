"""Systems of units, and numbers carried from one to another.

Three are offered: SI; astronomical units, solar masses and Julian years; and N-body units, in which
G = 1 and a scenario names its length and its mass. A system is three SI sizes, and everything else
follows from them.

>>> from simulation.engine import units
>>> round(float(units.convert(1.0, "velocity", units.AU_MSUN_YR, units.SI)), 2)
4740.47
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulation.engine.errors import BadRequest
from simulation.engine.scenarios import (
    ASTRONOMICAL_UNIT_M,
    GRAVITATIONAL_CONSTANT,
    SOLAR_MASS_KG,
    Bodies,
    Scenario,
)

JULIAN_YEAR_S = 365.25 * 86_400.0  # IAU, exact

# Powers of length, mass and time.
_DIMENSIONS: dict[str, tuple[int, int, int]] = {
    "length": (1, 0, 0),
    "mass": (0, 1, 0),
    "time": (0, 0, 1),
    "velocity": (1, 0, -1),
    "acceleration": (1, 0, -2),
    "momentum": (1, 1, -1),
    "angular_momentum": (2, 1, -1),
    "force": (1, 1, -2),
    "energy": (2, 1, -2),
}


@dataclass(frozen=True)
class UnitSystem:
    """The sizes in SI of the units of length, mass and time."""

    name: str
    length_m: float
    mass_kg: float
    time_s: float

    def __post_init__(self) -> None:
        for size in (self.length_m, self.mass_kg, self.time_s):
            # Written so that NaN is refused.
            if not 0.0 < size < math.inf:
                raise BadRequest(
                    f"The units {self.name!r} need positive finite sizes, not {str(size)[:40]}."
                )

    @property
    def gravitational_constant(self) -> float:
        """G in these units."""
        return GRAVITATIONAL_CONSTANT / self.size_si_of(3, -1, -2)

    def size_si_of(self, length: int, mass: int, time: int) -> float:
        """Return length_m^length mass_kg^mass time_s^time."""
        size = self.length_m**length * self.mass_kg**mass * self.time_s**time
        return float(size)

    def size_si(self, quantity: str) -> float:
        """Return the size in SI of this system's unit of a quantity; ``BadRequest`` if unknown."""
        powers = _DIMENSIONS.get(quantity)
        if powers is None:
            raise BadRequest(
                f"There is no unit of {quantity!r}; there are units of {', '.join(_DIMENSIONS)}."
            )
        return self.size_si_of(*powers)


SI = UnitSystem("SI", 1.0, 1.0, 1.0)
AU_MSUN_YR = UnitSystem("au-Msun-yr", ASTRONOMICAL_UNIT_M, SOLAR_MASS_KG, JULIAN_YEAR_S)


def nbody_units(
    length_m: float = ASTRONOMICAL_UNIT_M, mass_kg: float = SOLAR_MASS_KG
) -> UnitSystem:
    """Return the system with that length and mass in which G = 1."""
    time_s = math.nan
    if length_m > 0.0 and mass_kg > 0.0:
        time_s = math.sqrt(length_m**3 / (GRAVITATIONAL_CONSTANT * mass_kg))
    return UnitSystem("N-body", length_m, mass_kg, time_s)


def units_of(scenario: Scenario) -> UnitSystem:
    """Return a scenario's N-body units."""
    return UnitSystem("N-body", scenario.length_m, scenario.mass_kg, scenario.time_s)


def find_units(name: str) -> UnitSystem:
    """Return SI, au-Msun-yr or N-body (of au and solar masses) by name, whatever its case."""
    known = {system.name.lower(): system for system in (SI, AU_MSUN_YR, nbody_units())}
    system = known.get(name.lower())
    if system is None:
        raise BadRequest(f"There are no units {name!r}; there are SI, au-Msun-yr and N-body.")
    return system


def convert(values: Any, quantity: str, source: UnitSystem, target: UnitSystem) -> Any:
    """Return ``values`` (a number or an array of any shape) of a quantity in other units.

    Two roundings. Raises ``BadRequest`` for a quantity that has no unit here.
    """
    return np.asarray(values, dtype=np.float64) * (
        source.size_si(quantity) / target.size_si(quantity)
    )


def convert_bodies(bodies: Bodies, source: UnitSystem, target: UnitSystem) -> Bodies:
    """Return the same bodies in other units: masses, positions, velocities and radii."""
    return Bodies(
        bodies.names,
        convert(bodies.mass, "mass", source, target),
        convert(bodies.position, "length", source, target),
        convert(bodies.velocity, "velocity", source, target),
        None if bodies.radius is None else convert(bodies.radius, "length", source, target),
    )
