"""Opening what entries hold. Whoever calls records that somebody read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.db import connection

from audit.content import SALT_BYTES
from audit.encryption.errors import SealBroken
from audit.encryption.services import open_many
from audit.services import part_context

_PARTS = ("actor", "details")


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


class Sealed(Protocol):
    """An entry, or a row of its columns."""

    @property
    def id(self) -> UUID | str:
        """Its id."""

    @property
    def actor(self) -> bytes | memoryview[int]:
        """Its first sealed part."""

    @property
    def details(self) -> bytes | memoryview[int]:
        """Its second sealed part."""


def open_entries(entries: Iterable[Sealed]) -> list[Opened]:
    """Return the contents of entries of the current schema: one query for all keys."""
    rows = list(entries)
    schema = str(connection.schema_name)  # type: ignore[attr-defined]
    opened = open_many(
        (bytes(getattr(row, part)), part_context(schema, part, row.id))
        for row in rows
        for part in _PARTS
    )
    return [_opened(*pair) for pair in zip(opened[::2], opened[1::2], strict=True)]


def _opened(*pair: bytes | SealBroken | None) -> Opened:
    actor, details = (Part(each) if isinstance(each, bytes) else None for each in pair)
    broken = [name for name, each in zip(_PARTS, pair, strict=True) if isinstance(each, SealBroken)]
    return Opened(actor, details, tuple(broken))
