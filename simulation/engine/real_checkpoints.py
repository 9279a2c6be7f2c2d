"""A run on doubles as bytes: a checksum, a JSON header and the arrays, as ``checkpoints``."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulation.engine.checkpoints import REAL_MAGIC as MAGIC
from simulation.engine.checkpoints import names_of, request_of, seal, unseal
from simulation.engine.errors import BadRequest, CheckpointDamaged
from simulation.engine.integrators import planetary
from simulation.engine.real_state import RealState
from simulation.engine.scenarios import numbered
from simulation.engine.series import Track


def to_bytes(state: RealState) -> bytes:
    """Return the whole run so far as bytes: state, references and series."""
    header: dict[str, Any] = {
        "request": state.request.to_json(),
        "custom": state.definition.limits,
        "names": None if state.names == numbered(state.bodies) else state.names,
        "step": state.step,
        "broken": state.broken,
        "tracks": {name: track.to_json() for name, track in state.tracks.items()},
        "digest_start": state.digest_start,
        "digest": state.digest(),
        "mass_0_q": state.mass_0_q,
        "order": state.order.tolist(),
        "real": state.real.tolist(),
        "row": state.row.tolist(),
        "weights": state.weights.tolist(),
        "memory": state.memory.tolist(),
        "scale_0": state.scale_0.tolist(),
    }
    return seal(MAGIC, header, state.mass.astype("<f8"), state.y.astype("<f8"))


def from_bytes(content: bytes) -> RealState:
    """Return the run of a checkpoint, verified against its checksum and its own digest.

    Raises ``CheckpointDamaged``; nothing of a damaged checkpoint is used.
    """
    header, arrays = unseal(MAGIC, content)
    try:
        return _rebuild(header, arrays)
    except (KeyError, ValueError, TypeError, BadRequest) as error:
        raise CheckpointDamaged(f"The checkpoint cannot be read: {error}.") from error


def _rebuild(header: dict[str, Any], arrays: bytes) -> RealState:
    request = request_of(header)
    n = request.bodies
    content = np.frombuffer(arrays, "<f8").astype(np.float64)
    names = names_of(header, n)
    state = _standing(request, names, content[:n], header["order"])
    state.y[:] = content[n:].reshape(state.y.shape)
    _restore_history(state, header)
    if state.digest() != header["digest"]:
        raise ValueError("the state does not have the digest that was stored with it")
    return state


def _standing(request: Any, names: tuple[str, ...], mass: np.ndarray, order: Any) -> RealState:
    """Return a state whose arrays are still to be filled: it was checked when it was made."""
    state = RealState.__new__(RealState)
    state.begin(request, names, mass, np.array(order, dtype=np.int64))
    return state


def _restore_history(state: RealState, header: dict[str, Any]) -> None:
    state.step = int(header["step"])
    state.broken = header["broken"]
    state.tracks = {name: Track.from_json(track) for name, track in header["tracks"].items()}
    state.digest_start = header["digest_start"]
    state.mass_0_q = int(header["mass_0_q"])
    state.real[:] = header["real"]
    state.row[:] = header["row"]
    state.memory[:] = header["memory"]
    state.weights = np.array(header["weights"]).reshape(2, planetary.MEMORY)
    state.scale_0 = np.array(header["scale_0"])
    state.refresh()
