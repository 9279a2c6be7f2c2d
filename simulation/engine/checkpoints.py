"""A run as bytes: a checksum, a JSON header and the integer arrays.

A resumed run ends on the same digest. Forces and readings are not stored: they are functions of the
integers. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from conservation import Value
from simulation.engine.custom import scenario_of_limits
from simulation.engine.errors import BadRequest, CheckpointDamaged
from simulation.engine.forces.user import UserForce, check_user_forces
from simulation.engine.requests import Request, check_request
from simulation.engine.scenarios import SCENARIOS, numbered
from simulation.engine.series import Track

if TYPE_CHECKING:
    from simulation.engine.state import State

MAGIC = b"AII checkpoint 1\n"
REAL_MAGIC = b"AII checkpoint of doubles 1\n"
_DIGEST_BYTES = 32


def to_bytes(state: State) -> bytes:
    """Return the whole run so far as bytes: state, references, proofs and series."""
    header: dict[str, Any] = {
        "request": state.request.to_json(),
        "custom": state.definition.limits,
        "names": None if state.names == numbered(state.bodies) else state.names,
        "step": state.step,
        "proved_steps": state.proved_steps,
        "information_lost": state.information_lost,
        "broken": state.broken,
        "tracks": {name: track.to_json() for name, track in state.tracks.items()},
        "digest_start": state.digest_start,
        "digest": state.digest(),
        "momentum_0_q": state.momentum_0_q,
        "mass_0_q": state.mass_0_q,
        "real": state.real.tolist(),
        "whole": state.whole.tolist(),
        "row": state.row.tolist(),
    }
    if state.request.collisions is not None:
        header |= {
            "bodies": state.bodies,
            "radius_q": state.radius_q.tolist(),
            "mass_exponent": state.mass_exponent,
            "started": state.started,
            "flux_tu": state.flux_tu,
        }
    if state.user_forces:
        header["user_forces"] = [force.name for force in state.user_forces]
        header["energy_scale_0"] = state.energy_scale_0
    return seal(
        MAGIC, header, state.mass.astype("<f8"), state.x_q.astype("<i8"), state.p_q.astype("<i8")
    )


def seal(magic: bytes, header: dict[str, Any], *arrays: np.ndarray) -> bytes:
    """Return magic, checksum, the length of the header, the header as JSON, the arrays."""
    text = json.dumps(header, allow_nan=False).encode("ascii")
    body = len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays)
    return magic + hashlib.sha256(body).digest() + body


def unseal(magic: bytes, content: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the bytes of the arrays; raise ``CheckpointDamaged``."""
    start = len(magic) + _DIGEST_BYTES
    body = content[start:]
    if hashlib.sha256(body).digest() != content[len(magic) : start]:
        raise CheckpointDamaged("The checkpoint is damaged: its checksum does not match.")
    size = int.from_bytes(body[:8], "little")
    try:
        return json.loads(body[8 : 8 + size]), body[8 + size :]
    except ValueError as error:
        raise CheckpointDamaged(f"The checkpoint cannot be read: {error}.") from error


def request_of(header: dict[str, Any]) -> Request:
    """Return the request of a header, checked anew. Raises ``BadRequest``, ``ValueError``."""
    wanted = dict(header["request"])
    # A fixed scenario takes no number of bodies, but a checkpoint names it.
    bodies = wanted.pop("bodies")
    if header["custom"] is not None:
        wanted["scenario"] = scenario_of_limits(header["custom"])
        fixed = True
    else:
        fixed = wanted["scenario"] in SCENARIOS and SCENARIOS[wanted["scenario"]].is_fixed
    request = check_request(bodies=None if fixed else bodies, **wanted)
    if request.bodies != bodies:
        raise ValueError("the number of bodies is not the scenario's")
    return request


def names_of(header: dict[str, Any], bodies: int) -> tuple[str, ...]:
    """Return the bodies' names."""
    return numbered(bodies) if header["names"] is None else tuple(header["names"])


def from_bytes(content: bytes, user_forces: Iterable[UserForce] = ()) -> State:
    """Return the run of a checkpoint, verified against its checksum and its own digest.

    A function is not stored: ``user_forces`` are those of the run, by the same names. Raises
    ``CheckpointDamaged``; nothing of a damaged checkpoint is used.
    """
    if content.startswith(REAL_MAGIC):
        return _of_doubles(content)
    if not content.startswith(MAGIC):
        raise CheckpointDamaged("These bytes are no checkpoint of this engine.")
    header, arrays = unseal(MAGIC, content)
    try:
        return _rebuild(header, arrays, check_user_forces(user_forces))
    except (KeyError, ValueError, TypeError, BadRequest) as error:
        raise CheckpointDamaged(f"The checkpoint cannot be read: {error}.") from error


def _of_doubles(content: bytes) -> Any:
    from simulation.engine.real_checkpoints import from_bytes

    return from_bytes(content)


def _rebuild(header: dict[str, Any], arrays: bytes, user_forces: tuple[UserForce, ...]) -> State:
    from simulation.engine.state import State

    named = header.get("user_forces", [])
    if named != [force.name for force in user_forces]:
        raise BadRequest(f"its user forces are {', '.join(named) or 'none'}; give just these")
    request = request_of(header)
    bodies = int(header.get("bodies", request.bodies))
    mass, x_q, p_q = _arrays(arrays, bodies)
    names = names_of(header, bodies)
    radius_q = np.array(header["radius_q"], dtype=np.int64) if request.collisions else None
    state = State(request, names, mass, x_q, p_q, user_forces=user_forces, radius_q=radius_q)
    if state.digest() != header["digest"]:
        raise ValueError("the state does not have the digest that was stored with it")
    _restore_history(state, header)
    return state


def _restore_history(state: State, header: dict[str, Any]) -> None:
    state.step = int(header["step"])
    state.proved_steps = int(header["proved_steps"])
    state.information_lost = bool(header["information_lost"])
    state.broken = header["broken"]
    state.tracks = {name: Track.from_json(track) for name, track in header["tracks"].items()}
    state.digest_start = header["digest_start"]
    x, y, z = header["momentum_0_q"]
    state.momentum_0_q = (int(x), int(y), int(z))
    state.mass_0_q = int(header["mass_0_q"])
    state.real[:] = header["real"]
    state.whole[:] = header["whole"]
    state.row[:] = header["row"]
    if state.request.collisions is not None:
        state._mass_exponent = int(header["mass_exponent"])
        state.started = {name: _value(value) for name, value in header["started"].items()}
        state.flux_tu = {name: _value(value) for name, value in header["flux_tu"].items()}
    if state.user_forces:
        state.energy_scale_0 = float(header["energy_scale_0"])
        # These may depend on the time, which the state did not know when it was made.
        state.refresh()


def _arrays(content: bytes, bodies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if len(content) != 7 * 8 * bodies:
        raise ValueError("the arrays are not complete")
    mass = np.frombuffer(content, "<f8", bodies).astype(np.float64)
    whole = np.frombuffer(content, "<i8", 6 * bodies, 8 * bodies).astype(np.int64)
    x_q, p_q = whole.reshape(2, 3, bodies)
    return mass, np.ascontiguousarray(x_q), np.ascontiguousarray(p_q)


def _value(stored: Any) -> Value:
    return tuple(float(each) for each in stored) if isinstance(stored, list) else float(stored)
