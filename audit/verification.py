"""Recomputing the whole log from its payloads: every entry, leaf, tile, head and signature.

The stored hashes are never believed: both sealed parts are hashed again, the leaf from them, the
trees from the leaves, and each head is compared with what was computed. The heads of all tenants
must be the leaves of the global tree, and what lies outside the database (the newest head, the
anchors) must be a part of it: that is what contradicts an end that was cut off.

What this cannot find: entries that were never given a place before somebody deleted them (less than
a second's worth), and changes made by whoever also holds the signing key and every copy outside.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice, pairwise
from typing import Any, LiteralString

from psycopg import sql

from audit import leaves
from audit.checkpoint import NoteRefused, parse_text, signed_text
from audit.database import Connection, list_logs
from audit.merkle import leaf_hash
from audit.signing import SigningKeys, time_of
from audit.trees import GrowingTree, Tile

BATCH = 2000


@dataclass(frozen=True)
class Fault:
    """The first thing that is wrong with a log; ``index`` is the place of an entry."""

    sentence: str
    index: int | None = None
    number: int | None = None
    entry_id: str | None = None


class Wrong(Exception):
    """Carries a fault out of the walk."""

    def __init__(self, sentence: str, index: int | None = None, row: Sequence[Any] = ()) -> None:
        super().__init__(sentence)
        number, entry_id = (row[1], row[4]) if row else (None, None)
        self.fault = Fault(sentence, index, number, entry_id)


@dataclass
class LogReport:
    """What was found in one log; ``waiting``: entries that have no place yet."""

    log: str
    entries: int = 0
    heads: int = 0
    waiting: int = 0
    fault: Fault | None = None


@dataclass
class Report:
    """What was found in all."""

    logs: list[LogReport] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong anywhere."""
        return all(log.fault is None for log in self.logs)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "verified": self.is_good,
            "entries": sum(log.entries for log in self.logs),
            "seconds": round(self.seconds, 3),
            "logs": [asdict(log) for log in self.logs],
        }


def verify(
    connection: Connection,
    keys: SigningKeys,
    *,
    tenant: str | None = None,
    kept: Iterable[str] = (),
) -> Report:
    """Recompute the logs of all tenants, or of one, and the global tree.

    ``kept`` are heads of the whole that were kept outside the database. Inside one transaction of
    ``connection``, so that all is of one moment.
    """
    begun_s = time.perf_counter()
    report = Report()
    whole = LogReport("global")
    placed = _guard(whole, lambda: _verify_global(connection, keys, whole, kept))
    found = list_logs(connection)
    if tenant is None and placed is not None:
        gone = {log for log, _ in placed} - set(found)
        if gone:
            whole.fault = Fault(f"The whole log of {min(gone)} is missing.")
    for schema in found if tenant is None else [tenant]:
        log = LogReport(schema)
        _guard(log, lambda log=log: _verify_log(connection, keys, log, placed))
        report.logs.append(log)
    report.logs.append(whole)
    report.seconds = time.perf_counter() - begun_s
    return report


def _guard(log: LogReport, walk: Any) -> Any:
    try:
        return walk()
    except Wrong as wrong:
        log.fault = wrong.fault
    except NoteRefused as refused:
        log.fault = Fault(f"A head is not what it claims to be: {refused}")
    return None


@dataclass(frozen=True)
class _Head:
    size: int
    made_at: datetime
    root: bytes
    note: str
    global_index: int | None = None


def _verify_log(
    connection: Connection,
    keys: SigningKeys,
    log: LogReport,
    placed: dict[tuple[str, int], tuple[int, str]] | None,
) -> None:
    heads = _heads(
        connection,
        _named(
            "SELECT size, made_at, root, note, global_index FROM {}.audit_head ORDER BY size", log
        ),
    )
    _check_heads(heads, keys, log.log)
    last = connection.execute(
        _named("SELECT xact::text, number FROM {}.audit_leaf ORDER BY index DESC LIMIT 1", log)
    )
    position = last.fetchone() or ("0", 0)
    walk = _walk(connection, log, position)
    tiles = _compare_roots(walk, heads)
    _compare_tiles(
        connection,
        _named("SELECT level, index, root, sha256(hashes) FROM {}.audit_tile", log),
        tiles,
    )
    log.entries, log.heads = heads[-1].size if heads else 0, len(heads)
    log.waiting = connection.execute(
        _named("SELECT count(*) FROM {}.audit_entry WHERE (xact, number) > (%s::xid8, %s)", log),
        position,
    ).fetchone()[0]  # type: ignore[index]
    if placed is not None:
        _check_placed(log.log, heads, placed)


def _walk(connection: Connection, log: LogReport, end: Sequence[Any]) -> Iterator[bytes]:
    """Yield the recomputed leaf hashes, each entry held against the leaf of its place."""
    with (
        connection.cursor("audit_leaves", binary=True) as stored,
        connection.cursor("audit_entries", binary=True) as entries,
    ):
        stored.itersize = entries.itersize = BATCH
        stored.execute(
            _named("SELECT index, number, xact::text, hash FROM {}.audit_leaf ORDER BY index", log)
        )
        entries.execute(
            _named(
                f"SELECT {leaves.ENTRY_COLUMNS_SQL} FROM {{}}.audit_entry"  # noqa: S608  # nosec B608
                " WHERE (xact, number) <= (%s::xid8, %s) ORDER BY xact, number",
                log,
            ),
            end,
        )
        index = 0
        while batch := stored.fetchmany(BATCH):
            rows = entries.fetchmany(BATCH)
            hashes = [leaves.entry_hash(log.log, row) for row in rows]
            expected = [
                (place, row[1], row[2], leaf)
                for place, (row, leaf) in enumerate(zip(rows, hashes, strict=True), index)
            ]
            if expected != batch:
                raise _first_difference(index, batch, expected, rows)
            yield from hashes
            index += len(batch)
        if extra := entries.fetchone():
            raise Wrong(f"Entry {extra[1]} was put into the past.", index, extra)


def _first_difference(start: int, stored: list[Any], expected: list[Any], rows: list[Any]) -> Wrong:
    for offset, leaf in enumerate(stored):
        index = start + offset
        if leaf[0] != index:
            return Wrong(f"Place {index} is empty.", index)
        if offset >= len(rows):
            return Wrong(f"The entry of place {index} is missing.", index)
        if leaf != expected[offset]:
            row = rows[offset]
            if leaf[1] == row[1]:
                return Wrong(f"Entry {row[1]} at place {index} was changed.", index, row)
            return Wrong(f"Place {index} holds another entry than was put there.", index, row)
    return Wrong(f"An entry was put into the past after place {start + len(stored) - 1}.", start)


def _compare_roots(hashes: Iterator[bytes], heads: list[_Head]) -> list[Tile]:
    """Hold every head against the tree at its size; return the tiles."""
    tree, tiles = GrowingTree(), []
    for head in heads:
        tiles += tree.extend(list(islice(hashes, head.size - tree.size)))
        if tree.size < head.size:
            raise Wrong(f"A head covers {head.size} leaves; there are {tree.size}.", tree.size)
        if tree.root() != head.root:
            raise Wrong(f"The head of {head.size} leaves has another root.")
    if next(hashes, None) is not None:
        raise Wrong(f"Leaves after the last head's {tree.size} have no head.", tree.size)
    return tiles


def _compare_tiles(connection: Connection, query: Any, tiles: list[Tile]) -> None:
    stored = {(row[0], row[1]): (bytes(row[2]), bytes(row[3])) for row in connection.execute(query)}
    computed = {
        (tile.level, tile.index): (tile.root, sha256(tile.hashes).digest()) for tile in tiles
    }
    if stored != computed:
        place = min(set(stored.items()) ^ set(computed.items()))[0]
        raise Wrong(f"Tile {place[1]} of level {place[0]} was changed.")


def _check_heads(heads: list[_Head], keys: SigningKeys, schema: str) -> None:
    for head in heads:
        said, made_at = keys.verify(head.note, schema)
        if (said.size, said.root, made_at) != (head.size, head.root, head.made_at):
            raise Wrong(f"The head of {head.size} leaves was changed beside its signature.")
    for older, newer in pairwise(heads):
        if newer.made_at <= older.made_at:
            raise Wrong(f"Time went back at the head of {newer.size} leaves.")


def _check_placed(
    schema: str, heads: list[_Head], placed: dict[tuple[str, int], tuple[int, str]]
) -> None:
    own = {size: place for (log, size), place in placed.items() if log == schema}
    for head in heads:
        if own.pop(head.size, None) != (head.global_index, signed_text(head.note)):
            raise Wrong(f"The head of {head.size} leaves is not the one in the global tree.")
    if own:
        raise Wrong(f"The head of {min(own)} leaves is missing.", min(own) - 1)


def _verify_global(
    connection: Connection, keys: SigningKeys, log: LogReport, kept: Iterable[str]
) -> dict[tuple[str, int], tuple[int, str]]:
    heads = _heads(
        connection,
        "SELECT size, made_at, root, note, NULL FROM public.audit_checkpoint ORDER BY size",
    )
    _check_heads(heads, keys, "")
    placed: dict[tuple[str, int], tuple[int, str]] = {}
    hashes: list[bytes] = []
    times: list[datetime] = []
    rows = connection.execute(
        "SELECT index, tenant, size, data, hash FROM public.audit_global_leaf ORDER BY index"
    )
    for index, (place, tenant, size, text, stored) in enumerate(rows):
        computed = leaf_hash(leaves.head_data(text))
        if place != index or computed != bytes(stored):
            raise Wrong(f"Leaf {index} of the global tree was changed.", index)
        if text.split("\n")[:2] != [keys.origin(tenant), str(size)]:
            raise Wrong(f"Leaf {index} of the global tree is of another log.", index)
        placed[tenant, size] = (index, text)
        times.append(time_of(parse_text(text)))
        hashes.append(computed)
    # The heads of one round bear one time, and the head of the whole was signed with them.
    ends = {size: time for size, time in enumerate(times, 1) if times[size : size + 1] != [time]}
    if ends != {head.size: head.made_at for head in heads}:
        raise Wrong("A head of the whole is missing.")
    tiles = _compare_roots(iter(hashes), heads)
    _compare_tiles(
        connection, "SELECT level, index, root, sha256(hashes) FROM public.audit_global_tile", tiles
    )
    _check_kept(heads, keys, kept)
    log.entries, log.heads = len(hashes), len(heads)
    return placed


def _check_kept(heads: list[_Head], keys: SigningKeys, kept: Iterable[str]) -> None:
    roots = {head.size: head.root for head in heads}
    for note in kept:
        said, made_at = keys.verify(note)
        if said.size not in roots:
            raise Wrong(
                f"The head of {said.size} leaves that was kept outside, of {made_at:%Y-%m-%d %H:%M}"
                " UTC, is missing: the end of the log was cut off."
            )
        if roots[said.size] != said.root:
            raise Wrong(f"The head of {said.size} leaves contradicts the one kept outside.")


def _heads(connection: Connection, query: Any) -> list[_Head]:
    return [
        _Head(size, made_at.astimezone(UTC), bytes(root), note, index)
        for size, made_at, root, note, index in connection.execute(query)
    ]


def _named(query: LiteralString, log: LogReport) -> sql.Composed:
    return sql.SQL(query).format(sql.Identifier(log.log))
