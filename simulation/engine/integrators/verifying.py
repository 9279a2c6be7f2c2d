# mypy: disable-error-code="no-untyped-def"
"""The laws of an integrator on doubles, verified after each step, with limits that are derived.

A sum of n rounded terms errs like a random walk: each rounding is off by at most u = 2^-53 of its
result, evenly spread, so by u/sqrt(3) of it in the mean square. A method says how many roundings at
the full size of the state one of its steps makes; their variances are added up step by step at the
size that the state has there. The reading itself rounds about 2 N + 8 times at the size of the sum,
at the start and now. Six standard deviations are allowed (``kernels.SIGMAS``). A bounded law adds
what the method may stray by, from its order, the step and the state.
"""

from __future__ import annotations

import math

from simulation.engine.arithmetic import bits_of, kernel
from simulation.engine.kernels import (
    BROKE_ENERGY,
    BROKE_MASS,
    BROKE_MOMENTUM,
    BROKE_SPIN,
    ENERGY_ERROR,
    ENERGY_LIMIT,
    MOMENTUM_ERROR,
    MOMENTUM_LIMIT,
    SIGMAS,
    SPIN_ERROR,
    SPIN_LIMIT,
    UNIT_ROUND_OFF,
)

# What one step reads, N-body units; BOUND is what the method may stray by at that state.
ENERGY, PX, PY, PZ, SPIN_X, SPIN_Y, SPIN_Z = range(7)
ENERGY_SCALE, MOMENTUM_SCALE, SPIN_SCALE, BOUND = range(7, 11)
READINGS = 11

# ``real``: references of step 0 in the places of the reading (0 to 6), then what accumulates.
(
    DT,
    SOFTENING2,
    BOUND_MAX,  # the largest BOUND so far
    ENERGY_VARIANCE,
    MOMENTUM_VARIANCE,
    SPIN_VARIANCE,
    SUBSTEP,  # how long the next substep may be; 0 before the first
    DT_LAST,  # how long the last one was
    SUBSTEPS,  # taken so far
    MASS_BITS,  # low and high half of the masses' bits, summed
    MASS_BITS_HIGH,
) = range(7, 18)
REALS = 18
# What a fault adds: to energy, angular momentum, momentum and mass (``integrate``'s places).
ALTER_ENERGY, ALTER_SPIN, ALTER_MOMENTUM, ALTER_MASS = 0, 3, 4, 5


@kernel
def mass_bits(mass):
    """Return the sums of the low and of the high 32 bits of the masses: exact in doubles."""
    low, high = 0.0, 0.0
    for i in range(mass.size):
        bits = bits_of(mass[i])
        low += float(bits & 0xFFFFFFFF)
        high += float(bits >> 32)
    return low, high


@kernel
def note_roundings(real, energy_scale, momentum_scale, spin_scale, orbit, centre):
    """Add a (sub)step's variance: ``orbit`` roundings of the state, ``centre`` of its drift."""
    square = UNIT_ROUND_OFF * UNIT_ROUND_OFF / 3.0
    real[ENERGY_VARIANCE] += orbit * square * energy_scale * energy_scale
    real[SPIN_VARIANCE] += orbit * square * spin_scale * spin_scale
    real[MOMENTUM_VARIANCE] += centre * square * momentum_scale * momentum_scale


@kernel
def verify(reading, mass, real, altered, row):
    """Hold a step's reading to the laws; write its errors and limits; return the laws it broke."""
    roundings = 2.0 * (2.0 * mass.size + 8.0) * UNIT_ROUND_OFF * UNIT_ROUND_OFF / 3.0
    real[BOUND_MAX] = max(real[BOUND_MAX], reading[BOUND])
    energy2 = roundings * reading[ENERGY_SCALE] * reading[ENERGY_SCALE]
    momentum2 = roundings * reading[MOMENTUM_SCALE] * reading[MOMENTUM_SCALE]
    spin2 = roundings * reading[SPIN_SCALE] * reading[SPIN_SCALE]
    row[ENERGY_ERROR] = reading[ENERGY] - real[ENERGY] + altered[ALTER_ENERGY]
    row[SPIN_ERROR] = _distance(reading, real, SPIN_X) + altered[ALTER_SPIN]
    row[MOMENTUM_ERROR] = _distance(reading, real, PX) + altered[ALTER_MOMENTUM]
    # The start and now may each stray by the bound.
    row[ENERGY_LIMIT] = 2.0 * real[BOUND_MAX] + SIGMAS * math.sqrt(real[ENERGY_VARIANCE] + energy2)
    row[SPIN_LIMIT] = SIGMAS * math.sqrt(real[SPIN_VARIANCE] + spin2)
    row[MOMENTUM_LIMIT] = SIGMAS * math.sqrt(real[MOMENTUM_VARIANCE] + momentum2)
    broken = 0
    # Each written so that NaN breaks its law.
    if not abs(row[ENERGY_ERROR]) <= row[ENERGY_LIMIT]:
        broken |= BROKE_ENERGY
    if not abs(row[SPIN_ERROR]) <= row[SPIN_LIMIT]:
        broken |= BROKE_SPIN
    if not abs(row[MOMENTUM_ERROR]) <= row[MOMENTUM_LIMIT]:
        broken |= BROKE_MOMENTUM
    low, high = mass_bits(mass)
    if low + altered[ALTER_MASS] != real[MASS_BITS] or high != real[MASS_BITS_HIGH]:
        broken |= BROKE_MASS
    return broken


@kernel
def _distance(reading, real, first):
    dx = reading[first] - real[first]
    dy = reading[first + 1] - real[first + 1]
    dz = reading[first + 2] - real[first + 2]
    return math.sqrt(dx * dx + dy * dy + dz * dz)


@kernel
def copy_into(target, source):
    """Copy a C-contiguous array: a plain loop, which compiles faster than ``target[:] =``."""
    to, of = target.reshape(-1), source.reshape(-1)
    for k in range(of.size):
        to[k] = of[k]
