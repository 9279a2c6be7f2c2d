"""Opening what entries hold. Whoever calls records that somebody read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from audit.content import SALT_BYTES
from audit.encryption.errors import SealBroken
from audit.encryption.services import open_sealed, warm_up
from audit.models import Entry
from audit.services import part_context


@dataclass(frozen=True)
class Part:
    """A part of an entry as it was before sealing: 16 random bytes, then JSON."""

    opened: bytes

    @property
    def salt(self) -> str:
        """The random bytes, hex."""
        return self.opened[:SALT_BYTES].hex()

    @property
    def text(self) -> str:
        """The JSON."""
        return self.opened[SALT_BYTES:].decode()

    @property
    def said(self) -> dict[str, Any]:
        """What it says."""
        said: dict[str, Any] = json.loads(self.text)
        return said


@dataclass(frozen=True)
class Opened:
    """Both parts of an entry; None where the key was destroyed, or where the part is broken."""

    actor: Part | None
    details: Part | None
    # What does not open although its key is there: somebody altered or moved it.
    broken: tuple[str, ...] = ()


def open_entries(entries: Iterable[Entry]) -> list[Opened]:
    """Return the contents of entries of the current schema: one query for all keys."""
    rows = list(entries)
    warm_up(bytes(sealed) for row in rows for sealed in (row.actor, row.details))
    schema = str(connection.schema_name)  # type: ignore[attr-defined]
    return [_open_both(row, schema) for row in rows]


def _open_both(row: Entry, schema: str) -> Opened:
    parts: dict[str, Part | None] = {}
    broken = []
    for name in ("actor", "details"):
        try:
            parts[name] = _open(row, name, schema)
        except SealBroken:
            parts[name] = None
            broken.append(name)
    return Opened(parts["actor"], parts["details"], tuple(broken))


def _open(row: Entry, name: str, schema: str) -> Part | None:
    context = part_context(schema, name, row.id)
    opened = open_sealed(bytes(getattr(row, name)), context=context)
    return None if opened is None else Part(opened)
