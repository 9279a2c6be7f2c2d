"""Giving entries their places: the one process that makes leaves, tiles and signed heads.

The idea
--------
Entries are inserted by business transactions, without a lock and in no order that could be relied
on: a transaction that began earlier may commit later, so reading "everything above the last number"
would miss what was still open. The order is (xact, number), and only entries of transactions below
``pg_snapshot_xmin(pg_current_snapshot())`` are taken: all of those have ended, so nothing can come
to stand before what has its place.

One transaction a round writes leaves, tiles and heads of every tenant, the global leaves and the
signed head of the whole. So a process that is killed anywhere has placed all of a round or nothing
of it, and a head is never published that the database does not hold. Nothing is updated: where to
go on is the last leaf.

Limits
------
A writing transaction that stays open holds everything back that began after it; ``Round.waiting_s``
says for how long already, and whoever runs the sequencer raises the alarm. Only one sequencer works
at a time (an advisory lock of its session); should two ever, the primary key of the leaves stops
the second.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from audit import leaves
from audit.checkpoint import Checkpoint, sign, signed_text
from audit.database import Connection, connect, list_logs
from audit.merkle import leaf_hash
from audit.signing import SigningKeys, time_line
from audit.trees import GLOBAL, GrowingTree, StoredTree, Tables, Tile, tables_of

logger = logging.getLogger(__name__)

# One number for all sequencers of a database.
LOCK = 7_230_114_982
BATCH = 5000
PARTITIONS_AHEAD = 3
TICK = timedelta(microseconds=1)
# Once an output column was named xid, and the rows were ordered by that text in place of the xid8:
# 365 entries a second became 30 000 when it was not.
_READ = (
    "SELECT xact < %s::xid8, extract(epoch FROM clock_timestamp() - inserted_at)::float8, "  # noqa: S608  # nosec B608
    + leaves.ENTRY_COLUMNS_SQL
    + " FROM {}.audit_entry WHERE (xact, number) > (%s::xid8, %s) ORDER BY xact, number LIMIT %s"
)


class LogBroken(Exception):
    """The stored tree is not the one of its last head: somebody changed it. Nothing is added."""


class OtherSequencer(Exception):
    """Another sequencer holds the lock."""


@dataclass
class Log:
    """A schema's log, as far as it has been placed."""

    schema: str
    tree: GrowingTree
    # Where to go on: the last leaf's.
    xact: str
    number: int


@dataclass
class Round:
    """What a round did."""

    placed: int = 0
    heads: int = 0
    # A batch was full: go on at once.
    is_behind: bool = False
    # The age of the oldest committed entry that may not be placed yet.
    waiting_s: float = 0.0
    checkpoint: str = ""


@dataclass
class _Work:
    log: Log
    rows: list[Any] = field(default_factory=list)


def _nothing(point: str) -> None:
    """Pass a fault point."""


class Sequencer:
    """One sequencer in one session. After any exception: ``close`` and open a new one."""

    def __init__(
        self,
        keys: Callable[[], SigningKeys],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        at_point: Callable[[str], None] = _nothing,
        batch: int = BATCH,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._at_point = at_point
        self._batch = batch
        self._logs: dict[str, Log] = {}
        self._connection: Connection = connect("aii-sequencer")
        try:
            if not self._one("SELECT pg_try_advisory_lock(%s)", LOCK)[0]:
                raise OtherSequencer("Another sequencer is at work.")
            self._load()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._connection.close()

    def _load(self) -> None:
        size = StoredTree(self._fetch, GLOBAL).size()
        self._global = GrowingTree(size, StoredTree(self._fetch, GLOBAL))
        last = self._one(
            "SELECT size, root, made_at FROM public.audit_checkpoint ORDER BY size DESC LIMIT 1"
        )
        self._check("the global tree", self._global, last)
        self._made_at: datetime = last[2] if last else datetime.min.replace(tzinfo=UTC)
        self.refresh()
        now = int(self._one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")[0])
        if any(int(log.xact) >= now for log in self._logs.values()):
            raise LogBroken(
                "The database counts its transactions anew, as after a restore from a dump. New "
                "entries would come before old ones: raise its counter with pg_resetwal first."
            )

    def refresh(self) -> None:
        """Take up the logs of new tenants, and forget those of tenants that are gone."""
        found = list_logs(self._connection)
        self._logs = {schema: self._logs.get(schema) or self._load_log(schema) for schema in found}

    def make_partitions(self) -> int:
        """Make the partitions of the coming months; return how many were missing."""
        return sum(
            self._one(
                sql.SQL("SELECT {}.audit_make_partitions(%s)").format(sql.Identifier(schema)),
                PARTITIONS_AHEAD,
            )[0]
            for schema in self._logs
        )

    def round(self) -> Round:
        """Place what can be placed, in one transaction, and sign its heads."""
        done = Round()
        with self._connection.transaction():
            xmin = self._one("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")[0]
            work = [self._read(log, xmin, done) for log in self._logs.values()]
            work = [each for each in work if each.rows]
            if not work:
                return done
            self._at_point("read")
            keys = self._keys()
            # Time never goes back in the log, nor does it stand still, whatever the clock does.
            self._made_at = max(self._clock(), self._made_at + TICK)
            heads = [self._place(each, keys) for each in work]
            self._at_point("placed")
            done.checkpoint = self._sign_all(heads, keys)
            self._at_point("signed")
            done.placed = sum(len(each.rows) for each in work)
            done.heads = len(heads)
        self._at_point("committed")
        return done

    def _read(self, log: Log, xmin: str, done: Round) -> _Work:
        query = sql.SQL(_READ).format(sql.Identifier(log.schema))
        rows = self._connection.execute(query, [xmin, log.xact, log.number, self._batch]).fetchall()
        final = [row[2:] for row in rows if row[0]]
        if len(final) < len(rows):
            done.waiting_s = max(done.waiting_s, rows[len(final)][1])
        done.is_behind |= len(final) == self._batch
        return _Work(log, final)

    def _place(self, work: _Work, keys: SigningKeys) -> tuple[str, int, str]:
        """Write leaves, tiles and the head of one log; return (schema, size, signed text)."""
        log, first = work.log, work.log.tree.size
        hashes = [leaves.entry_hash(log.schema, row) for row in work.rows]
        copy = sql.SQL("COPY {}.audit_leaf (index, number, xact, hash) FROM STDIN")
        with (
            self._connection.cursor() as cursor,
            cursor.copy(copy.format(sql.Identifier(log.schema))) as rows,
        ):
            for index, (row, leaf) in enumerate(zip(work.rows, hashes, strict=True), first):
                rows.write_row((index, row[1], row[2], leaf))
        self._at_point("leaves")
        self._write_tiles(tables_of(log.schema), log.tree.extend(hashes))
        log.number, log.xact = work.rows[-1][1], work.rows[-1][2]
        note = self._head(log.schema, log.tree, keys)
        self._connection.execute(
            sql.SQL(
                "INSERT INTO {}.audit_head (size, made_at, root, note, global_index)"
                " VALUES (%s, %s, %s, %s, %s)"
            ).format(sql.Identifier(log.schema)),
            [log.tree.size, self._made_at, log.tree.root(), note, self._global.size],
        )
        text = signed_text(note)
        self._at_point("head")
        leaf = leaf_hash(leaves.head_data(text))
        self._connection.execute(
            "INSERT INTO public.audit_global_leaf (index, tenant, size, data, hash)"
            " VALUES (%s, %s, %s, %s, %s)",
            [self._global.size, log.schema, log.tree.size, text, leaf],
        )
        self._write_tiles(GLOBAL, self._global.extend([leaf]))
        return log.schema, log.tree.size, text

    def _sign_all(self, heads: list[tuple[str, int, str]], keys: SigningKeys) -> str:
        note = self._head("", self._global, keys)
        self._connection.execute(
            "INSERT INTO public.audit_checkpoint (size, made_at, root, note)"
            " VALUES (%s, %s, %s, %s)",
            [self._global.size, self._made_at, self._global.root(), note],
        )
        return note

    def _head(self, schema: str, tree: GrowingTree, keys: SigningKeys) -> str:
        assert keys.private is not None
        lines = (time_line(self._made_at),)
        return sign(Checkpoint(keys.origin(schema), tree.size, tree.root(), lines), keys.private)

    def _write_tiles(self, tables: Tables, tiles: list[Tile]) -> None:
        for tile in tiles:
            self._connection.execute(
                f"INSERT INTO {tables.tile} (level, index, root, hashes)"  # noqa: S608  # nosec B608
                " VALUES (%s, %s, %s, %s)",
                [tile.level, tile.index, tile.root, tile.hashes],
            )

    def _load_log(self, schema: str) -> Log:
        tables = tables_of(schema)
        last = self._one(
            f"SELECT index, xact::text, number FROM {tables.leaf} ORDER BY index DESC LIMIT 1"  # noqa: S608  # nosec B608
        )
        size, xact, number = (last[0] + 1, last[1], last[2]) if last else (0, "0", 0)
        log = Log(schema, GrowingTree(size, StoredTree(self._fetch, tables)), xact, number)
        head = self._one(
            sql.SQL("SELECT size, root FROM {}.audit_head ORDER BY size DESC LIMIT 1").format(
                sql.Identifier(schema)
            )
        )
        self._check(schema, log.tree, head)
        return log

    @staticmethod
    def _check(name: str, tree: GrowingTree, head: Any) -> None:
        size, root = (head[0], bytes(head[1])) if head else (0, tree.root())
        if size != tree.size or root != tree.root():
            raise LogBroken(f"The last head of {name} is not the one of its {tree.size} leaves.")

    def _one(self, query: Any, *parameters: Any) -> Any:
        return self._connection.execute(query, parameters).fetchone()

    def _fetch(self, query: Any, parameters: Any) -> list[Any]:
        return self._connection.execute(query, parameters).fetchall()
