"""The list of erasures, outside the database: what a restored backup has to forget again.

One JSON object a line: ``v`` (1), ``schema``, ``subject``, ``key``, ``generation``,
``destroyed_at``, ``by``. It holds pseudonyms and times, no content. Lines are appended and flushed
to the disk after the commit; what a crash in between leaves out, the next ``write_missing`` adds
from the tombstones.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

from django.db import transaction

from audit.encryption import keys
from audit.encryption.errors import EncryptionError
from audit.encryption.models import DataKey

LINE_LENGTH_MAX = 2000
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,127}\Z")
REPLAYED = "replayed from the list of erasures"


class ListBroken(EncryptionError):
    """A line of the list is not what this module writes."""

    code = "erasure_list_broken"


@dataclass(frozen=True)
class Erasure:
    """One destroyed key."""

    schema: str
    subject: str
    key: UUID
    generation: int
    destroyed_at: datetime
    by: str

    def as_line(self) -> str:
        """Return the line of the list."""
        values = asdict(self) | {
            "key": str(self.key),
            "destroyed_at": self.destroyed_at.isoformat(),
        }
        return json.dumps({"v": 1, **values}) + "\n"


def parse_line(line: str, where: str) -> Erasure:
    """Return what a line says; raise ``ListBroken`` with its place."""
    try:
        if len(line) > LINE_LENGTH_MAX:
            raise ValueError("too long")
        values = json.loads(line)
        if not isinstance(values, dict) or values.pop("v") != 1:
            raise ValueError("another version")
        found = Erasure(
            **values
            | {"key": UUID(values["key"])}
            | {"destroyed_at": datetime.fromisoformat(values["destroyed_at"])}
        )
        is_sound = (
            isinstance(found.schema, str)
            and _SCHEMA.match(found.schema)
            and isinstance(found.subject, str)
            and _SUBJECT.match(found.subject)
            and type(found.generation) is int
            and 0 < found.generation < 2**31
            and isinstance(found.by, str)
            and 0 < len(found.by) <= 200
            and found.destroyed_at.tzinfo is not None
        )
        if not is_sound:
            raise ValueError("a value")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ListBroken(f"{where} of the list of erasures cannot be read.") from None
    return found


def read_list(path: Path) -> list[Erasure]:
    """Return every erasure of the list; a last line that was not finished is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError):
        raise ListBroken(f"The list of erasures {path.name} cannot be read.") from None
    lines = text.split("\n")[:-1]
    return [parse_line(line, f"Line {number}") for number, line in enumerate(lines, 1)]


def write_missing(path: Path, erasures: Iterable[Erasure]) -> int:
    """Append the erasures that the list does not have yet, and return how many."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        known = {erasure.key for erasure in read_list(path)}
        missing = [erasure for erasure in erasures if erasure.key not in known]
        if missing:
            _cut_unfinished_line(path, file.fileno())
            file.seek(0, os.SEEK_END)
            file.write("".join(erasure.as_line() for erasure in missing).encode())
            file.flush()
            os.fsync(file.fileno())
    return len(missing)


def _cut_unfinished_line(path: Path, descriptor: int) -> None:
    content = path.read_bytes()
    os.ftruncate(descriptor, content.rfind(b"\n") + 1)


def list_tombstones(schema: str, *, using: str) -> list[Erasure]:
    """Return every destroyed key of the schema at hand."""
    rows = DataKey.objects.using(using).filter(destroyed_at__isnull=False)
    return [erasure_of(schema, row) for row in rows.order_by("destroyed_at", "pk")]


def erasure_of(schema: str, row: DataKey) -> Erasure:
    """Return a tombstone as an entry of the list."""
    assert row.destroyed_at is not None
    return Erasure(
        schema, row.subject_id, row.pk, row.generation, row.destroyed_at, row.destroyed_by
    )


@dataclass
class Replay:
    """What replaying the list did in one schema."""

    destroyed: int = 0
    known: int = 0
    # Of the key no row was left; a tombstone keeps its subject from getting one in silence.
    tombstones_made: int = 0
    # Subjects that have another key of the same generation, made after the restore.
    clashes: list[str] = field(default_factory=list)


def replay(erasures: Iterable[Erasure], *, using: str) -> Replay:
    """Destroy in the schema at hand what the list says was destroyed. Locks the keys' rows."""
    done = Replay()
    with transaction.atomic(using=using):
        for erasure in erasures:
            _replay_one(erasure, done, using)
    return done


def _replay_one(erasure: Erasure, done: Replay, using: str) -> None:
    rows = DataKey.objects.using(using)
    row = rows.select_for_update().filter(pk=erasure.key).first()
    if row is None:
        if rows.filter(subject_id=erasure.subject, generation=erasure.generation).exists():
            done.clashes.append(erasure.subject)
            return
        row = DataKey(
            pk=erasure.key, subject_id=erasure.subject, generation=erasure.generation, kek_id=""
        )
        done.tombstones_made += 1
    elif row.is_destroyed:
        done.known += 1
        return
    elif (row.subject_id, row.generation) != (erasure.subject, erasure.generation):
        done.clashes.append(erasure.subject)
        return
    else:
        done.destroyed += 1
    row.wrapped, row.destroyed_at = None, erasure.destroyed_at
    row.destroyed_by, row.reason = erasure.by, REPLAYED
    row.save(using=using)
    keys.changed_here(row, using=using)
