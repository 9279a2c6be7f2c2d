"""The scenarios: what moves, in which units, on which integer grid, and within which limits.

Everything is in N-body units, G = 1; a scenario names its unit of length and mass in SI, and the
unit of time follows. Initial states use only +, -, *, / and square roots, which IEEE 754 defines to
the last bit: a sine or a power may differ between two machines, and with it the digest.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from simulation.engine.arithmetic import kernel

GRAVITATIONAL_CONSTANT = 6.67430e-11  # m^3/(kg s^2), CODATA 2018
ASTRONOMICAL_UNIT_M = 149_597_870_700.0  # IAU 2012, exact
# The Sun's G*m is known to ten digits, its mass to five: derive the mass from it, so that the unit
# of time is right.
SOLAR_MASS_KG = 1.32712440018e20 / GRAVITATIONAL_CONSTANT  # JPL DE405
PARSEC_M = 3.0856775814913673e16

BODIES_MAX = 1_000_000


@dataclass(frozen=True)
class Bodies:
    """Names, masses (N,), positions (N, 3) and velocities (N, 3) in N-body units, float64; radii
    (N,) where they are known.
    """

    names: tuple[str, ...]
    mass: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    radius: np.ndarray | None = None


@dataclass(frozen=True)
class Reach:
    """The largest numbers that the integers must hold, in N-body units; the grid follows from them.

    A run that goes further is stopped with a sentence. ``length`` of a coordinate, ``momentum`` of
    a body's component, ``pair_force`` and ``pair_potential`` between any two.
    """

    length: float
    momentum: float
    pair_force: float
    pair_potential: float


@dataclass(frozen=True)
class Scenario:
    """One simulation on offer. ``bodies_min == bodies_max`` means that their number is fixed."""

    name: str
    title: str
    description: str
    length_m: float
    mass_kg: float
    softening: Callable[[int], float]
    dt_tu: float
    dt_tu_min: float
    dt_tu_max: float
    steps: int
    bodies: int
    bodies_min: int
    bodies_max: int
    build: Callable[[int, int], Bodies]
    reach: Callable[[int, float], Reach]
    steps_max: int = 10_000_000
    # What a custom scenario was derived from (``custom``); None for those on offer.
    limits: dict[str, Any] | None = None

    @property
    def softening_tu(self) -> float:
        """The softening length for the default number of bodies."""
        return self.softening(self.bodies)

    @property
    def is_fixed(self) -> bool:
        """Whether the number of bodies cannot be chosen."""
        return self.bodies_min == self.bodies_max

    @property
    def time_s(self) -> float:
        """The unit of time: sqrt(length^3 / (G mass))."""
        return math.sqrt(self.length_m**3 / (GRAVITATIONAL_CONSTANT * self.mass_kg))

    @property
    def energy_J(self) -> float:  # noqa: N802
        """The unit of energy."""
        return self.mass_kg * (self.length_m / self.time_s) ** 2

    @property
    def momentum_kg_m_per_s(self) -> float:
        """The unit of momentum."""
        return self.mass_kg * self.length_m / self.time_s

    @property
    def angular_momentum_kg_m2_per_s(self) -> float:
        """The unit of angular momentum."""
        return self.momentum_kg_m_per_s * self.length_m


def _kepler(bodies: int, seed: int) -> Bodies:
    """Return masses 0.7 and 0.3 at apocentre of an ellipse of semi-major axis 1 and e = 1/2."""
    mass = np.array([0.7, 0.3])
    separation, speed = 1.5, math.sqrt(1.0 / 3.0)
    share = np.array([-0.3, 0.7])
    position, velocity = np.zeros((2, 3)), np.zeros((2, 3))
    position[:, 0] = share * separation
    velocity[:, 1] = share * speed
    return Bodies(("primary", "secondary"), mass, position, velocity)


def _figure_eight(bodies: int, seed: int) -> Bodies:
    """Return three equal masses on one curve: Chenciner & Montgomery (2000), Simo's values."""
    x, y = 0.97000436, -0.24308753
    vx, vy = -0.93240737, -0.86473146
    position = np.array([[x, y, 0.0], [-x, -y, 0.0], [0.0, 0.0, 0.0]])
    velocity = np.array([[-vx / 2, -vy / 2, 0.0], [-vx / 2, -vy / 2, 0.0], [vx, vy, 0.0]])
    return Bodies(("first", "second", "third"), np.ones(3), position, velocity)


_PYTHAGOREAN_SOFTENING = 0.125


def _pythagorean(bodies: int, seed: int) -> Bodies:
    """Return masses 3, 4, 5 at rest at the corners of a 3-4-5 triangle: Burrau (1913)."""
    position = np.array([[1.0, 3.0, 0.0], [-2.0, -1.0, 0.0], [1.0, -1.0, 0.0]])
    return Bodies(("three", "four", "five"), np.array([3.0, 4.0, 5.0]), position, np.zeros((3, 3)))


def _solar_system(bodies: int, seed: int) -> Bodies:
    """Return the Sun and eight planets from JPL Horizons."""
    return _table("solar_system.csv")


def _outer_solar_system(bodies: int, seed: int) -> Bodies:
    """Return the Sun and five outer bodies of Applegate et al. (1986), AJ 92, 176."""
    return _table("outer_solar_system.csv")


def _table(name: str) -> Bodies:
    text = resources.files("simulation.engine").joinpath(f"data/{name}").read_text("utf-8")
    rows = csv.reader(line for line in text.splitlines() if line and not line.startswith("#"))
    _, *planets = rows
    values = np.array([[float(cell) for cell in row[1:]] for row in planets])
    names = tuple(row[0] for row in planets)
    return Bodies(names, values[:, 0].copy(), values[:, 1:4].copy(), values[:, 4:7].copy())


def _plummer(bodies: int, seed: int) -> Bodies:
    """Return ``bodies`` equal masses of a Plummer sphere of scale radius 1 and mass 1, in balance.

    A uniform point of the unit ball has the radius X^(1/3), so u / sqrt(1 - u^2) has Plummer's mass
    profile with no power taken. Speeds by rejection: Aarseth, Henon & Wielen (1974), A&A 37, 183.
    """
    position, velocity = _draw_plummer(np.random.Generator(np.random.PCG64(seed)), bodies)
    mass = np.full(bodies, 1.0 / bodies)
    for vectors in (position, velocity):
        _centre(vectors)
    return Bodies(numbered(bodies), mass, position, velocity)


def _two_clusters(bodies: int, seed: int) -> Bodies:
    """Return two Plummer spheres of half the mass each that fall past one another from rest-like
    speed: separation 8, impact parameter 1, half the speed of a parabolic encounter.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    first = bodies // 2
    position, velocity = _draw_plummer(random, bodies)
    for part in (slice(0, first), slice(first, bodies)):
        _centre(position[part])
        _centre(velocity[part])
    # A sphere of half the mass and half the radius has the same speeds.
    position *= 0.5
    offset, speed = np.array([4.0, 0.5, 0.0]), np.array([0.125, 0.0, 0.0])
    position[:first] -= offset
    position[first:] += offset
    velocity[:first] += speed
    velocity[first:] -= speed
    mass = np.empty(bodies)
    mass[:first], mass[first:] = 0.5 / first, 0.5 / (bodies - first)
    return Bodies(numbered(bodies), mass, position, velocity)


def numbered(bodies: int) -> tuple[str, ...]:
    """Return the names of bodies that have none of their own."""
    return tuple(f"body {i}" for i in range(bodies))


def _centre(vectors: np.ndarray) -> None:
    """Subtract the mean of (N, 3) in place."""
    # fsum rounds once, whatever the order: np.mean's order of additions is not promised.
    vectors -= np.array([math.fsum(vectors[:, a]) / len(vectors) for a in range(3)])


@kernel
def _point_in_ball(random, radius2_max, point):  # type: ignore[no-untyped-def]
    while True:
        for a in range(3):
            point[a] = 2.0 * random.random() - 1.0
        radius2 = point[0] * point[0] + point[1] * point[1] + point[2] * point[2]
        if 1e-12 < radius2 < radius2_max:
            return radius2


@kernel
def _speed_share(random):  # type: ignore[no-untyped-def]
    """Draw v / v_escape from q^2 (1 - q^2)^(7/2), whose maximum is below 0.1."""
    while True:
        q = random.random()
        height = 0.1 * random.random()
        rest = 1.0 - q * q
        if height < q * q * rest * rest * rest * math.sqrt(rest):
            return q


@kernel
def _draw_plummer(random, bodies):  # type: ignore[no-untyped-def]
    position, velocity = np.empty((bodies, 3)), np.empty((bodies, 3))
    point = np.empty(3)
    for i in range(bodies):
        # The outermost 0.15 % are left out: they would fix the size of the grid.
        radius2 = _point_in_ball(random, 0.999, point)
        for a in range(3):
            position[i, a] = point[a] / math.sqrt(1.0 - radius2)
        escape_speed = math.sqrt(2.0 * math.sqrt(1.0 - radius2))
        length2 = _point_in_ball(random, 1.0, point)
        speed = escape_speed * _speed_share(random)
        for a in range(3):
            velocity[i, a] = point[a] / math.sqrt(length2) * speed
    return position, velocity


def _plummer_softening(bodies: int) -> float:
    """Return about N^(-1/3), the distance of neighbours, rounded to a power of two.

    Close to the 0.98 N^(-0.26) that errs least (Athanassoula et al. 2000, MNRAS 314, 475), and it
    keeps pair encounters slower than the step for every N.
    """
    return 0.5 ** ((bodies.bit_length() - 1) // 3)


def _plummer_reach(bodies: int, softening_tu: float) -> Reach:
    # Without softening: a hundredth of what would soften, which chance seldom comes below.
    nearest = max(softening_tu, _plummer_softening(bodies) / 128.0)
    mass2 = 1.0 / bodies**2
    return Reach(
        length=1024.0,
        momentum=16.0 / bodies,
        pair_force=mass2 / nearest**2,
        pair_potential=mass2 / nearest,
    )


def _pythagorean_reach(bodies: int, softening_tu: float) -> Reach:
    nearest = max(softening_tu, _PYTHAGOREAN_SOFTENING / 128.0)
    return Reach(4096.0, 256.0, 20.0 / nearest**2, 20.0 / nearest)


_ALL = (
    Scenario(
        name="kepler",
        title="Kepler pair",
        description="Two bodies on an ellipse of eccentricity 0.5: the orbit known in closed form.",
        length_m=ASTRONOMICAL_UNIT_M,
        mass_kg=SOLAR_MASS_KG,
        softening=lambda bodies: 0.0,
        dt_tu=2.0**-8,
        dt_tu_min=1e-6,
        dt_tu_max=2.0**-5,
        steps=16_384,
        bodies=2,
        bodies_min=2,
        bodies_max=2,
        build=_kepler,
        reach=lambda bodies, softening: Reach(16.0, 4.0, 8.0, 2.0),
    ),
    Scenario(
        name="figure_eight",
        title="Figure eight",
        description="Three equal masses chase each other along one figure-eight curve.",
        length_m=ASTRONOMICAL_UNIT_M,
        mass_kg=SOLAR_MASS_KG,
        softening=lambda bodies: 0.0,
        dt_tu=2.0**-8,
        dt_tu_min=1e-6,
        dt_tu_max=2.0**-5,
        steps=16_384,
        bodies=3,
        bodies_min=3,
        bodies_max=3,
        build=_figure_eight,
        reach=lambda bodies, softening: Reach(16.0, 8.0, 64.0, 8.0),
    ),
    Scenario(
        name="pythagorean",
        title="Pythagorean three bodies",
        description="Masses 3, 4 and 5 fall from rest: near collisions, then one is thrown out.",
        length_m=ASTRONOMICAL_UNIT_M,
        mass_kg=SOLAR_MASS_KG,
        # Without it the first near collision, at a hundredth of the starting distance, would ask
        # for a step that no fixed step can be.
        softening=lambda bodies: _PYTHAGOREAN_SOFTENING,
        dt_tu=2.0**-11,
        dt_tu_min=1e-6,
        dt_tu_max=2.0**-10,
        steps=131_072,
        bodies=3,
        bodies_min=3,
        bodies_max=3,
        build=_pythagorean,
        reach=_pythagorean_reach,
    ),
    Scenario(
        name="solar_system",
        title="Solar System",
        description="The Sun and eight planets from JPL Horizons, Earth and Moon as one body.",
        length_m=ASTRONOMICAL_UNIT_M,
        mass_kg=SOLAR_MASS_KG,
        softening=lambda bodies: 0.0,
        dt_tu=2.0**-7,
        dt_tu_min=1e-6,
        dt_tu_max=2.0**-5,
        steps=20_000,
        bodies=9,
        bodies_min=9,
        bodies_max=9,
        build=_solar_system,
        reach=lambda bodies, softening: Reach(64.0, 2.0**-7, 2.0**-10, 2.0**-8),
    ),
    Scenario(
        name="outer_solar_system",
        title="Outer Solar System",
        description="The Sun, the four giant planets and Pluto: the classical long integration.",
        length_m=ASTRONOMICAL_UNIT_M,
        mass_kg=SOLAR_MASS_KG,
        softening=lambda bodies: 0.0,
        dt_tu=0.125,
        dt_tu_min=1e-6,
        dt_tu_max=4.0,
        steps=20_000,
        bodies=6,
        bodies_min=6,
        bodies_max=6,
        build=_outer_solar_system,
        reach=lambda bodies, softening: Reach(128.0, 2.0**-9, 2.0**-13, 2.0**-11),
    ),
    Scenario(
        name="plummer",
        title="Plummer sphere",
        description="A star cluster of equal masses in balance, drawn at random from a seed.",
        length_m=PARSEC_M,
        mass_kg=1000.0 * SOLAR_MASS_KG,
        softening=_plummer_softening,
        dt_tu=2.0**-7,
        dt_tu_min=1e-6,
        dt_tu_max=2.0**-5,
        steps=1024,
        bodies=256,
        bodies_min=2,
        bodies_max=BODIES_MAX,
        build=_plummer,
        reach=_plummer_reach,
    ),
    Scenario(
        name="two_clusters",
        title="Two clusters",
        description="Two star clusters fall towards one another, pass through and merge.",
        length_m=PARSEC_M,
        mass_kg=1000.0 * SOLAR_MASS_KG,
        softening=_plummer_softening,
        dt_tu=2.0**-7,
        dt_tu_min=1e-6,
        dt_tu_max=2.0**-6,
        steps=2048,
        bodies=256,
        bodies_min=4,
        bodies_max=BODIES_MAX,
        build=_two_clusters,
        reach=_plummer_reach,
    ),
)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
