# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Kick-drift-kick on integers: exact momentum, reversible to the bit, always verified.

The state is int64: positions x_q in quanta of 2^a length units, momenta p_q in quanta of 2^b.
A leapfrog step is

    p += k(x);   x += d(p);   p += k(x)

where k is the pair forces times dt/2, each pair rounded to an integer number of quanta, and d the
velocity times dt, rounded once for each body. ``integrators.composition`` strings several together.

*Momentum.* From either side of a pair x_j - x_i is exactly -(x_i - x_j), r^2 and the product of
charges are identical, and rounding is odd, so k_ji = -k_ij bit for bit, and one of them is enough.
Integer sums do not depend on order: all kicks sum to zero exactly, whatever the order of bodies.

*Any step.* dt enters through the charges c_i = m_i sqrt(weight dt / momentum quantum), whose
product commutes, and through the drift factor. It need not be a power of two: each of the three
lines adds a function of the half of the state that it does not change, and that is a bijection on
integers modulo 2^64 whatever the function. Backwards (``direction`` = -1) it subtracts the same
integers.

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

*Energy with a fast multipole force.* No sum over pairs is made there. v.V''.v = d2V/dt2 + sum F^2/m
along the motion, so the second difference of the potential, which is read at each step, gives H2.
The force is off by delta, the rms relative error that its preset guarantees; by Cauchy-Schwarz that
does at most dt delta sqrt(N sum v^2 F^2) of work in a step and turns by
dt delta sqrt(N sum x^2 F^2), which are summed. The energy read is not the Hamiltonian of the forces
used: it is bounded at the level of the force error and never better.

*Angular momentum* walks at random with the rounding of kicks and drifts, whose variance is summed.

*Small steps.* From one small step to the next a kick hardly changes, is rounded the same way, and
its error repeats. Errors are taken as alike for as long as one of the scenario's own steps, where
they were found to be independent: the variance of a step dt is counted ``COHERENCE`` = max(1, own
step / dt) times.

*Test particles* have mass 0: they feel forces and exert none, count in no total, and their
"momentum" is that of a body of the mass ``inertia``.

Sources: Rein & Tamayo (2018), arXiv:1704.07715 (integer leapfrog); Hairer, Lubich & Wanner (2006),
Geometric Numerical Integration, IX (modified Hamiltonian); Dehnen & Read (2011), arXiv:1105.1082.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import bits_of, kernel

# Columns of the per-step record.
ENERGY_ERROR, ENERGY_LIMIT, SPIN_ERROR, SPIN_LIMIT, MOMENTUM_ERROR, MOMENTUM_LIMIT = range(6)
COLUMNS = 6

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
    FORCE_QUANTUM,  # of the kick at the end of a step, in units of force
    CHARGE2_TO_MASS2,  # undoes what a product of charges is more than a product of masses
    STAGES,  # drifts of a step
    PATH,  # the sum of the stages' |dt| / dt
    ORDER,
    ENERGY_COEFFICIENT,
    FORCE_ERROR,  # rms relative error of the force; 0 for direct summation
    ENERGY_DRIFT,  # what that error may have done to the energy and to the angular momentum
    SPIN_DRIFT,
    CURVATURE,  # d2V/dt2, from the last three potentials
    POTENTIAL_1,  # the potentials one and two steps ago
    POTENTIAL_2,
    HISTORY,  # how many of these are known
    COHERENCE,  # how many steps' roundings are alike
) = range(28)
REALS = 28

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
    WORK_SCALE,
    TORQUE_SCALE,
) = range(13)
READINGS = 13


@kernel
def second_order_term(x, p_q, mass, real, force2, reading):
    """Write H2 and the bound B of the module's page into ``reading``. O(N^2), one pair once.

    For a method of order p > 2, B is that of ``integrators.composition``.
    """
    n = mass.size
    signed = 0.0
    magnitude = 0.0
    fastest2 = 0.0
    for i in range(n):
        if mass[i] == 0.0:
            continue
        ai = real[MOMENTUM_QUANTUM] / mass[i]
        for j in range(i + 1, n):
            if mass[j] == 0.0:
                continue
            aj = real[MOMENTUM_QUANTUM] / mass[j]
            r2 = real[SOFTENING2]
            v2 = 0.0
            xv = 0.0
            for a in range(3):
                d = x[a, j] - x[a, i]
                v = p_q[a, j] * aj - p_q[a, i] * ai
                r2 += d * d
                v2 += v * v
                xv += d * v
            across = mass[i] * mass[j] / (r2 * np.sqrt(r2))
            along = 3.0 * xv * xv / r2
            signed += across * (v2 - along)
            magnitude += across * (v2 + along)
            fastest2 = max(fastest2, (mass[i] + mass[j]) / (r2 * np.sqrt(r2)) + v2 / r2)
    reading[H2] = signed / 12.0 - force2 / 24.0
    bound = (magnitude / 12.0 + force2 / 24.0) * (1.0 + real[DT] * real[DT] * fastest2)
    bound *= real[ENERGY_COEFFICIENT]
    for _ in range((nb.int64(real[ORDER]) - 2) // 2):
        bound *= fastest2
    reading[BOUND] = bound


@kernel
def read_state(x, p_q, k_q, u_q, mass, real, reading):
    """Write energy, angular momentum and the variance that one step of rounding adds. O(N)."""
    n = mass.size
    q_x = real[LENGTH_QUANTUM]
    q_p = real[MOMENTUM_QUANTUM]
    force_quantum = real[FORCE_QUANTUM]
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
    work2 = 0.0
    torque2 = 0.0
    for i in range(n):
        if mass[i] == 0.0:
            continue
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
        work2 += ff * pp / (mass[i] * mass[i])
        torque2 += ff * xx
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
    reading[WORK_SCALE] = np.sqrt(n * work2)
    reading[TORQUE_SCALE] = np.sqrt(n * torque2)
    # A rounding error is uniform in +-1/2 quantum, variance 1/12. One pair is rounded once and
    # kicks both: torque d x 2e with E|d x e|^2 = d^2/6, twice a leapfrog step. A drift error turns
    # by d x p. The sum of d^2 over pairs is at most N sum x^2.
    drifts = real[STAGES]
    kicks = 0.5 * (drifts + 1.0)
    kicked = (2.0 / 3.0) * q_p * q_p * n * x2
    spin = kicks * kicked + drifts * q_x * q_x * p2 / 6.0
    reading[SPIN_STEP_VARIANCE] = spin * real[COHERENCE]
    # The same errors do work: F.d and (v_j - v_i).2e. The float force is off by 4 units of
    # round-off.
    drawn = 4.0 * UNIT_ROUND_OFF * real[DT] * real[PATH] * work
    walk = drifts * q_x * q_x * force2 / 12.0 + kicks * q_p * q_p * n * v2 / 3.0
    reading[ENERGY_STEP_VARIANCE] = (walk + drawn * drawn) * real[COHERENCE]


@kernel
def energy_limit_from_history(kinetic, potential, force2, real):
    """Return dt^2 (B + B(0)) from the second difference of the potential; see the module's page.

    Updates the history in ``real``. Before three potentials are known, the curvature is what the
    first difference would mean for a potential at rest.
    """
    dt2 = real[DT] * real[DT]
    if real[HISTORY] >= 2.0:
        real[CURVATURE] = (potential - 2.0 * real[POTENTIAL_1] + real[POTENTIAL_2]) / dt2
    elif real[CURVATURE] == 0.0:
        real[CURVATURE] = 2.0 * (potential - real[POTENTIAL_1]) / dt2
    bound = np.abs(real[CURVATURE]) / 12.0 + force2 / 24.0
    if kinetic > 0.0:
        bound *= 1.0 + dt2 * force2 / (2.0 * kinetic)
    if real[BOUND_0] == 0.0 or real[HISTORY] == 1.0:
        real[BOUND_0] = max(bound, real[BOUND_0])
    real[POTENTIAL_2] = real[POTENTIAL_1]
    real[POTENTIAL_1] = potential
    real[HISTORY] = min(real[HISTORY] + 1.0, 2.0)
    return dt2 * (bound + real[BOUND_0])


@kernel
def verify_totals(p_q, mass, whole, altered, row):
    """Compare total momentum and mass with their references; write the error, return what broke."""
    worst = nb.int64(0)
    for a in range(3):
        total = nb.int64(0)
        for i in range(mass.size):
            if mass[i] != 0.0:
                total += p_q[a, i]
        if a == 0:
            total += nb.int64(altered[4])
        # Modulo 2^64, in which a law that holds always holds; the caller sums without a modulus.
        whole[FOUND_X + a] = total
        worst = max(worst, np.abs(total - whole[MOMENTUM_X0 + a]))
    row[MOMENTUM_ERROR] = worst
    mass_bits = nb.int64(altered[5])
    for i in range(mass.size):
        mass_bits += bits_of(mass[i])
    broke = 0 if worst == 0 else BROKE_MOMENTUM
    return broke if mass_bits == whole[MASS_BITS_0] else broke | BROKE_MASS


@kernel
def verify_energy(x, p_q, mass, real, reading, altered, row):
    """Write the energy's error and limit; return whether the law broke."""
    n = mass.size
    dt_p = 1.0
    for _ in range(nb.int64(real[ORDER])):
        dt_p *= real[DT]
    kinetic = reading[KINETIC]
    potential = reading[POTENTIAL]
    error = kinetic + potential + altered[0] - real[ENERGY_0]
    # Reading errors of both energies: n additions of doubles, and half a quantum for each pair.
    read_off = (n + 8) * UNIT_ROUND_OFF * (kinetic - potential + real[ENERGY_SCALE_0])
    round_off = read_off + 0.5 * n * n * real[POTENTIAL_QUANTUM]
    round_off += SIGMAS * np.sqrt(real[ENERGY_VARIANCE])
    if real[FORCE_ERROR] > 0.0:
        limit = energy_limit_from_history(kinetic, potential, reading[FORCE2_PER_MASS], real)
        limit += round_off + real[ENERGY_DRIFT]
    else:
        at_hand = reading[FORCE2_PER_MASS] / 24.0 if real[ORDER] == 2.0 else 0.0
        limit = dt_p * (at_hand + real[BOUND_0]) + round_off
        if not np.abs(error) <= 0.5 * limit:
            second_order_term(x, p_q, mass, real, reading[FORCE2_PER_MASS], reading)
            limit = dt_p * (reading[BOUND] + real[BOUND_0]) + round_off
    row[ENERGY_ERROR] = error
    row[ENERGY_LIMIT] = limit
    return 0 if np.abs(error) <= limit else BROKE_ENERGY


@kernel
def verify_spin(n, real, reading, altered, row):
    """Write the angular momentum's error and limit; return whether the law broke."""
    dx = reading[SPIN_X] + altered[1] - real[SPIN_X0]
    dy = reading[SPIN_Y] + altered[2] - real[SPIN_Y0]
    dz = reading[SPIN_Z] + altered[3] - real[SPIN_Z0]
    row[SPIN_ERROR] = np.sqrt(dx * dx + dy * dy + dz * dz)
    row[SPIN_LIMIT] = SIGMAS * np.sqrt(real[SPIN_VARIANCE]) + real[SPIN_DRIFT]
    row[SPIN_LIMIT] += (n + 4) * UNIT_ROUND_OFF * (reading[SPIN_SCALE] + real[SPIN_SCALE_0])
    return 0 if row[SPIN_ERROR] <= row[SPIN_LIMIT] else BROKE_SPIN


@kernel
def read_and_verify(x, p_q, k_q, u_q, mass, real, whole, reading, altered, row):
    """Read a step that was taken, sum up what it may err by, and return what broke. O(N).

    The errors and limits go to ``row``. ``altered`` (6,) is added to the readings of energy,
    angular momentum (3), momentum in quanta, and mass in bits; zero but for a drill.
    """
    read_state(x, p_q, k_q, u_q, mass, real, reading)
    real[SPIN_VARIANCE] += reading[SPIN_STEP_VARIANCE]
    real[ENERGY_VARIANCE] += reading[ENERGY_STEP_VARIANCE]
    real[ENERGY_DRIFT] += real[DT] * real[FORCE_ERROR] * reading[WORK_SCALE]
    real[SPIN_DRIFT] += real[DT] * real[FORCE_ERROR] * reading[TORQUE_SCALE]
    broke = verify_totals(p_q, mass, whole, altered, row)
    broke |= verify_energy(x, p_q, mass, real, reading, altered, row)
    return broke | verify_spin(mass.size, real, reading, altered, row)
