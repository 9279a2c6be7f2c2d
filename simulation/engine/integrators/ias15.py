# mypy: disable-error-code="no-untyped-def"
"""IAS15: Gauss-Radau quadrature of order 15 with steps that follow the motion, to round-off.

Along a substep of length h the acceleration is a polynomial of degree 7 in t/h: a_0 + b_1 t + ... +
b_7 t^7. It passes through the accelerations at eight Radau points, which depend on the positions
that follow from it: an implicit equation, solved by sweeping over the points until b_7 changes no
more at the last bit. The divided differences g (Newton's form) of the points reached so far are
exact at once, and b follows from g by fixed numbers. The b of the last substep, continued, are
where the next one begins.

*Length.* The fastest body's time scale, from the derivatives of its acceleration at the end of a
substep, says how long the next may be; where the one just taken was much too long it is taken
again. A run's step of dt is a stretch that is divided into such substeps, equal as far as they can
be chosen ahead: its end is met exactly.

*Rounding.* x and v are sums of many small changes: each keeps what its rounding cut off and adds it
next time (Kahan), so that only the rounding of accelerations walks. Brouwer's law: that walk's
relative energy error grows as 2^-53 sqrt(substeps); six standard deviations of two roundings a
substep are 5 x 2^-53 sqrt(substeps). What counts is the work that the last bit of a position does,
sum |F||x| 2^-53: the potential energy of an orbit about the origin, but more where two bodies meet
far from it.

Only +, -, *, / and square roots.

Sources: Everhart (1985), ASSL 115, 185; Rein & Spiegel (2015), MNRAS 446, 1424; Aarseth (1985),
Multiple Time Scales, 377, and Pham, Rein & Spiegel (2024), Open J. Astrophys. 7, 1 (the time
scale); Brouwer (1937), AJ 46, 149.
"""

from __future__ import annotations

import math

import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.integrators.planetary import MASS, read_bodies
from simulation.engine.integrators.radau import (
    BINOMIAL,
    PER_GAP,
    POINTS,
    TO_NEWTON,
    TO_POWER,
    V_PARTS,
    X_PARTS,
)
from simulation.engine.integrators.verifying import (
    BOUND,
    DT,
    DT_LAST,
    ENERGY_SCALE,
    MOMENTUM_SCALE,
    SOFTENING2,
    SPIN_SCALE,
    SUBSTEP,
    SUBSTEPS,
    copy_into,
    note_roundings,
    verify,
)
from simulation.engine.kernels import LEFT_PAIR

# Rows of ``y``: what moves, what rounding cut off it, the acceleration, b and its prediction.
X, V, X_LEFT, V_LEFT, A = range(5)
B, PREDICTED = 5, 12
ROWS = 19
# One of the position and one of the velocity, of the size of the substep's change at most.
_ROUNDINGS, _CENTRE_ROUNDINGS = 2.0, 2.0

# Where the truncation, 1e-9 of the acceleration's size, ends up below round-off in the energy.
_PRECISION = 1e-9
# (7! _PRECISION)^(1/7): the part of a time scale that leaves just this in b_7. A power's last bits
# may differ between two machines, a constant's do not.
_REACH = 0.1750670293218999749
# A substep that was longer than what its end allows is taken again: an error that falls with the
# 15th power would grow two thousandfold at 0.6. The next one is at most four times as long.
_SAFETY, _GROWTH = 0.6, 4.0
_SWEEPS_MAX = 12
_REJECTIONS_MAX = 64
# A stretch that needs more is no longer an orbit but two points falling into one another.
_SUBSTEPS_MAX = 1_000_000


@kernel
def accelerate(x, mass, softening2, acceleration):
    """Write the accelerations (N, 3) of bodies at x (N, 3); return the potential energy. O(N^2)."""
    n = mass.size
    for i in range(n):
        for axis in range(3):
            acceleration[i, axis] = 0.0
    potential = 0.0
    for i in range(n):
        ax, ay, az, row = 0.0, 0.0, 0.0, 0.0
        for j in range(i + 1, n):
            dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
            inverse = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz + softening2)
            inverse3 = inverse * (inverse * inverse)
            row += mass[j] * inverse
            near, away = mass[j] * inverse3, mass[i] * inverse3
            ax += near * dx
            ay += near * dy
            az += near * dz
            acceleration[j, 0] -= away * dx
            acceleration[j, 1] -= away * dy
            acceleration[j, 2] -= away * dz
        acceleration[i, 0] += ax
        acceleration[i, 1] += ay
        acceleration[i, 2] += az
        potential -= mass[i] * row
    return potential


@kernel
def _place(flat, t, h, out):
    """Write the positions at the part t of the substep."""
    s = t * h
    for k in range(out.size):
        total = 0.0
        for j in range(6, -1, -1):
            total = t * (X_PARTS[j] * flat[B + j, k] + total)
        out[k] = flat[X, k] + (s * (flat[V, k] + s * (0.5 * flat[A, k] + total)) - flat[X_LEFT, k])


@kernel
def _fit(flat, g, n, found, value):
    """Take in the acceleration at point n; return the largest change of g_n and acceleration."""
    # Loops over the components inside: these become vector instructions.
    for k in range(found.size):
        value[k] = (found[k] - flat[A, k]) * PER_GAP[n, 0]
    for j in range(1, n):
        for k in range(found.size):
            value[k] = (value[k] - g[j - 1, k]) * PER_GAP[n, j]
    for k in range(found.size):
        before = g[n - 1, k]
        g[n - 1, k] = value[k]
        value[k] -= before
    for j in range(n):
        for k in range(found.size):
            flat[B + j, k] += TO_POWER[j, n - 1] * value[k]
    change, size = 0.0, 0.0
    for k in range(found.size):
        change = max(change, abs(value[k]))
        size = max(size, abs(found[k]))
    return change, size


@kernel
def _solve(y, mass, softening2, h, g, x, acceleration):
    """Sweep over the points until b_7 stands still."""
    flat = y.reshape(ROWS, -1)
    value = np.empty(flat.shape[1])
    # Once: each time they would cost as much as what is done with them.
    places, found = x.reshape(-1), acceleration.reshape(-1)
    for k in range(flat.shape[1]):
        for n in range(7):
            total = 0.0
            for j in range(n, 7):
                total += TO_NEWTON[n, j] * flat[B + j, k]
            g[n, k] = total
    last = math.inf
    for sweep in range(_SWEEPS_MAX):
        change, size = 0.0, 0.0
        for n in range(1, 8):
            _place(flat, POINTS[n], h, places)
            accelerate(x, mass, softening2, acceleration)
            change, size = _fit(flat, g, n, found, value)
        # Below the last bit, or no longer falling: rounding alone is left.
        if not change > 1e-16 * size or (sweep > 1 and change >= last):
            break
        last = change


@kernel
def _longest(y, h):
    """Return the length that the next substep may have, from the time scale at this one's end.

    Aarseth's, of the acceleration's derivatives 0 to 3: (a0 a2 + a1^2)/(a1 a3 + a2^2). It stays
    finite where one of them passes through zero.
    """
    shortest2 = math.inf
    for i in range(y.shape[1]):
        a2, jerk2, snap2, crackle2 = 0.0, 0.0, 0.0, 0.0
        for axis in range(3):
            a, jerk, snap, crackle = y[A, i, axis], 0.0, 0.0, 0.0
            for j in range(7):
                b = y[B + j, i, axis]
                a += b
                jerk += (j + 1) * b
                snap += (j + 1) * j * b
                crackle += (j + 1) * j * (j - 1) * b
            a2 += a * a
            jerk2 += jerk * jerk
            snap2 += snap * snap
            crackle2 += crackle * crackle
        scale = math.sqrt(jerk2 * crackle2) + snap2
        if scale > 0.0:
            shortest2 = min(shortest2, (math.sqrt(a2 * snap2) + jerk2) / scale)
    return math.sqrt(shortest2) * h * _REACH


@kernel
def _finish(y, h):
    """Move x and v to the end of the substep, keeping what their rounding cuts off."""
    flat = y.reshape(ROWS, -1)
    for k in range(flat.shape[1]):
        x_sum, v_sum = 0.0, 0.0
        for j in range(6, -1, -1):
            x_sum += X_PARTS[j] * flat[B + j, k]
            v_sum += V_PARTS[j] * flat[B + j, k]
        # The smaller change first: what it loses is then the smaller too.
        _add(flat, X, X_LEFT, k, h * h * (0.5 * flat[A, k] + x_sum))
        _add(flat, X, X_LEFT, k, h * flat[V, k] - h * flat[V_LEFT, k])
        _add(flat, V, V_LEFT, k, h * (flat[A, k] + v_sum))


@kernel
def _add(flat, row, left, k, change):
    wanted = change - flat[left, k]
    total = flat[row, k] + wanted
    flat[left, k] = (total - flat[row, k]) - wanted
    flat[row, k] = total


@kernel
def _predict(y, base, ratio):
    """Continue b over the next substep, ``ratio`` times as long as the one of ``base``.

    ``base`` (14, 3N): b as it was found and as it had been predicted; their difference is added.
    """
    flat = y.reshape(ROWS, -1)
    # Too far to continue: begin with the acceleration alone.
    far = ratio > 20.0
    for k in range(flat.shape[1]):
        power = 1.0
        for i in range(7):
            power *= ratio
            total = 0.0
            for j in range(6, i - 1, -1):
                total += BINOMIAL[i, j] * base[j, k]
            total *= power
            learnt = base[i, k] - base[7 + i, k]
            flat[PREDICTED + i, k] = 0.0 if far else total
            flat[B + i, k] = 0.0 if far else total + learnt


@kernel
def start(x, v, body, real, y, history):
    """Write ``y`` for bodies x, v (N, 3) at time 0."""
    y[:] = 0.0
    y[X] = x
    y[V] = v
    accelerate(y[X], body[MASS], real[SOFTENING2], y[A])


@kernel
def read(y, memory, body, real, weights, reading):
    """Write the reading of a state that stands."""
    acceleration = np.empty_like(y[0])
    potential = accelerate(y[X], body[MASS], real[SOFTENING2], acceleration)
    read_bodies(y[X], y[V], body[MASS], potential, reading)
    reading[BOUND] = 0.0


@kernel
def output(y, body, real, x, v):
    """Write positions and velocities (N, 3) of the bodies at the step's time."""
    x[:] = y[X]
    v[:] = y[V]


@kernel
def _work(y, body):
    """Return sum |F||x|: what positions that are off by one part of themselves do in work."""
    total = 0.0
    for i in range(y.shape[1]):
        a2, x2 = 0.0, 0.0
        for axis in range(3):
            a2 += y[A, i, axis] * y[A, i, axis]
            x2 += y[X, i, axis] * y[X, i, axis]
        total += body[MASS, i] * math.sqrt(a2 * x2)
    return total


@kernel
def _substep(y, body, real, left, g, base, kept, x, acceleration, reading):
    """Take one substep of at most ``left``; return its length, 0 where none is short enough.

    Writes the reading at its end and what its rounding adds.
    """
    first = real[SUBSTEP] == 0.0
    wanted = left if first else min(left, real[SUBSTEP])
    flat = y.reshape(ROWS, -1)
    for row in range(14):
        for k in range(flat.shape[1]):
            base[row, k] = flat[B + row, k]
    copy_into(kept, y)
    last = real[DT_LAST]
    for _ in range(_REJECTIONS_MAX):
        # Equal parts: no sliver is left over for the end.
        parts = math.ceil(left / wanted)
        h = left / parts
        if last > 0.0:
            _predict(y, base, h / last)
        _solve(y, body[MASS], real[SOFTENING2], h, g, x, acceleration)
        longest = _longest(y, h)
        if longest >= (1.0 if first else _SAFETY) * h:
            break
        copy_into(y, kept)
        wanted = longest
        if not wanted > 0.0:
            return 0.0
    else:
        return 0.0
    _finish(y, h)
    real[SUBSTEP] = min(longest, h * _GROWTH)
    real[DT_LAST] = h
    real[SUBSTEPS] += 1.0
    potential = accelerate(y[X], body[MASS], real[SOFTENING2], y[A])
    read_bodies(y[X], y[V], body[MASS], potential, reading)
    note_roundings(
        real,
        reading[ENERGY_SCALE] + max(0.0, _work(y, body) + potential),
        reading[MOMENTUM_SCALE],
        reading[SPIN_SCALE],
        _ROUNDINGS,
        _CENTRE_ROUNDINGS,
    )
    return h


@kernel
def advance(
    steps, y, memory, body, real, weights, reading, altered, push_body, push, before, record
):
    """Advance ``y`` in place by up to ``steps`` stretches of dt; return (stretches, laws broken).

    Each is read and verified at its end; one that breaks a law is undone. Some 17 evaluations of
    O(N^2) a substep.
    """
    n = body.shape[1]
    g, base, kept = np.empty((7, 3 * n)), np.empty((14, 3 * n)), np.empty_like(y)
    x, acceleration = np.empty((n, 3)), np.empty((n, 3))
    kept_real = real.copy()
    reading[BOUND] = 0.0
    for step in range(steps):
        copy_into(before, y)
        copy_into(kept_real, real)
        left, broken, taken = real[DT], 0, 0
        while left > 0.0:
            h = _substep(y, body, real, left, g, base, kept, x, acceleration, reading)
            taken += 1
            if h == 0.0 or taken > _SUBSTEPS_MAX:
                broken = LEFT_PAIR
                break
            left = 0.0 if h >= left else left - h
        if not broken:
            if push != 0.0:
                y[V, push_body, 0] += push
                read(y, memory, body, real, weights, reading)
            broken = verify(reading, body[MASS], real, altered, record[step])
        if broken:
            copy_into(y, before)
            copy_into(real, kept_real)
            return step, broken
    return steps, 0
