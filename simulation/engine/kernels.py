# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Kick-drift-kick leapfrog on integers: exact momentum, reversible to the bit, always verified.

The state is int64: positions x_q in quanta of 2^a length units, momenta p_q in quanta of 2^b.
A step is

    p += k(x);   x += d(p);   p += k(x)

where k is the pair forces times dt/2, each pair rounded to an integer number of quanta, and d the
velocity times dt, rounded once for each body.

*Momentum.* Both sides of a pair are computed: x_j - x_i is exactly -(x_i - x_j), r^2 and the
product of charges are identical, and rounding is odd, so k_ji = -k_ij bit for bit. Integer sums do
not depend on order, so all kicks sum to zero exactly, whatever the order of the bodies.

*Any step.* dt enters through the charges c_i = m_i sqrt(dt / (2 momentum quantum)), whose product
commutes, and through the drift factor. It need not be a power of two: each of the three lines adds
a function of the half of the state that it does not change, and that is a bijection on integers
modulo 2^64 whatever the function. Backwards (``direction`` = -1) it subtracts the same integers.

*Range.* int64 overflow is silent, so a step in which a pair reaches 2^s quanta, a momentum 2^62, a
position 2^52 or a drift 2^49 is refused and undone. With s <= 62 - log2 N no row sum passes 2^62.
Below 2^52 positions and their differences are exact in a double.

*Energy.* Leapfrog conserves H + dt^2 H2 + O(dt^4), and for kick-drift-kick
H2 = (1/12) v.V''.v - (1/24) sum F^2/m. The energy therefore strays by dt^2 |H2 - H2(0)| + O(dt^4),
which is at most dt^2 (B + B(0)), where B = A (1 + (dt W)^2): A is H2 with each term taken by its
magnitude, and W^2 = max over pairs of (m_i + m_j)/r^3 + v^2/r^2 stands for the fastest motion. The
factor covers O(dt^4): that is (dt w)^2/6 of A on an oscillator of frequency w, where everything is
known in closed form (p^2/2 + (1 - (dt w)^2/4) w^2 q^2/2 is exact), and (dt v/r)^2/5 of A for the
fourth derivative of 1/r. B costs as much as a force, but part of it is at hand: the full sum is
made only at steps where dt^2 (B(0) + sum F^2/24m) does not contain twice the error. That loosens
nothing: what is accepted without the full sum is within half of a smaller limit.

*Angular momentum* walks at random with the rounding of kicks and drifts, whose variance is summed.

Sources: Rein & Tamayo (2018), arXiv:1704.07715 (integer leapfrog); Hairer, Lubich & Wanner (2006),
Geometric Numerical Integration, IX (modified Hamiltonian); Dehnen & Read (2011), arXiv:1105.1082.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma, kernel

# Columns of the per-step record.
ENERGY_ERROR, ENERGY_LIMIT, SPIN_ERROR, SPIN_LIMIT, MOMENTUM_ERROR = range(5)
COLUMNS = 5

# Bits of the answer: laws that broke, then ranges that were left.
BROKE_MOMENTUM, BROKE_MASS, BROKE_ENERGY, BROKE_SPIN = 1, 2, 4, 8
LEFT_PAIR, LEFT_MOMENTUM, LEFT_POSITION, LEFT_DRIFT = 16, 32, 64, 128

MOMENTUM_RANGE = 2**62
POSITION_RANGE = 2**52
DRIFT_RANGE = 2.0**49

# Standard deviations that a random walk of rounding errors may go. A sum of bounded independent
# errors passes six with a chance below 2 exp(-18) = 3e-8 (Hoeffding), a run's maximum below twice
# that.
SIGMAS = 6.0
UNIT_ROUND_OFF = 2.0**-53

# Indices into ``real``, the constants and references of a run.
(
    LENGTH_QUANTUM,
    MOMENTUM_QUANTUM,
    DT,
    SOFTENING2,
    POTENTIAL_PER_CHARGE,
    POTENTIAL_QUANTUM,
    ENERGY_0,
    BOUND_0,
    SPIN_X0,
    SPIN_Y0,
    SPIN_Z0,
    SPIN_VARIANCE,
    ENERGY_VARIANCE,
    ENERGY_SCALE_0,
    SPIN_SCALE_0,
) = range(15)
REALS = 15

# Indices into ``whole``.
PAIR_BITS, MOMENTUM_X0, MOMENTUM_Y0, MOMENTUM_Z0, MASS_BITS_0, FOUND_X, FOUND_Y, FOUND_Z = range(8)
WHOLES = 8

# Indices into ``reading``, what one step reports (N-body units).
(
    KINETIC,
    POTENTIAL,
    FORCE2_PER_MASS,
    BOUND,
    H2,
    SPIN_X,
    SPIN_Y,
    SPIN_Z,
    SPIN_SCALE,
    SPIN_STEP_VARIANCE,
    ENERGY_STEP_VARIANCE,
) = range(11)
READINGS = 11


@kernel
def half_kicks(x, charge, softening2, potential_per_charge, pair_bits, k_q, u_q):
    """Write each body's kick of half a step (3, N) and its potential (N,), both in quanta.

    ``x`` (3, N) float64 positions in length units; ``charge`` (N,) m * sqrt(dt / 2 / quantum).
    Returns True when every pair lay below 2^pair_bits quanta. 20 operations a pair, O(N^2); the
    body itself is left out by splitting the loop, so that a softening of zero is allowed.
    """
    n = charge.size
    seen = nb.int64(0)
    for i in range(n):
        sx = nb.int64(0)
        sy = nb.int64(0)
        sz = nb.int64(0)
        su = nb.int64(0)
        xi = x[0, i]
        yi = x[1, i]
        zi = x[2, i]
        ci = charge[i]
        for part in range(2):
            for j in range(i + 1 if part else 0, n if part else i):
                dx = x[0, j] - xi
                dy = x[1, j] - yi
                dz = x[2, j] - zi
                r2 = fma(dx, dx, fma(dy, dy, fma(dz, dz, softening2)))
                cc = ci * charge[j]
                inverse = 1.0 / np.sqrt(r2)
                inverse2 = inverse * inverse
                u = cc * inverse
                w = u * inverse2
                sx += bits_of(fma(w, dx, ROUNDER))
                sy += bits_of(fma(w, dy, ROUNDER))
                sz += bits_of(fma(w, dz, ROUNDER))
                ub = bits_of(fma(u, potential_per_charge, ROUNDER))
                su += ub
                # cc / r^2 is at least each component of the kick. Both numbers are positive, so the
                # OR of their bits shows the largest power of two reached, infinity and NaN
                # included.
                seen |= ub | bits_of(fma(cc, inverse2, ROUNDER))
        rounders = nb.int64(ROUNDER_BITS) * nb.int64(n - 1)
        k_q[0, i] = sx - rounders
        k_q[1, i] = sy - rounders
        k_q[2, i] = sz - rounders
        u_q[i] = su - rounders
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


@kernel
def second_order_term(x, p_q, mass, charge, momentum_quantum, dt, softening2, force2, reading):
    """Write H2 and the bound B of the module's page into ``reading``. O(N^2), one pair once."""
    n = mass.size
    signed = 0.0
    magnitude = 0.0
    fastest2 = 0.0
    charge2_to_mass2 = 2.0 * momentum_quantum / dt
    for i in range(n):
        ai = momentum_quantum / mass[i]
        for j in range(i + 1, n):
            aj = momentum_quantum / mass[j]
            r2 = softening2
            v2 = 0.0
            xv = 0.0
            for a in range(3):
                d = x[a, j] - x[a, i]
                v = p_q[a, j] * aj - p_q[a, i] * ai
                r2 += d * d
                v2 += v * v
                xv += d * v
            across = charge[i] * charge[j] * charge2_to_mass2 / (r2 * np.sqrt(r2))
            along = 3.0 * xv * xv / r2
            signed += across * (v2 - along)
            magnitude += across * (v2 + along)
            fastest2 = max(fastest2, (mass[i] + mass[j]) / (r2 * np.sqrt(r2)) + v2 / r2)
    reading[H2] = signed / 12.0 - force2 / 24.0
    reading[BOUND] = (magnitude / 12.0 + force2 / 24.0) * (1.0 + dt * dt * fastest2)


@kernel
def read_state(x, p_q, k_q, u_q, mass, real, reading):
    """Write energy, angular momentum and the variance that one step of rounding adds. O(N)."""
    n = mass.size
    q_x = real[LENGTH_QUANTUM]
    q_p = real[MOMENTUM_QUANTUM]
    dt = real[DT]
    force_quantum = 2.0 * q_p / dt
    kinetic = 0.0
    potential = 0.0
    force2_per_mass = 0.0
    force2 = 0.0
    work = 0.0
    x2 = 0.0
    p2 = 0.0
    v2 = 0.0
    scale = 0.0
    spin_x = 0.0
    spin_y = 0.0
    spin_z = 0.0
    for i in range(n):
        px = p_q[0, i] * q_p
        py = p_q[1, i] * q_p
        pz = p_q[2, i] * q_p
        fx = k_q[0, i] * force_quantum
        fy = k_q[1, i] * force_quantum
        fz = k_q[2, i] * force_quantum
        pp = px * px + py * py + pz * pz
        ff = fx * fx + fy * fy + fz * fz
        xx = x[0, i] * x[0, i] + x[1, i] * x[1, i] + x[2, i] * x[2, i]
        kinetic += pp / mass[i]
        potential += u_q[i]
        force2_per_mass += ff / mass[i]
        force2 += ff
        work += np.sqrt(ff * pp) / mass[i]
        x2 += xx
        p2 += pp
        v2 += pp / (mass[i] * mass[i])
        scale += np.sqrt(xx * pp)
        spin_x += x[1, i] * pz - x[2, i] * py
        spin_y += x[2, i] * px - x[0, i] * pz
        spin_z += x[0, i] * py - x[1, i] * px
    reading[KINETIC] = 0.5 * kinetic
    reading[POTENTIAL] = -0.5 * potential * real[POTENTIAL_QUANTUM]
    reading[FORCE2_PER_MASS] = force2_per_mass
    reading[SPIN_X] = spin_x
    reading[SPIN_Y] = spin_y
    reading[SPIN_Z] = spin_z
    reading[SPIN_SCALE] = scale
    # A rounding error is uniform in +-1/2 quantum, variance 1/12. One pair is rounded once and
    # kicks twice: torque d x 2e with E|d x e|^2 = d^2/6. A drift error turns by d x p. The sum of
    # d^2 over pairs is at most N sum x^2.
    reading[SPIN_STEP_VARIANCE] = (2.0 / 3.0) * q_p * q_p * n * x2 + q_x * q_x * p2 / 6.0
    # The same errors do work: F.d and (v_j - v_i).2e. The float force is off by 4 units of
    # round-off.
    drawn = 4.0 * UNIT_ROUND_OFF * dt * work
    walk = q_x * q_x * force2 / 12.0 + q_p * q_p * n * v2 / 3.0
    reading[ENERGY_STEP_VARIANCE] = walk + drawn * drawn


@kernel
def leapfrog_step(x, x_q, p_q, k_q, u_q, charge, drift, real, pair_bits, direction):
    """Advance the integer state by one kick-drift-kick step in place; return the ranges it left.

    ``k_q`` holds the half kicks at the positions on entry, and at the new positions on return, so
    that a step costs one force evaluation.
    """
    n = charge.size
    left = 0
    for a in range(3):
        for i in range(n):
            p_q[a, i] += direction * k_q[a, i]
            move = np.rint(p_q[a, i] * drift[i])
            # Compared as "not below", so that a NaN is refused too.
            if not np.abs(move) < DRIFT_RANGE:
                return LEFT_DRIFT
            x_q[a, i] += direction * nb.int64(move)
            if np.abs(x_q[a, i]) >= POSITION_RANGE:
                left |= LEFT_POSITION
            x[a, i] = x_q[a, i] * real[LENGTH_QUANTUM]
    if left:
        return left
    if not half_kicks(x, charge, real[SOFTENING2], real[POTENTIAL_PER_CHARGE], pair_bits, k_q, u_q):
        return LEFT_PAIR
    for a in range(3):
        for i in range(n):
            p_q[a, i] += direction * k_q[a, i]
            if np.abs(p_q[a, i]) >= MOMENTUM_RANGE:
                left |= LEFT_MOMENTUM
    return left


@kernel
def verify_step(x, p_q, mass, charge, real, whole, reading, altered, row):
    """Compare one step's readings with the laws, write its errors and limits; return what broke.

    ``altered`` (6,) is added to the readings of energy, angular momentum (3), momentum in quanta,
    and mass in bits; zero but for a drill.
    """
    n = mass.size
    broke = 0
    worst = nb.int64(0)
    for a in range(3):
        total = nb.int64(0)
        for i in range(n):
            total += p_q[a, i]
        if a == 0:
            total += nb.int64(altered[4])
        # Modulo 2^64, in which a law that holds always holds; the caller sums without a modulus.
        whole[FOUND_X + a] = total
        worst = max(worst, np.abs(total - whole[MOMENTUM_X0 + a]))
    row[MOMENTUM_ERROR] = worst
    if worst != 0:
        broke |= BROKE_MOMENTUM
    mass_bits = nb.int64(altered[5])
    for i in range(n):
        mass_bits += bits_of(mass[i])
    if mass_bits != whole[MASS_BITS_0]:
        broke |= BROKE_MASS

    dt2 = real[DT] * real[DT]
    kinetic = reading[KINETIC]
    potential = reading[POTENTIAL]
    error = kinetic + potential + altered[0] - real[ENERGY_0]
    # Reading errors of both energies: n additions of doubles, and half a quantum for each pair.
    read_off = (n + 8) * UNIT_ROUND_OFF * (kinetic - potential + real[ENERGY_SCALE_0])
    round_off = read_off + 0.5 * n * n * real[POTENTIAL_QUANTUM]
    round_off += SIGMAS * np.sqrt(real[ENERGY_VARIANCE])
    limit = dt2 * (reading[FORCE2_PER_MASS] / 24.0 + real[BOUND_0]) + round_off
    if not np.abs(error) <= 0.5 * limit:
        second_order_term(
            x,
            p_q,
            mass,
            charge,
            real[MOMENTUM_QUANTUM],
            real[DT],
            real[SOFTENING2],
            reading[FORCE2_PER_MASS],
            reading,
        )
        limit = dt2 * (reading[BOUND] + real[BOUND_0]) + round_off
        if not np.abs(error) <= limit:
            broke |= BROKE_ENERGY
    row[ENERGY_ERROR] = error
    row[ENERGY_LIMIT] = limit

    dx = reading[SPIN_X] + altered[1] - real[SPIN_X0]
    dy = reading[SPIN_Y] + altered[2] - real[SPIN_Y0]
    dz = reading[SPIN_Z] + altered[3] - real[SPIN_Z0]
    row[SPIN_ERROR] = np.sqrt(dx * dx + dy * dy + dz * dz)
    row[SPIN_LIMIT] = SIGMAS * np.sqrt(real[SPIN_VARIANCE])
    row[SPIN_LIMIT] += (n + 4) * UNIT_ROUND_OFF * (reading[SPIN_SCALE] + real[SPIN_SCALE_0])
    if not row[SPIN_ERROR] <= row[SPIN_LIMIT]:
        broke |= BROKE_SPIN
    return broke


@kernel
def advance_verified(
    steps,
    direction,
    x,
    x_q,
    p_q,
    k_q,
    u_q,
    mass,
    charge,
    drift,
    real,
    whole,
    reading,
    altered,
    push_body,
    push_q,
    before,
    record,
):
    """Take up to ``steps`` verified steps in place; return (steps taken, what broke or was left).

    Stops in the very step that breaks a law, with that step's row in ``record`` and the integers of
    the step before restored from ``before`` (4, 3, N). ``push_q`` is added to the momentum of one
    body after each step, and ``altered`` to the readings: drills call this with steps = 1.
    """
    for step in range(steps):
        for a in range(3):
            for i in range(mass.size):
                before[0, a, i] = x_q[a, i]
                before[1, a, i] = p_q[a, i]
                before[2, a, i] = k_q[a, i]
                before[3, a, i] = u_q[i]
        spin_variance = real[SPIN_VARIANCE]
        energy_variance = real[ENERGY_VARIANCE]
        outcome = leapfrog_step(
            x, x_q, p_q, k_q, u_q, charge, drift, real, whole[PAIR_BITS], direction
        )
        if outcome == 0:
            p_q[0, push_body] += push_q
            read_state(x, p_q, k_q, u_q, mass, real, reading)
            real[SPIN_VARIANCE] += reading[SPIN_STEP_VARIANCE]
            real[ENERGY_VARIANCE] += reading[ENERGY_STEP_VARIANCE]
            outcome = verify_step(x, p_q, mass, charge, real, whole, reading, altered, record[step])
        if outcome != 0:
            real[SPIN_VARIANCE] = spin_variance
            real[ENERGY_VARIANCE] = energy_variance
            for a in range(3):
                for i in range(mass.size):
                    x_q[a, i] = before[0, a, i]
                    p_q[a, i] = before[1, a, i]
                    k_q[a, i] = before[2, a, i]
                    u_q[i] = before[3, a, i]
                    x[a, i] = x_q[a, i] * real[LENGTH_QUANTUM]
            return step, outcome
    return steps, 0
