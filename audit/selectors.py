"""Reading the current schema's log: entries with their places, heads, and the nodes of proofs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from audit.leaves import ENTRY_COLUMNS_SQL
from audit.trees import GLOBAL, StoredTree

_HEAD = "SELECT size, made_at, note, global_index FROM audit_head"
_PLACED = (
    f"SELECT l.index, l.hash, {ENTRY_COLUMNS_SQL.replace('number,', 'e.number,', 1)}"  # noqa: S608  # nosec B608
    " FROM audit_leaf l JOIN audit_entry e ON e.number = l.number"
).replace("xact::text", "e.xact::text")


@dataclass(frozen=True)
class Head:
    """A signed head of this schema's tree, and its place in the global tree."""

    size: int
    made_at: datetime
    note: str
    global_index: int


@dataclass(frozen=True)
class PlacedEntry:
    """An entry with its place; ``row`` is what ``audit.leaves.entry_data`` takes."""

    index: int
    hash: bytes
    row: Sequence[Any]


def _fetch(query: str, parameters: Sequence[Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return cursor.fetchall()


def log_tree() -> StoredTree:
    """Return a reader of this schema's tree, for one answer."""
    return StoredTree(_fetch)


def global_tree() -> StoredTree:
    """Return a reader of the tree of all heads, for one answer."""
    return StoredTree(_fetch, GLOBAL)


def find_head_at_or_before(at: datetime) -> Head | None:
    """Return the last head made by then."""
    return _head(f"{_HEAD} WHERE made_at <= %s ORDER BY size DESC LIMIT 1", [at])


def find_head_at_or_after(at: datetime) -> Head | None:
    """Return the first head made then or later."""
    return _head(f"{_HEAD} WHERE made_at >= %s ORDER BY size LIMIT 1", [at])


def find_newest_head() -> Head | None:
    """Return the newest head."""
    return _head(f"{_HEAD} ORDER BY size DESC LIMIT 1", [])


def find_head_covering(index: int) -> Head | None:
    """Return the first head that covers a place: it says when the entry was integrated."""
    return _head(f"{_HEAD} WHERE size > %s ORDER BY size LIMIT 1", [index])


def find_newest_checkpoint() -> str | None:
    """Return the newest signed head of the global tree."""
    found = _fetch("SELECT note FROM public.audit_checkpoint ORDER BY size DESC LIMIT 1", [])
    return found[0][0] if found else None


def find_place(number: int) -> int | None:
    """Return the place of an entry; None while it waits for one."""
    found = _fetch("SELECT index FROM audit_leaf WHERE number = %s", [number])
    return found[0][0] if found else None


def iterate_placed(first: int, last: int, *, batch: int = 1000) -> Iterator[PlacedEntry]:
    """Yield the entries at places first … last - 1, in order; one query for each thousand."""
    for start in range(first, last, batch):
        rows = _fetch(
            f"{_PLACED} WHERE l.index >= %s AND l.index < %s ORDER BY l.index",
            [start, min(start + batch, last)],
        )
        for index, leaf, *row in rows:
            yield PlacedEntry(index, bytes(leaf), row)


@dataclass(frozen=True)
class Verifications:
    """Full recomputations of this schema's log that were recorded, and the last one."""

    good: int
    failed: int
    last_at: datetime | None


def count_verifications(
    *, since: datetime | None = None, until: datetime | None = None
) -> Verifications:
    """Return what the full verifications that were recorded between two times found."""
    rows = _fetch(
        "SELECT action, count(*), max(at) FROM audit_entry"
        " WHERE action IN ('log.verified', 'log.not_verified')"
        " AND at BETWEEN coalesce(%s, '-infinity'::timestamptz)"
        " AND coalesce(%s, 'infinity'::timestamptz) GROUP BY action",
        [since, until],
    )
    found = {action: (count, last) for action, count, last in rows}
    good, failed = (found.get(name, (0, None)) for name in ("log.verified", "log.not_verified"))
    last_at = max((each for each in (good[1], failed[1]) if each), default=None)
    return Verifications(good[0], failed[0], last_at)


def _head(query: str, parameters: Sequence[Any]) -> Head | None:
    found = _fetch(query, parameters)
    return Head(*found[0]) if found else None
