"""The final state of a run as files: NumPy archive and CSV. Pure: a state in, bytes out."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from simulation import engine

COLUMNS = ("name", "mass_kg", "x_m", "y_m", "z_m", "vx_m_per_s", "vy_m_per_s", "vz_m_per_s")


def to_npz(state: engine.RunState, *, summary: dict[str, Any] | None = None) -> bytes:
    """Return a NumPy archive: SI arrays, the integers that the digest is taken over, each
    quantity's error and limit along the run, and a summary as JSON text.

    Readable with ``numpy.load(..., allow_pickle=False)``.
    """
    series = {
        f"{quantity}_{name}": array
        for quantity, found in engine.series(state).items()
        for name, array in vars(found).items()
    }
    file = io.BytesIO()
    np.savez_compressed(
        file,
        names=np.array(state.names),
        mass_kg=state.masses_kg(),
        position_m=state.positions_m(),
        velocity_m_per_s=state.velocities_m_per_s(),
        mass_tu=state.mass,
        step=np.int64(state.step),
        time_s=np.float64(state.time_s),
        digest=np.array(state.digest()),
        summary=np.array(json.dumps(summary or {}, allow_nan=False)),
        **_integers(state),
        **series,
    )
    return file.getvalue()


def _integers(state: engine.RunState) -> dict[str, Any]:
    """Return what the digest is taken over, of a state of integers; a state of doubles has none."""
    if not isinstance(state, engine.State):
        return {}
    return {
        "position_q": state.integer_positions(),
        "momentum_q": state.integer_momenta(),
        "length_exponent": np.int64(state.grid.length_exponent),
        "momentum_exponent": np.int64(state.grid.momentum_exponent),
    }


def to_csv(state: engine.RunState) -> str:
    """Return one row a body in SI; each number is written to give the same bits back."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    masses = state.masses_kg()
    positions, velocities = state.positions_m(), state.velocities_m_per_s()
    for i, name in enumerate(state.names):
        numbers = [masses[i], *positions[i], *velocities[i]]
        writer.writerow([name, *(repr(float(number)) for number in numbers)])
    return file.getvalue()
