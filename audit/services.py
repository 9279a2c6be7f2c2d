"""Adding entries to the log of the schema at hand, inside the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import connections

from audit.content import pack
from audit.encryption.errors import SubjectErased
from audit.encryption.services import fetch_keys, seal
from audit.fences import ENTRY_COLUMNS

PLATFORM_SUBJECT = "log"
_PLACES = ", ".join(["%s"] * 12)
_INSERT = f"INSERT INTO audit_entry ({ENTRY_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608  # nosec B608  (constants)


@dataclass(frozen=True)
class Who:
    """Who did it: a person, an API key, a process of the platform, or a stranger.

    The id is opaque; the label (an e-mail address, a key's name) is sealed.
    """

    kind: str
    id: str
    label: str = ""


@dataclass(frozen=True)
class Subject:
    """On which object; the label is sealed."""

    type: str
    id: str = ""
    label: str = ""


@dataclass(frozen=True)
class Origin:
    """From where a request came; sealed."""

    ip: str = ""
    user_agent: str = ""
    session: str = ""


@dataclass(frozen=True)
class Entry:
    """What was added."""

    id: UUID
    at: datetime
    action: str


def record(
    *,
    who: Who,
    action: str,
    subject: Subject,
    at: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    why: str = "",
    origin: Origin | None = None,
    kind: str = "entry",
    using: str = "default",
) -> Entry:
    """Add an entry in the current transaction: it is in the log if and only if that commits.

    One statement (and one more where keys are not in memory); takes no lock. Its place
    in the tree is given afterwards (``audit.sequencer``).
    """
    connection = connections[using]
    assert connection.in_atomic_block, "an entry belongs into the transaction that it tells of"
    id_ = uuid4()
    origin_said = {k: v for k, v in vars(origin).items() if v} if origin else None
    parts: dict[str, tuple[str, dict[str, Any]]] = {
        "actor": (
            f"person:{who.id}" if who.kind == "person" else PLATFORM_SUBJECT,
            {"label": who.label, "why": why, "origin": origin_said},
        ),
        "details": (
            f"person:{subject.id}" if subject.type == "person" else PLATFORM_SUBJECT,
            {"label": subject.label, "before": before, "after": after},
        ),
    }
    fetch_keys({owner for owner, _ in parts.values()}, using=using)
    schema = str(connection.schema_name)  # type: ignore[attr-defined]
    sealed, digests = [], []
    for name, (owner, payload) in parts.items():
        ciphertext, digest = _seal(owner, payload, part_context(schema, name, id_), using)
        sealed.append(ciphertext)
        digests.append(digest)
    with connection.cursor() as cursor:
        cursor.execute(
            _INSERT,
            [id_, at, kind, action, who.kind, who.id, subject.type, subject.id, *sealed, *digests],
        )
    return Entry(id_, at, action)


def part_context(schema: str, part: str, entry_id: UUID | str) -> str:
    """Return what binds a sealed part to its place."""
    return f"{schema}|audit_entry|{part}|{entry_id}|1"


def _seal(owner: str, payload: dict[str, Any], context: str, using: str) -> tuple[bytes, bytes]:
    part, digest = pack(payload)
    try:
        return seal(owner, part, context=context, using=using), digest
    except SubjectErased:
        # What happened stays on record; what it says about an erased person does not.
        part, digest = pack({})
        return seal(PLATFORM_SUBJECT, part, context=context, using=using), digest
