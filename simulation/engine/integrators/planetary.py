# mypy: disable-error-code="no-untyped-def"
"""What the integrators for planetary systems share: Jacobi coordinates, the kick, the reading.

One mass M_0 holds all others on orbits about it. In Jacobi coordinates q_i is the place of body i
from the centre of mass of all bodies inside it, and the Hamiltonian falls into

    K: a Kepler orbit of each q_i about M_i = m_0 + ... + m_i, and the straight line of q_0;
    I: what is left, H_I = -sum_(i<j) m_i m_j/r_ij + sum_i m_i M_(i-1)/|q_i|, small by e = m/M_0.

Both are solved exactly: K by ``kepler``, I by a kick. A method alternates the two.

*Energy.* To first order in e any symmetric method keeps K + f(x) H_I, where x is dt times the
derivative along the orbits and f an even function of the method alone, f(0) = 1 (the Baker-
Campbell-Hausdorff series is linear in I and sums up). The energy read differs from it by
(f(x) - 1) H_I. A derivative along the orbits can be read from the values of H_I at the last steps:
e^(-x) is one step back, so weights w_j with sum w_j e^(-jx) = f(x) - 1 + O(x^13) make of the last
13 values of H_I the term itself. ``difference_weights`` solves for them exactly. Wisdom-Holman adds
the term to its reading: that is the energy of the corrected state, without running the corrector
at each step. What the two highest differences change is more than what leaving out all higher ones
does, where differences fall with their order: few enough are taken that they do. The terms of
second order in e are bounded by their size, dt^2/24 sum |F|^2/m and its like.

Sources: Wisdom & Holman (1991), AJ 102, 1528; Wisdom (2006), AJ 131, 2294; Hairer, Lubich & Wanner
(2006), IX.4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.integrators.kepler import drift_on_orbit
from simulation.engine.integrators.verifying import (
    ENERGY,
    ENERGY_SCALE,
    MOMENTUM_SCALE,
    PX,
    SPIN_SCALE,
    SPIN_X,
)

# Rows of ``body``, constants of each body (N,) in Jacobi order.
MASS, SHARE, PER_INNER, ORBIT_MASS, BOND = range(5)
# Values of H_I that are remembered.
MEMORY = 13
# Values before the start, from which the weights are chosen.
HISTORY = MEMORY + 64
# What a kick leaves behind in ``found``.
PERTURBATION, POTENTIAL, FORCE2, FASTEST2, TIDE = range(5)
FOUND = 5


def body_constants(mass: np.ndarray) -> np.ndarray:
    """Return ``body`` for masses in Jacobi order: mass, m_i/M_i, 1/M_(i-1), M_i, m_i M_(i-1)."""
    within = np.array([math.fsum(mass[: i + 1]) for i in range(mass.size)])
    inner = np.concatenate([within[:1], within[:-1]])
    bond = mass * inner
    bond[0] = 0.0
    return np.stack([mass, mass / within, 1.0 / inner, within, bond])


def difference_weights(taylor: Sequence[Fraction], points: int = MEMORY) -> np.ndarray:
    """Return w (MEMORY,) with sum_j w_j e^(-jx) = sum_k taylor[k] x^k + O(x^points); exact."""
    rows = [
        [Fraction((-j) ** k, math.factorial(k)) for j in range(points)] + [taylor[k]]
        for k in range(points)
    ]
    for i in range(points):
        top = next(row for row in range(i, points) if rows[row][i] != 0)
        rows[i], rows[top] = rows[top], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for k in range(points):
            if k != i and rows[k][i] != 0:
                factor = rows[k][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    weights = np.zeros(MEMORY)
    weights[:points] = [float(row[-1]) for row in rows]
    return weights


def correcting_weights(taylor: Sequence[Fraction], history: np.ndarray) -> np.ndarray:
    """Return the weights (2, MEMORY) of the term f - 1 and of its doubt, for a start's history.

    Where steps are long against the motion, high differences grow: as many are used as doubt least.
    """
    candidates = []
    for points in range(5, MEMORY + 1, 2):
        weights = difference_weights(taylor, points)
        doubt = weights - difference_weights(taylor, points - 2)
        candidates.append((largest(history, doubt), points, np.stack([weights, doubt])))
    return min(candidates, key=lambda candidate: candidate[:2])[2]


def bounding_weights(taylor: Sequence[Fraction]) -> np.ndarray:
    """Return the weights (2, MEMORY) that correct nothing and take all of f - 1 as the doubt."""
    return np.stack([np.zeros(MEMORY), difference_weights(taylor)])


def largest(history: np.ndarray, weights: np.ndarray) -> float:
    """Return the largest |weighted sum| of any stretch of a history, the latest first."""
    windows = range(history.size - MEMORY + 1)
    return max(abs(float(weigh(history[k : k + MEMORY], weights))) for k in windows)


@kernel
def to_jacobi(x, body, q):
    """Write the Jacobi coordinates (N, 3) of positions, or of velocities, into q."""
    n = body.shape[1]
    for a in range(3):
        total = body[MASS, 0] * x[0, a]
        for i in range(1, n):
            q[i, a] = x[i, a] - total * body[PER_INNER, i]
            total += body[MASS, i] * x[i, a]
        q[0, a] = total / body[ORBIT_MASS, n - 1]


@kernel
def to_bodies(q, body, x):
    """Undo ``to_jacobi``: write positions, or velocities, of the bodies into x (N, 3)."""
    n = body.shape[1]
    for a in range(3):
        centre = q[0, a]
        for i in range(n - 1, 0, -1):
            centre -= body[SHARE, i] * q[i, a]
            x[i, a] = centre + q[i, a]
        x[0, a] = centre


@kernel
def drift(q, w, body, dt):
    """Move Jacobi positions q and velocities w (N, 3) along their orbits for dt, in place."""
    for a in range(3):
        q[0, a] += dt * w[0, a]
    for i in range(1, body.shape[1]):
        drift_on_orbit(q, w, i, body[ORBIT_MASS, i], dt)


@kernel
def kick(w, acceleration, dt):
    """Add dt times the accelerations to the Jacobi velocities, in place."""
    for i in range(1, w.shape[0]):
        for a in range(3):
            w[i, a] += dt * acceleration[i, a]


@kernel
def perturb(q, body, x, force, acceleration, found):
    """Write the acceleration by H_I in Jacobi coordinates, positions x, and H_I and its measures.

    The pair (0, 1) is left out of H_I: it is the first orbit. O(N^2).
    """
    n = body.shape[1]
    to_bodies(q, body, x)
    force[:] = 0.0
    potential, tide = 0.0, 0.0
    for i in range(n):
        ax, ay, az, row = 0.0, 0.0, 0.0, 0.0
        m = body[MASS, i]
        for j in range(max(2, i + 1), n):
            dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
            inverse = 1.0 / math.sqrt(dx * dx + dy * dy + dz * dz)
            inverse3 = inverse * (inverse * inverse)
            row += body[MASS, j] * inverse
            if i > 0:
                tide = max(tide, (m + body[MASS, j]) * inverse3)
            # Accelerations, not forces: a test particle feels some and has no mass.
            near, away = body[MASS, j] * inverse3, m * inverse3
            ax += near * dx
            ay += near * dy
            az += near * dz
            force[j, 0] -= away * dx
            force[j, 1] -= away * dy
            force[j, 2] -= away * dz
        force[i, 0] += ax
        force[i, 1] += ay
        force[i, 2] += az
        potential -= m * row
    _to_acceleration(q, body, force, acceleration, found)
    found[PERTURBATION] += potential
    found[POTENTIAL] += potential
    found[TIDE] = tide


@kernel
def _to_acceleration(q, body, force, acceleration, found):
    """Turn the bodies' accelerations into Jacobi's, less each orbit's own (i >= 2)."""
    n = body.shape[1]
    sx = body[MASS, 0] * force[0, 0]
    sy = body[MASS, 0] * force[0, 1]
    sz = body[MASS, 0] * force[0, 2]
    perturbation, bound, force2, fastest2 = 0.0, 0.0, 0.0, 0.0
    for i in range(1, n):
        r2 = q[i, 0] * q[i, 0] + q[i, 1] * q[i, 1] + q[i, 2] * q[i, 2]
        inverse = 1.0 / math.sqrt(r2)
        pull = body[ORBIT_MASS, i] * inverse * (inverse * inverse)
        fastest2 = max(fastest2, pull)
        bound += body[BOND, i] * inverse
        if i > 1:
            perturbation += body[BOND, i] * inverse
        else:
            pull = 0.0
        inner, m = body[PER_INNER, i], body[MASS, i]
        ax = force[i, 0] - sx * inner + pull * q[i, 0]
        ay = force[i, 1] - sy * inner + pull * q[i, 1]
        az = force[i, 2] - sz * inner + pull * q[i, 2]
        sx += m * force[i, 0]
        sy += m * force[i, 1]
        sz += m * force[i, 2]
        acceleration[i, 0], acceleration[i, 1], acceleration[i, 2] = ax, ay, az
        force2 += (m - m * body[SHARE, i]) * (ax * ax + ay * ay + az * az)
    found[PERTURBATION] = perturbation
    found[POTENTIAL] = perturbation - bound
    found[FORCE2] = force2
    found[FASTEST2] = fastest2


@kernel
def change_along(q, body, x, acceleration, moved, force, change):
    """Write (a . grad) a: how the accelerations of ``perturb`` change along themselves. O(N^2).

    It is half the gradient of sum mu |a|^2, so a kick by it is symplectic and keeps the angular
    momentum. ``x`` are the bodies' positions; ``moved`` and ``force`` are overwritten.
    """
    n = body.shape[1]
    to_bodies(acceleration, body, moved)
    force[:] = 0.0
    for i in range(n):
        ax, ay, az = 0.0, 0.0, 0.0
        m = body[MASS, i]
        for j in range(max(2, i + 1), n):
            dx, dy, dz = x[j, 0] - x[i, 0], x[j, 1] - x[i, 1], x[j, 2] - x[i, 2]
            ux = moved[j, 0] - moved[i, 0]
            uy = moved[j, 1] - moved[i, 1]
            uz = moved[j, 2] - moved[i, 2]
            inverse2 = 1.0 / (dx * dx + dy * dy + dz * dz)
            inverse3 = inverse2 * math.sqrt(inverse2)
            along = 3.0 * inverse2 * (dx * ux + dy * uy + dz * uz)
            near, away = body[MASS, j] * inverse3, m * inverse3
            ux, uy, uz = ux - along * dx, uy - along * dy, uz - along * dz
            ax += near * ux
            ay += near * uy
            az += near * uz
            force[j, 0] -= away * ux
            force[j, 1] -= away * uy
            force[j, 2] -= away * uz
        force[i, 0] += ax
        force[i, 1] += ay
        force[i, 2] += az
    for axis in range(3):
        total = body[MASS, 0] * force[0, axis]
        change[0, axis] = 0.0
        for i in range(1, n):
            change[i, axis] = force[i, axis] - total * body[PER_INNER, i]
            total += body[MASS, i] * force[i, axis]
    for i in range(2, n):
        inverse2 = 1.0 / (q[i, 0] * q[i, 0] + q[i, 1] * q[i, 1] + q[i, 2] * q[i, 2])
        pull = body[ORBIT_MASS, i] * inverse2 * math.sqrt(inverse2)
        along = 0.0
        for axis in range(3):
            along += 3.0 * inverse2 * q[i, axis] * acceleration[i, axis]
        for axis in range(3):
            change[i, axis] += pull * (acceleration[i, axis] - along * q[i, axis])


@kernel
def read_bodies(x, v, mass, potential, reading):
    """Write energy, momentum, angular momentum and sums of magnitudes of x, v (N, 3), inertial."""
    kinetic, momentum, spin = 0.0, 0.0, 0.0
    px, py, pz = 0.0, 0.0, 0.0
    lx, ly, lz = 0.0, 0.0, 0.0
    for i in range(mass.size):
        m = mass[i]
        ux, uy, uz = m * v[i, 0], m * v[i, 1], m * v[i, 2]
        kinetic += ux * v[i, 0] + uy * v[i, 1] + uz * v[i, 2]
        px += ux
        py += uy
        pz += uz
        lx += x[i, 1] * uz - x[i, 2] * uy
        ly += x[i, 2] * ux - x[i, 0] * uz
        lz += x[i, 0] * uy - x[i, 1] * ux
        speed = abs(ux) + abs(uy) + abs(uz)
        momentum += speed
        spin += (abs(x[i, 0]) + abs(x[i, 1]) + abs(x[i, 2])) * speed
    reading[ENERGY] = 0.5 * kinetic + potential
    reading[ENERGY_SCALE] = 0.5 * kinetic - potential
    reading[PX], reading[PX + 1], reading[PX + 2] = px, py, pz
    reading[SPIN_X], reading[SPIN_X + 1], reading[SPIN_X + 2] = lx, ly, lz
    reading[MOMENTUM_SCALE] = momentum
    reading[SPIN_SCALE] = spin


@kernel
def remember(memory, value):
    """Put a value of H_I before the others, and let the oldest go."""
    for j in range(MEMORY - 1, 0, -1):
        memory[j] = memory[j - 1]
    memory[0] = value


@kernel
def weigh(memory, weights):
    """Return the weighted sum of what is remembered."""
    total = 0.0
    for j in range(MEMORY):
        total += weights[j] * memory[j]
    return total


@kernel
def push_velocity(w, body, i, push):
    """Add ``push`` to body i's x velocity, in Jacobi velocities w (N, 3) in place: a fault."""
    v = np.empty_like(w)
    to_bodies(w, body, v)
    v[i, 0] += push
    to_jacobi(v, body, w)
