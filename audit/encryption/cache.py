"""Unwrapped data keys, kept in this process's memory for a few seconds.

A destroyed key stops working in every other process within ``KEEP_S``, counted from before the
query that found it alive: that bound is the price of sealing without a query. The process that
destroys a key forgets it at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEEP_S = 5.0
KEYS_MAX = 4096


@dataclass(frozen=True, slots=True, repr=False)
class OpenKey:
    """A data key ready for use; without a cipher when it was destroyed."""

    id: UUID
    subject_id: str
    generation: int
    cipher: AESGCM | None

    def __repr__(self) -> str:
        return f"<data key {self.id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a data key is not pickled")


class KeyCache:
    """The keys used last, by (schema, key id) and by (schema, subject)."""

    def __init__(self, *, keep_s: float = KEEP_S, keys_max: int = KEYS_MAX) -> None:
        self._keep_s, self._entries_max = keep_s, 2 * keys_max
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, tuple[float, OpenKey]] = OrderedDict()

    def get(self, place: Hashable) -> OpenKey | None:
        """Return the key kept under a place, None where there is none or it is too old."""
        with self._lock:
            found = self._entries.get(place)
            if found is None or time.monotonic() >= found[0]:
                return None
            self._entries.move_to_end(place)
            return found[1]

    def put(self, place: Hashable, key: OpenKey, *, read_s: float) -> None:
        """Keep a key that a query which began at ``read_s`` (monotonic) found."""
        with self._lock:
            self._entries[place] = (read_s + self._keep_s, key)
            self._entries.move_to_end(place)
            while len(self._entries) > self._entries_max:
                self._entries.popitem(last=False)

    def forget(self, *places: Hashable) -> None:
        """Drop what is kept under these places."""
        with self._lock:
            for place in places:
                self._entries.pop(place, None)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()

    def after_fork(self) -> None:
        """Start empty: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._entries = OrderedDict()


CACHE = KeyCache()
os.register_at_fork(after_in_child=CACHE.after_fork)
