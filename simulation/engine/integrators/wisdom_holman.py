# mypy: disable-error-code="no-untyped-def"
"""Wisdom-Holman: Kepler orbits, kicked once a step, with a symplectic corrector of order 17.

The map of a step is drift(dt/2) kick(dt) drift(dt/2), in Jacobi coordinates. It keeps the orbits'
energy K and f(x) H_I in place of H_I (see ``planetary``). A change of coordinates that removes the
difference to order 17 in the step, the corrector, is applied once at the start and its inverse at
each output, never between. The kick is of H_I - dt^2/24 sum |F|^2/m, which removes the error of
order e^2 dt^2 too: what comes out errs by order e dt^18 + e^2 dt^4.

*What is stored.* The state stands between two outputs: just where the drifts of two steps meet a
kick's middle, at t + dt/2 after t. There the same trajectory is that of kick(dt/2) drift(dt)
kick(dt/2), with f(x) = (x/2) coth(x/2): one Kepler solution and one kick a step, and positions and
velocities of one time to verify. With that kick, the energy read there and corrected by
(f(x) - 1) H_I along the trajectory is the energy of the output up to e^2 dt^4: the three terms
dt^2 sum |F|^2/m (of kick-drift-kick, of the kick, of taking x along the trajectory) cancel. An
output goes half a step back and through the inverse corrector, on a copy: what is read, and how
often, changes no bit of the run.

*The corrector.* It is the product over i of Z(a_i, b_i) Z(-a_i, -b_i), Z(a, b) = drift(a) kick(b)
drift(-2a) kick(-b) drift(a), to first order in e the flow of 4 sum b_i sinh(a_i x) H_I. For the
map's f(x) = (x/2)/sinh(x/2) it must be (f - 1)/x: the b_i follow from the Taylor series.

Sources: Wisdom & Holman (1991), AJ 102, 1528; Wisdom, Holman & Touma (1996), Fields Inst. Comm. 10,
217 (correctors, the kick); Wisdom (2006), AJ 131, 2294; Rein, Tamayo & Brown (2019), MNRAS 489,
4632.
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
    change_along,
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
    ENERGY,
    ENERGY_SCALE,
    MOMENTUM_SCALE,
    SPIN_SCALE,
    copy_into,
    note_roundings,
    verify,
)

# Rows of the moving state ``y``, (ROWS, N, 3), Jacobi coordinates at t + dt/2.
POSITION, VELOCITY, ACCELERATION, CHANGE = range(4)
ROWS = 4
# A body's velocity is rounded by two kicks and its orbit, its position by its orbit; the orbit's
# coefficients, each off by a few units in the last place, add as much again. The centre of mass
# moves without a kick: its velocity is never rounded.
_ROUNDINGS, _CENTRE_ROUNDINGS = 8.0, 0.0

_STAGES = 8
_SPREAD2 = Fraction(7, 40)  # the square of a_1, in steps; a_i = i a_1 (Wisdom 2006)


def _bernoulli(count: int) -> list[Fraction]:
    found: list[Fraction] = []
    for n in range(count):
        sum_ = sum((math.comb(n + 1, k) * found[k] for k in range(n)), Fraction(0))
        found.append(Fraction(1) if n == 0 else -sum_ / (n + 1))
    return found


def _corrector_weights() -> tuple[float, ...]:
    """Return b_1 ... b_8: 4 sum b_i sinh(a_i x) = ((x/2)/sinh(x/2) - 1)/x up to x^15."""
    bernoulli = _bernoulli(2 * _STAGES + 1)
    # (x/2)/sinh(x/2) = -sum_k (1 - 2^(1-2k)) B_2k x^2k/(2k)!.
    rows = []
    for k in range(_STAGES):
        n = 2 * k + 2
        term = -(1 - Fraction(2) ** (1 - n)) * bernoulli[n] / math.factorial(n)
        row = [
            Fraction(4 * i ** (2 * k + 1)) * _SPREAD2**k / math.factorial(2 * k + 1)
            for i in range(1, _STAGES + 1)
        ]
        rows.append([*row, term])
    for i in range(_STAGES):
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(_STAGES):
            if k != i:
                factor = rows[k][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    return tuple(float(row[-1]) / math.sqrt(float(_SPREAD2)) for row in rows)


CORRECTOR_A = tuple(i * math.sqrt(float(_SPREAD2)) for i in range(1, _STAGES + 1))
CORRECTOR_B = _corrector_weights()

# (x/2) coth(x/2) - 1 of the module's page.
FIRST_ORDER = [
    b / math.factorial(n) if n >= 2 else Fraction(0) for n, b in enumerate(_bernoulli(MEMORY))
]


@kernel
def _shift(q, w, body, x, force, acceleration, found, a, b):
    """Apply Z(a, b) of the module's page in place."""
    drift(q, w, body, a)
    perturb(q, body, x, force, acceleration, found)
    kick(w, acceleration, b)
    drift(q, w, body, -2.0 * a)
    perturb(q, body, x, force, acceleration, found)
    kick(w, acceleration, -b)
    drift(q, w, body, a)


@kernel
def correct(q, w, body, dt, direction):
    """Apply the corrector (``direction`` 1) or its inverse (-1) to Jacobi coordinates in place."""
    n = body.shape[1]
    x, force, acceleration = np.empty((n, 3)), np.empty((n, 3)), np.zeros((n, 3))
    found = np.zeros(FOUND)
    for k in range(2 * _STAGES):
        # The inverse takes the factors from behind, each with its b turned round.
        place = k if direction > 0 else 2 * _STAGES - 1 - k
        i = place // 2
        sign = 1.0 if place % 2 == 0 else -1.0
        a, b = sign * dt * CORRECTOR_A[i], sign * direction * dt * CORRECTOR_B[i]
        _shift(q, w, body, x, force, acceleration, found, a, b)


@kernel
def _modified_kick(y, body, x, moved, force, found):
    """Write the acceleration of the kick into ``y``, and what H_I is, for the positions in ``y``.

    It is that of H_I - dt^2/24 sum |F|^2/m, which cancels the map's error of order e^2 dt^2: the
    force's change along itself, dt^2/12 of it, is added. The step dt stands in ``found[FOUND]``.
    """
    perturb(y[POSITION], body, x, force, y[ACCELERATION], found)
    change = y[CHANGE]
    change_along(y[POSITION], body, x, y[ACCELERATION], moved, force, change)
    factor = found[FOUND] * found[FOUND] / 12.0
    for i in range(1, body.shape[1]):
        for a in range(3):
            y[ACCELERATION, i, a] += factor * change[i, a]


@kernel
def _read(y, memory, body, x, v, weights, found, reading):
    """Write the reading at ``y``; ``memory`` holds H_I there and before."""
    to_bodies(y[POSITION], body, x)
    to_bodies(y[VELOCITY], body, v)
    read_bodies(x, v, body[MASS], found[POTENTIAL], reading)
    reading[ENERGY] += weigh(memory, weights[0])
    dt2 = found[FOUND] * found[FOUND]
    second = dt2 / 24.0 * found[FORCE2] * dt2 * (found[FASTEST2] + found[TIDE])
    reading[BOUND] = abs(weigh(memory, weights[1])) + second


@kernel
def _leap(y, body, dt, x, moved, force, found):
    """Take a step of kick(dt/2) drift(dt) kick(dt/2), with the kick that stands in ``y``."""
    found[FOUND] = dt
    kick(y[VELOCITY], y[ACCELERATION], 0.5 * dt)
    drift(y[POSITION], y[VELOCITY], body, dt)
    _modified_kick(y, body, x, moved, force, found)
    kick(y[VELOCITY], y[ACCELERATION], 0.5 * dt)


@kernel
def start(x, v, body, real, y, history):
    """Write ``y`` for bodies x, v (N, 3) in Jacobi order at time 0, and H_I there and before.

    ``history`` of any length, the latest first, comes from steps backwards.
    """
    dt = real[DT]
    to_jacobi(x, body, y[POSITION])
    to_jacobi(v, body, y[VELOCITY])
    correct(y[POSITION], y[VELOCITY], body, dt, 1.0)
    drift(y[POSITION], y[VELOCITY], body, 0.5 * dt)
    scratch, force, moved = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    found = np.zeros(FOUND + 1)
    found[FOUND] = dt
    y[ACCELERATION] = 0.0
    _modified_kick(y, body, scratch, moved, force, found)
    kick(y[VELOCITY], y[ACCELERATION], 0.5 * dt)
    back = y.copy()
    history[0] = found[PERTURBATION]
    for j in range(1, history.size):
        _leap(back, body, -dt, scratch, moved, force, found)
        history[j] = found[PERTURBATION]


@kernel
def read(y, memory, body, real, weights, reading):
    """Write the reading of a state that stands."""
    x, v, moved = np.empty_like(y[0]), np.empty_like(y[0]), np.empty_like(y[0])
    found = np.zeros(FOUND + 1)
    found[FOUND] = real[DT]
    copy = y.copy()
    _modified_kick(copy, body, x, moved, v, found)
    _read(y, memory, body, x, v, weights, found, reading)


@kernel
def output(y, body, real, x, v):
    """Write positions and velocities (N, 3) of the bodies at the step's time: corrected."""
    dt = real[DT]
    q, w = y[POSITION].copy(), y[VELOCITY].copy()
    kick(w, y[ACCELERATION], -0.5 * dt)
    drift(q, w, body, -0.5 * dt)
    correct(q, w, body, dt, -1.0)
    to_bodies(q, body, x)
    to_bodies(w, body, v)


@kernel
def advance(
    steps, y, memory, body, real, weights, reading, altered, push_body, push, before, record
):
    """Advance ``y`` in place by up to ``steps`` steps; return (steps taken, laws broken).

    Each step is read and verified; one that breaks a law is undone. O(steps N^2).
    """
    x, v, moved = np.empty_like(y[0]), np.empty_like(y[0]), np.empty_like(y[0])
    found = np.zeros(FOUND + 1)
    dt = real[DT]
    kept_memory, kept_real = memory.copy(), real.copy()
    for step in range(steps):
        copy_into(before, y)
        copy_into(kept_memory, memory)
        copy_into(kept_real, real)
        _leap(y, body, dt, x, moved, v, found)
        if push != 0.0:
            push_velocity(y[VELOCITY], body, push_body, push)
        remember(memory, found[PERTURBATION])
        _read(y, memory, body, x, v, weights, found, reading)
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
