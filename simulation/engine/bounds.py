# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""The energy's bound where more acts than the pairs of open space: user forces, periodic boxes.

The limit is that of ``kernels``, c dt^p (B W^(p-2) + B(0) W(0)^(p-2)) and round-off, with two more
parts of B = (M/12 + sum F^2/24m)(1 + (dt W)^2), M being v.V''.v with every term by its magnitude:

*Images.* Pairs are taken at the nearest image, and the rest of Ewald's sum bends by at most
CURVATURE/L^3 in any direction (measured over the cube of nearest images: 18.3).

*User forces.* U'' is not known, but v.U''.v is the change of the force along the motion, and a
function can be asked for that: |v.(F(x + dt v) - F(x - dt v))|/2 dt, body by body. Their frequency
is |F(x + dt v) - F(x - dt v)|/(2 dt m |v|), and adds to that of the pairs.

As in ``kernels``, B is only made where half of what is at hand does not contain the error already.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from simulation.engine import kernels
from simulation.engine.arithmetic import kernel

if TYPE_CHECKING:
    from simulation.engine.state import State

CURVATURE = 20.0


@kernel
def _pairs(x, p_q, mass, momentum_quantum, softening2, box):
    """Return (M, the fastest motion W^2) over pairs; ``box`` is 0 in open space. O(N^2)."""
    n = mass.size
    rest = 0.0 if box == 0.0 else CURVATURE / (box * box * box)
    magnitude = 0.0
    fastest2 = 0.0
    for i in range(n):
        if mass[i] == 0.0:
            continue
        for j in range(i + 1, n):
            if mass[j] == 0.0:
                continue
            r2 = softening2
            v2 = 0.0
            xv = 0.0
            for a in range(3):
                d = x[a, j] - x[a, i]
                if box > 0.0:
                    d -= box * np.rint(d / box)
                v = momentum_quantum * (p_q[a, j] / mass[j] - p_q[a, i] / mass[i])
                r2 += d * d
                v2 += v * v
                xv += d * v
            near = 1.0 / (r2 * np.sqrt(r2))
            bends = near * (v2 + 3.0 * xv * xv / r2) + rest * v2
            magnitude += mass[i] * mass[j] * bends
            fastest2 = max(fastest2, (mass[i] + mass[j]) * (near + rest) + v2 / r2)
    return magnitude, fastest2


def second_order_bound(state: State) -> float:
    """Return B W^(p-2) of a state as it was last read, with the method's coefficient."""
    real, order = state.real, state.method.order
    magnitude, fastest2 = _pairs(
        state.x,
        state.p_q,
        state.mass,
        real[kernels.MOMENTUM_QUANTUM],
        real[kernels.SOFTENING2],
        state.request.box or 0.0,
    )
    for force in state.user_forces:
        if "energy" not in state.unclaimed:
            bends, rate2 = force.change_along(state)
            magnitude += bends
            fastest2 += rate2
    bound = magnitude / 12.0 + float(state.reading[kernels.FORCE2_PER_MASS]) / 24.0
    bound *= (1.0 + state.dt_tu * state.dt_tu * fastest2) * real[kernels.ENERGY_COEFFICIENT]
    for _ in range((order - 2) // 2):
        bound *= fastest2
    return float(bound)


def verify_energy_with_fields(state: State, altered: np.ndarray, row: np.ndarray) -> int:
    """Do what ``kernels.verify_energy`` does, with the bound above."""
    real, reading, n = state.real, state.reading, state.bodies
    dt_p = math.prod([state.dt_tu] * state.method.order)
    kinetic, potential = float(reading[kernels.KINETIC]), float(reading[kernels.POTENTIAL])
    error = kinetic + potential + float(altered[0]) - float(real[kernels.ENERGY_0])
    size = kinetic - potential + float(real[kernels.ENERGY_SCALE_0])
    round_off = (n + 8) * kernels.UNIT_ROUND_OFF * size
    round_off += 0.5 * n * n * float(real[kernels.POTENTIAL_QUANTUM])
    round_off += kernels.SIGMAS * math.sqrt(real[kernels.ENERGY_VARIANCE])
    round_off += float(real[kernels.ENERGY_DRIFT])
    at_hand = float(reading[kernels.FORCE2_PER_MASS]) / 24.0 if state.method.order == 2 else 0.0
    limit = dt_p * (at_hand + float(real[kernels.BOUND_0])) + round_off
    if not abs(error) <= 0.5 * limit:
        limit = dt_p * (second_order_bound(state) + float(real[kernels.BOUND_0])) + round_off
    row[kernels.ENERGY_ERROR], row[kernels.ENERGY_LIMIT] = error, limit
    return 0 if abs(error) <= limit else kernels.BROKE_ENERGY
