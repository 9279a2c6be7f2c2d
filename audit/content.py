"""The two sealed parts of an entry: who did it from where and why; what was changed.

A part is 16 random bytes and JSON. Its digest stands in the leaf, so a part that was opened for an
auditor can be checked; once the key is destroyed, the random bytes keep anybody from guessing the
text by its digest.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

SALT_BYTES = 16
# Entries say what changed, not what files hold.
PART_BYTES_MAX = 256 * 1024


class TooMuchToSay(ValueError):
    """A part is longer than an entry may hold: a bug of the service that recorded it."""


def pack(payload: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return a part before sealing, and its digest; empty values are left out."""
    said = {key: _plain(value) for key, value in payload.items() if value not in (None, "", {})}
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    part = os.urandom(SALT_BYTES) + text.encode("utf-8", "backslashreplace")
    if len(part) > PART_BYTES_MAX:
        raise TooMuchToSay(f"A part of an entry may hold {PART_BYTES_MAX} bytes, not {len(part)}.")
    return part, sha256(part).digest()


def unpack(part: bytes) -> dict[str, Any]:
    """Return what an opened part says."""
    said: dict[str, Any] = json.loads(part[SALT_BYTES:])
    return said


def _plain(value: Any) -> Any:
    """Return a value as JSON can say it: numbers that are none, times and ids as text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)
