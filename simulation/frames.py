"""Where the bodies of a run stand, as a small binary frame for a page to draw. Pure: no database.

A frame is a header of 48 bytes and then three float32 (x, y, z) for each body in it, all
little-endian; ``static/simulation/bodies.js`` reads it:

    offset  type     what
         0  4 bytes  magic, "AIIF"
         4  uint16   version, 1
         6  uint16   length of this header, 48
         8  uint64   step
        16  uint32   bodies of the run
        20  uint32   bodies in this frame
        24  float64  scale: what 1 in a position is, in metres
        32  float64  time since step 0, seconds
        40  float64  when the step was reached, seconds since 1970

Positions are in the scenario's unit of length: single precision then keeps seven digits of them at
any scale. Of more than ``BODIES_MAX`` bodies an even choice is sent, always the same ones.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from simulation import engine

MAGIC = b"AIIF"
VERSION = 1
BODIES_MAX = 20_000
_HEADER = struct.Struct("<4sHHQIIddd")


@dataclass(frozen=True)
class Frame:
    """A frame's numbers: ``positions`` (count, 3) float32 in units of ``scale_m``."""

    step: int
    bodies: int
    scale_m: float
    time_s: float
    at: datetime
    positions: np.ndarray

    @property
    def chosen(self) -> np.ndarray:
        """The numbers of the bodies in the frame, ascending."""
        return choose(self.bodies)


def choose(bodies: int) -> np.ndarray:
    """Return which bodies a frame shows: all, or ``BODIES_MAX`` of them evenly spaced."""
    count = min(bodies, BODIES_MAX)
    return np.arange(count, dtype=np.int64) * bodies // count


def encode(state: engine.RunState, at: datetime) -> bytes:
    """Return the frame of a state that was reached at a time; O(N)."""
    chosen = choose(state.bodies)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        _HEADER.size,
        state.step,
        state.bodies,
        chosen.size,
        state.definition.length_m,
        state.time_s,
        at.timestamp(),
    )
    return header + state.positions_tu()[chosen].astype("<f4").tobytes()


def decode(content: bytes) -> Frame:
    """Return the numbers of a frame; raises ``ValueError`` for what is none of this version."""
    if len(content) < _HEADER.size:
        raise ValueError("these bytes are no frame: too short")
    magic, version, size, step, bodies, count, scale_m, time_s, at_s = _HEADER.unpack_from(content)
    if magic != MAGIC or version != VERSION:
        raise ValueError("these bytes are no frame of this version")
    if len(content) != size + 12 * count:
        raise ValueError("the frame is not complete")
    positions = np.frombuffer(content, "<f4", 3 * count, size).reshape(count, 3)
    return Frame(step, bodies, scale_m, time_s, datetime.fromtimestamp(at_s, UTC), positions)
