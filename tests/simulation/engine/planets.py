"""Planets to be integrated on doubles."""

import math

import numpy as np

from simulation import engine
from simulation.engine import Bodies

PLANETARY = ("wisdom_holman", "saba")
ALL = (*PLANETARY, "ias15")


def prepare(integrator, name="outer_solar_system", **options):
    return engine.prepare(name, integrator=integrator, **options)


def energy_of(state):
    """Kinetic and potential energy of what comes out, by a plain sum of its own."""
    x, v, m = state.positions_tu(), state.velocities_tu(), state.mass
    terms = [0.5 * m[i] * float(v[i] @ v[i]) for i in range(m.size)]
    for i in range(m.size):
        for j in range(i):
            r2 = float((x[i] - x[j]) @ (x[i] - x[j])) + state.softening_tu**2
            terms.append(-m[i] * m[j] / math.sqrt(r2))
    return math.fsum(terms)


def largest_error(state, steps, looks=24):
    """The largest |E/E(0) - 1| of what comes out, over ``steps`` steps."""
    start, worst = energy_of(state), 0.0
    for _ in range(looks):
        assert engine.advance(state, steps // looks).violation is None
        worst = max(worst, abs(energy_of(state) / start - 1.0))
    return worst


def planet(eccentricity=0.3, radius=1.0, mass=1e-3):
    """Two bodies at pericentre at ``radius``: an orbit known in closed form."""
    total = 1.0 + mass
    speed = math.sqrt(total * (1.0 + eccentricity) / radius)
    position = np.array([[-mass / total * radius, 0, 0], [radius / total, 0, 0]])
    velocity = np.array([[0, -mass / total * speed, 0], [0, speed / total, 0]])
    return Bodies(("star", "planet"), np.array([1.0, mass]), position, velocity)


def orbit_period(eccentricity, radius, mass=1e-3):
    """Kepler's third law: the oracle that shares no code with the engine."""
    axis = radius / (1.0 - eccentricity)
    return 2.0 * math.pi * math.sqrt(axis**3 / (1.0 + mass))
