# mypy: disable-error-code="no-untyped-def"
"""SABA(10,6,4): Kepler orbits with eight kicks a step.

drift(c_1 dt) kick(d_1 dt) drift(c_2 dt) ... drift(c_1 dt), a palindrome, in Jacobi coordinates (see
``planetary``). The energy errs by e dt^10 + e^2 dt^6 + e^3 dt^4. For planets, where e = 1e-3, these
are of one size at large steps: no corrector is needed, and what stands in the state comes out.

To first order in e it keeps f(x) = (x/2)/sinh(x/2) sum d_i cosh((s_i - 1/2) x), s_i the part of the
step before kick i; f - 1 begins at x^10. Its size along the run bounds that term. The other two are
bounded by dt^2/24 sum |F|^2/m times (dt W)^4 and times dt^2 T, W the fastest orbit's rate and T the
largest tide between two planets: the sizes of the same brackets in leapfrog, the coefficients of
which are larger.

Sources: Blanes, Casas, Farres, Laskar, Makazaga & Murua (2013), Appl. Numer. Math. 68, 58, table 3;
Laskar & Robutel (2001), Celest. Mech. 80, 39.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.integrators.planetary import (
    FASTEST2,
    FORCE2,
    FOUND,
    MASS,
    MEMORY,
    PERTURBATION,
    POTENTIAL,
    TIDE,
    drift,
    kick,
    perturb,
    push_velocity,
    read_bodies,
    remember,
    to_bodies,
    to_jacobi,
    weigh,
)
from simulation.engine.integrators.verifying import (
    BOUND,
    DT,
    ENERGY_SCALE,
    MOMENTUM_SCALE,
    SPIN_SCALE,
    copy_into,
    note_roundings,
    verify,
)

POSITION, VELOCITY = range(2)
ROWS = 2

_C = (
    0.03809449742241219545697532230863756534060,
    0.1452987161169137492940200726606637497442,
    0.2076276957255412507162056113249882065158,
    0.4359097036515261592231548624010651844006,
    -0.6538612258327867093807117373907094120024,
)
_D = (
    0.09585888083707521061077150377145884776921,
    0.2044461531429987806805077839164344779763,
    0.2170703479789911017143385924306336714532,
    -0.01737538195906509300561788011852699719871,
)
DRIFTS = (*_C, *reversed(_C[:-1]))
KICKS = (*_D, *reversed(_D))
# Two for each drift of position and velocity, one for each kick, and the orbits' coefficients.
_ROUNDINGS, _CENTRE_ROUNDINGS = 4.0 * len(DRIFTS) + len(KICKS), 0.0


def _first_order() -> list[Fraction]:
    """Return the Taylor coefficients of f - 1, exactly those of the doubles above."""
    half_over_sinh = [Fraction(0)] * MEMORY
    inverse = [
        Fraction(1, 2**n * math.factorial(n + 1)) if n % 2 == 0 else Fraction(0)
        for n in range(MEMORY)
    ]
    for n in range(MEMORY):
        rest = sum((inverse[k] * half_over_sinh[n - k] for k in range(1, n + 1)), Fraction(0))
        half_over_sinh[n] = (Fraction(1) if n == 0 else Fraction(0)) - rest
    kicks = [Fraction(0)] * MEMORY
    place = Fraction(-1, 2)
    for c, d in zip(DRIFTS, KICKS, strict=False):
        place += Fraction(c)
        for n in range(0, MEMORY, 2):
            kicks[n] += Fraction(d) * place**n / math.factorial(n)
    found = [
        sum((half_over_sinh[k] * kicks[n - k] for k in range(n + 1)), Fraction(0))
        for n in range(MEMORY)
    ]
    # Below the tenth power only the rounding of the table is left.
    return [Fraction(0) if n < 10 else value for n, value in enumerate(found)]


FIRST_ORDER = _first_order()


@kernel
def _step(y, body, dt, x, force, acceleration, found):
    for k in range(8):
        drift(y[POSITION], y[VELOCITY], body, DRIFTS[k] * dt)
        perturb(y[POSITION], body, x, force, acceleration, found)
        kick(y[VELOCITY], acceleration, KICKS[k] * dt)
    drift(y[POSITION], y[VELOCITY], body, DRIFTS[8] * dt)


@kernel
def _read(y, memory, body, dt, x, v, weights, found, reading):
    to_bodies(y[POSITION], body, x)
    to_bodies(y[VELOCITY], body, v)
    read_bodies(x, v, body[MASS], found[POTENTIAL], reading)
    dt2 = dt * dt
    orbits2 = dt2 * found[FASTEST2]
    second = dt2 / 24.0 * found[FORCE2] * (orbits2 * orbits2 + dt2 * found[TIDE])
    reading[BOUND] = abs(weigh(memory, weights[1])) + second


@kernel
def start(x, v, body, real, y, history):
    """Write ``y`` for bodies x, v (N, 3) in Jacobi order at time 0, and H_I there and before.

    ``history`` of any length, the latest first, comes from steps backwards.
    """
    to_jacobi(x, body, y[POSITION])
    to_jacobi(v, body, y[VELOCITY])
    scratch, force, acceleration = np.empty_like(x), np.empty_like(x), np.zeros_like(x)
    found = np.zeros(FOUND)
    back = y.copy()
    for j in range(history.size):
        perturb(back[POSITION], body, scratch, force, acceleration, found)
        history[j] = found[PERTURBATION]
        _step(back, body, -real[DT], scratch, force, acceleration, found)


@kernel
def read(y, memory, body, real, weights, reading):
    """Write the reading of a state that stands."""
    x, v, acceleration = np.empty_like(y[0]), np.empty_like(y[0]), np.empty_like(y[0])
    found = np.zeros(FOUND)
    perturb(y[POSITION], body, x, v, acceleration, found)
    _read(y, memory, body, real[DT], x, v, weights, found, reading)


@kernel
def output(y, body, real, x, v):
    """Write positions and velocities (N, 3) of the bodies at the step's time."""
    to_bodies(y[POSITION], body, x)
    to_bodies(y[VELOCITY], body, v)


@kernel
def advance(
    steps, y, memory, body, real, weights, reading, altered, push_body, push, before, record
):
    """Advance ``y`` in place by up to ``steps`` steps; return (steps taken, laws broken).

    Each step is read and verified; one that breaks a law is undone. O(steps N^2), nine evaluations.
    """
    x, v, acceleration = np.empty_like(y[0]), np.empty_like(y[0]), np.zeros_like(y[0])
    found = np.zeros(FOUND)
    dt = real[DT]
    kept_memory, kept_real = memory.copy(), real.copy()
    for step in range(steps):
        copy_into(before, y)
        copy_into(kept_memory, memory)
        copy_into(kept_real, real)
        _step(y, body, dt, x, v, acceleration, found)
        if push != 0.0:
            push_velocity(y[VELOCITY], body, push_body, push)
        perturb(y[POSITION], body, x, v, acceleration, found)
        remember(memory, found[PERTURBATION])
        _read(y, memory, body, dt, x, v, weights, found, reading)
        note_roundings(
            real,
            reading[ENERGY_SCALE],
            reading[MOMENTUM_SCALE],
            reading[SPIN_SCALE],
            _ROUNDINGS,
            _CENTRE_ROUNDINGS,
        )
        broken = verify(reading, body[MASS], real, altered, record[step])
        if broken:
            copy_into(y, before)
            copy_into(memory, kept_memory)
            copy_into(real, kept_real)
            return step, broken
    return steps, 0
