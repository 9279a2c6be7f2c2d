"""Bodies for multipole forces, and Newton's law over them pair by pair in float64 by NumPy."""

from functools import cache

import numpy as np

from simulation import engine
from simulation.engine.forces import Kick

SOFTENING_TU = 0.01
# A row of N pairs at a time, so that the oracle's arrays stay in the processor's cache.
CHUNK = 128


def plummer(bodies, seed):
    """Positions (N, 3) of a Plummer sphere of radius 1."""
    random = np.random.default_rng(seed)
    radius = 1.0 / np.sqrt(random.uniform(0.0, 0.999, bodies) ** (-2.0 / 3.0) - 1.0)
    return _directions(random, bodies) * radius[:, None]


def uniform_ball(bodies, seed):
    random = np.random.default_rng(seed)
    return _directions(random, bodies) * np.cbrt(random.uniform(0.0, 1.0, bodies))[:, None]


def two_clusters(bodies, seed):
    position = plummer(bodies, seed)
    position[: bodies // 2] += [4.0, 0.5, 0.0]
    position[bodies // 2 :] -= [4.0, 0.5, 0.0]
    return position


def _directions(random, bodies):
    found = random.normal(size=(bodies, 3))
    return found / np.linalg.norm(found, axis=1)[:, None]


def masses_over_three_decades(bodies, seed):
    mass = 10.0 ** np.random.default_rng(seed).uniform(-3.0, 0.0, bodies)
    return mass / mass.sum()


@cache
def case(name):
    """Return (mass (N,), position (N, 3)) of a named distribution."""
    position = {
        "plummer": lambda: plummer(8192, 1),
        "two_clusters": lambda: two_clusters(4096, 2),
        "uniform_ball": lambda: uniform_ball(4096, 3),
        "three_decades": lambda: plummer(4096, 14),
        "a_quarter_massless": lambda: plummer(4096, 8),
        "flung": lambda: np.concatenate([[[900.0, 400.0, 0.0]], plummer(4095, 6)]),
        "line": lambda: plummer(4096, 11) * [1.0, 0.0, 0.0],
        "plane": lambda: plummer(4096, 12) * [1.0, 1.0, 0.0],
    }[name]()
    mass = np.full(len(position), 1.0 / len(position))
    if name == "three_decades":
        mass = masses_over_three_decades(len(position), 4)
    if name == "a_quarter_massless":
        mass[::4] = 0.0
    return mass, position


@cache
def newton(name):
    """Return accelerations (N, 3) and potentials (N,), Newton's law in plain NumPy."""
    mass, position = case(name)
    acceleration, potential = np.empty_like(position), np.empty_like(mass)
    for begin in range(0, len(mass), CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, len(mass)))
        offset = position[None, :, :] - position[rows, None, :]
        distance2 = np.einsum("ija,ija->ij", offset, offset) + SOFTENING_TU**2
        distance2[rows - begin, rows] = np.inf  # not by itself
        pull = mass / np.sqrt(distance2)
        potential[rows] = -pull.sum(axis=1)
        acceleration[rows] = np.einsum("ij,ija->ia", pull / distance2, offset)
    return acceleration, potential


@cache
def prepared(name, accuracy=1e-4):
    """Return the state of a case, its forces summed by the fast multipole method."""
    mass, position = case(name)
    names = tuple(str(i) for i in range(len(mass)))
    bodies = engine.Bodies(names, mass, position, np.zeros_like(position))
    scenario = engine.scenario_from_bodies(bodies, softening_tu=SOFTENING_TU)
    return engine.prepare(scenario, force="fmm", accuracy=accuracy)


def in_units(state, k_q, u_q):
    """Return accelerations (N, 3) and potentials (N,) of kicks and potentials in quanta."""
    kick_tu = k_q.T * (2.0 * state.grid.momentum_quantum / state.dt_tu)
    return (
        kick_tu / state.inertia[:, None],
        -u_q * state.grid.potential_quantum / state.inertia,
    )


def errors(name, accuracy, k_q=None, u_q=None):
    """Return the relative errors (N,) of accelerations and of potentials against ``newton``."""
    state = prepared(name, accuracy)
    found = in_units(state, state.k_q if k_q is None else k_q, state.u_q if u_q is None else u_q)
    expected = newton(name)
    miss = np.linalg.norm(found[0] - expected[0], axis=1)
    return miss / np.linalg.norm(expected[0], axis=1), np.abs(found[1] / expected[1] - 1.0)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def evaluate(force, position, source, softening2, sink=None):
    """Return (evaluation, k_q, u_q) of bodies at (N, 3), with buffers that held something else."""
    kick = Kick(source if sink is None else sink, source, softening2, 1.0, 50)
    k_q = np.full((3, len(source)), 77, np.int64)
    u_q = np.full(len(source), 77, np.int64)
    found = force.evaluate(np.ascontiguousarray(position.T), kick, k_q, u_q)
    return found, k_q, u_q


def total(k_q):
    """Return the sum of kicks as Python integers, which have no modulus."""
    return [sum(int(k) for k in component) for component in k_q]
