"""Periodic boxes: positions that wrap exactly, and what becomes of the laws.

*Wrapping.* The side of the box is a power of two and so a power of two of quanta. Coordinates are
kept in -L/2 .. L/2 by masking the integers: arithmetic modulo L instead of modulo 2^64. A drift is
then an addition in a smaller group, still a bijection, and a run retraces to the bit.

*Forces* are those of all images (``forces.images``).

*Laws.* Momentum is exact. Angular momentum is not conserved: a box has no axis of its own. Energy
is that of all pairs with their images; a body's energy with its own images is a constant and left
out. Its bound stands in ``bounds``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from conservation import Law
from simulation.engine import kernels
from simulation.engine.errors import BadRequest
from simulation.engine.forces.images import POTENTIAL_MAX

if TYPE_CHECKING:
    from simulation.engine.requests import Request
    from simulation.engine.state import State

# Quanta of length in the side: coordinates stay below 2^50, and a drift may pass a quarter of it.
_BOX_BITS = 51
BOX_QUANTA = 2**_BOX_BITS
# How far the pull on a face is from 0, m/L^2: of the table, and of softening squared (measured).
_FACE_ERROR, _FACE_ERROR_SOFTENED = 3e-5, 0.005
# The largest share of the box that the softening may be.
_SOFTENING_SHARE = 8.0


def box_exponent(box: float) -> int:
    """Return the exponent of the quantum of length of which a box's side has ``BOX_QUANTA``."""
    return math.frexp(box)[1] - 1 - _BOX_BITS


def wrap(x_q: np.ndarray, side_q: int) -> None:
    """Bring integer coordinates (3, N) back to -side/2 <= x < side/2, in place.

    ``side_q`` is a power of two; exact, whatever the coordinate.
    """
    x_q += side_q // 2
    x_q &= side_q - 1
    x_q -= side_q // 2


def check_within(request: Request, position: np.ndarray) -> None:
    """Raise ``BadRequest`` where a body (N, 3) stands outside the box."""
    if request.box is None:
        return
    farthest = float(np.max(np.abs(position)))
    if not farthest <= 0.5 * request.box:
        raise BadRequest(
            f"The box of {request.box:g} is smaller than the bodies: one stands {farthest:.6g} "
            "from the centre along an axis. Choose a larger power of two."
        )
    if request.softening_tu > request.box / _SOFTENING_SHARE:
        raise BadRequest(
            f"The softening of {request.softening_tu:g} is more than an eighth of the box of "
            f"{request.box:g}; choose a smaller softening or a larger box."
        )


def energy_scale_tu(request: Request, mass: np.ndarray) -> float:
    """Return the most that corrections add to the size of the potential energy."""
    if request.box is None:
        return 0.0
    return POTENTIAL_MAX * math.fsum(mass) ** 2 / request.box


def add_face_variance(state: State) -> None:
    """Add to the energy's variance what the small jumps of pulls on faces do in one step. O(N).

    A pair that crosses a face with relative speed v meets a jump of 2 d m_i m_j/L^2 somewhere in a
    step: an error of at most d m_i m_j v dt/L^2 of either sign. It crosses 3 faces, each every
    L/2v. Sums over pairs are bounded by Cauchy's inequality, v by twice the largest speed.
    """
    box = state.request.box
    if box is None:
        return
    velocity = state.p_q * (state.grid.momentum_quantum / state.inertia)
    speed2 = np.sum(velocity**2, axis=0)
    mass2 = state.mass**2
    error = _FACE_ERROR + _FACE_ERROR_SOFTENED * (state.softening_tu / box) ** 2
    kicked = error * state.dt_tu / box**2
    often = 3.0 * 4.0 * math.sqrt(float(np.max(speed2))) * state.dt_tu / box
    pairs = float(np.sum(mass2)) * float(np.sum(mass2 * speed2))
    state.real[kernels.ENERGY_VARIANCE] += often * kicked**2 * pairs


def unclaimed_by_boundary(request: Request) -> dict[str, str]:
    """Return the laws that the boundary takes away, each with its reason."""
    if request.box is None:
        return {}
    return {
        "angular_momentum": "Not claimed: a periodic box has no axis of its own, its images turn "
        "the bodies, and angular momentum is not conserved in it."
    }


def laws_with_boundary(laws: dict[str, Law], request: Request) -> dict[str, Law]:
    """Return the laws with the reasons that a periodic box changes."""
    if request.box is None:
        return laws
    reason = laws["energy"].reason + " Pairs count with all their images, by Ewald's sum."
    return {**laws, "energy": replace(laws["energy"], reason=reason)}
