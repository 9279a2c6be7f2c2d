# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Steps on the integer state: kicks, drifts, undoing, and whole stretches inside one kernel.

What a step does and why it is exact stands in ``kernels``.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from simulation.engine.arithmetic import kernel
from simulation.engine.forces.direct import pair_kicks
from simulation.engine.kernels import (
    DRIFT_RANGE,
    LEFT_DRIFT,
    LEFT_MOMENTUM,
    LEFT_PAIR,
    LEFT_POSITION,
    LENGTH_QUANTUM,
    MOMENTUM_RANGE,
    PAIR_BITS,
    POSITION_RANGE,
    REALS,
    SOFTENING2,
    read_and_verify,
)


@kernel
def kick_all(p_q, k_q, sign):
    """Add ``sign`` times the kicks to all momenta in place; return whether one left the range."""
    left = 0
    for a in range(3):
        for i in range(p_q.shape[1]):
            p_q[a, i] += sign * k_q[a, i]
            if np.abs(p_q[a, i]) >= MOMENTUM_RANGE:
                left |= LEFT_MOMENTUM
    return left


@kernel
def drift_all(x, x_q, p_q, drift, length_quantum, direction):
    """Move all bodies by one drift in place, ``x`` too; return the ranges that were left."""
    left = 0
    for a in range(3):
        for i in range(p_q.shape[1]):
            move = np.rint(p_q[a, i] * drift[i])
            # Compared as "not below", so that a NaN is refused too.
            if not np.abs(move) < DRIFT_RANGE:
                return LEFT_DRIFT
            x_q[a, i] += direction * nb.int64(move)
            if np.abs(x_q[a, i]) >= POSITION_RANGE:
                left |= LEFT_POSITION
            x[a, i] = x_q[a, i] * length_quantum
    return left


@kernel
def composed_step(x, x_q, p_q, k_q, u_q, sink, source, sign, per_charge, drift, real, whole, way):
    """Advance the integer state by one step in place; return the ranges it left.

    Stage s drifts by ``drift[s]`` and kicks with ``sink[s]``, ``source[s]``, ``sign[s]``. ``k_q``
    holds the first kick at the positions on entry, and at the new positions on return, so that a
    step costs one force evaluation a stage.
    """
    stages, n = drift.shape
    left = kick_all(p_q, k_q, way)
    for s in range(stages):
        left |= drift_all(x, x_q, p_q, drift[s], real[LENGTH_QUANTUM], way)
        if left:
            return left
        within = pair_kicks(
            x,
            sink[s],
            source[s],
            real[SOFTENING2],
            per_charge[s],
            whole[PAIR_BITS],
            0,
            n,
            k_q,
            u_q,
        )
        if not within:
            return LEFT_PAIR
        left |= kick_all(p_q, k_q, way * sign[s])
    return left


@kernel
def remember(x_q, p_q, k_q, u_q, before):
    """Copy the integers of a verified step into ``before`` (4, 3, N)."""
    for a in range(3):
        for i in range(u_q.size):
            before[0, a, i] = x_q[a, i]
            before[1, a, i] = p_q[a, i]
            before[2, a, i] = k_q[a, i]
            before[3, a, i] = u_q[i]


@kernel
def restore(x, x_q, p_q, k_q, u_q, before, length_quantum):
    """Put back what ``remember`` kept."""
    for a in range(3):
        for i in range(u_q.size):
            x_q[a, i] = before[0, a, i]
            p_q[a, i] = before[1, a, i]
            k_q[a, i] = before[2, a, i]
            u_q[i] = before[3, a, i]
            x[a, i] = x_q[a, i] * length_quantum


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
    sink,
    source,
    sign,
    per_charge,
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

    Direct summation on one thread. Stops in the very step that breaks a law, with that step's row
    in ``record`` and the integers of the step before restored from ``before`` (4, 3, N). ``push_q``
    is added to the momentum of one body after each step, and ``altered`` to the readings: drills
    call this with steps = 1.
    """
    kept = np.empty(REALS)
    for step in range(steps):
        remember(x_q, p_q, k_q, u_q, before)
        kept[:] = real
        outcome = composed_step(
            x, x_q, p_q, k_q, u_q, sink, source, sign, per_charge, drift, real, whole, direction
        )
        if outcome == 0:
            p_q[0, push_body] += push_q
            outcome = read_and_verify(
                x, p_q, k_q, u_q, mass, real, whole, reading, altered, record[step]
            )
        if outcome != 0:
            real[:] = kept
            restore(x, x_q, p_q, k_q, u_q, before, real[LENGTH_QUANTUM])
            return step, outcome
    return steps, 0
