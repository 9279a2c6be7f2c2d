"""A run on doubles as bytes: a checksum, a JSON header and the arrays, as ``checkpoints``."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from simulation.engine.checkpoints import REAL_MAGIC as MAGIC
from simulation.engine.custom import scenario_of_limits
from simulation.engine.errors import BadRequest, CheckpointDamaged
from simulation.engine.integrators import planetary
from simulation.engine.real_state import RealState
from simulation.engine.requests import check_request
from simulation.engine.scenarios import SCENARIOS, numbered
from simulation.engine.series import Track

_DIGEST_BYTES = 32


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
    text = json.dumps(header, allow_nan=False).encode("ascii")
    body = len(text).to_bytes(8, "little") + text
    body += state.mass.astype("<f8").tobytes() + state.y.astype("<f8").tobytes()
    return MAGIC + hashlib.sha256(body).digest() + body


def from_bytes(content: bytes) -> RealState:
    """Return the run of a checkpoint, verified against its checksum and its own digest.

    Raises ``CheckpointDamaged``; nothing of a damaged checkpoint is used.
    """
    start = len(MAGIC) + _DIGEST_BYTES
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        raise CheckpointDamaged("The checkpoint is damaged: its checksum does not match.")
    try:
        return _rebuild(body)
    except (KeyError, ValueError, TypeError, BadRequest) as error:
        raise CheckpointDamaged(f"The checkpoint cannot be read: {error}.") from error


def _rebuild(body: bytes) -> RealState:
    size = int.from_bytes(body[:8], "little")
    header: dict[str, Any] = json.loads(body[8 : 8 + size])
    wanted = dict(header["request"])
    # A fixed scenario takes no number of bodies, but a checkpoint names it.
    n = wanted.pop("bodies")
    if header["custom"] is not None:
        wanted["scenario"] = scenario_of_limits(header["custom"])
        fixed = True
    else:
        fixed = wanted["scenario"] in SCENARIOS and SCENARIOS[wanted["scenario"]].is_fixed
    request = check_request(bodies=None if fixed else n, **wanted)
    if request.bodies != n:
        raise ValueError("the number of bodies is not the scenario's")
    content = np.frombuffer(body, "<f8", offset=8 + size).astype(np.float64)
    names = numbered(n) if header["names"] is None else tuple(header["names"])
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
