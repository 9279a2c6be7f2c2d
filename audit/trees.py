"""Trees as they lie in the database: leaves, and complete tiles of 256 nodes. Rows never change.

A tile (level L, index T) holds the 256 nodes of level 8·L that begin at 256·T; it is written when
the last of them is known. What no complete tile covers is read from one level below: leaves, or the
roots of the tiles there. So a proof reads a few rows, and appending n leaves writes n + n/255 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from audit.merkle import HASH_BYTES, CompactRange, root_of

WIDTH_BITS = 8
WIDTH = 1 << WIDTH_BITS

Fetch = Callable[[str, Sequence[Any]], list[Any]]


@dataclass(frozen=True)
class Tables:
    """Where a tree lies; names that this code made, never input."""

    leaf: str
    tile: str


LOG = Tables("audit_leaf", "audit_tile")
GLOBAL = Tables("public.audit_global_leaf", "public.audit_global_tile")


def tables_of(schema: str) -> Tables:
    """Return the tables of a schema's own log, with its name before them."""
    quoted = schema.replace('"', '""')
    return Tables(f'"{quoted}".audit_leaf', f'"{quoted}".audit_tile')


@dataclass(frozen=True)
class Tile:
    """A complete tile, as its row."""

    level: int
    index: int
    root: bytes
    hashes: bytes


class StoredTree:
    """Reads nodes of complete subtrees: ``tree.node`` is the reader that ``audit.merkle`` asks for.

    ``fetch(sql, parameters)`` returns rows; each tile is read once. Keep it for one answer.
    """

    def __init__(self, fetch: Fetch, tables: Tables = LOG) -> None:
        self._fetch = fetch
        self._tables = tables
        self._rows: dict[tuple[int, int], list[bytes]] = {}

    def size(self) -> int:
        """Return how many leaves there are."""
        found = self._fetch(f"SELECT max(index) FROM {self._tables.leaf}", [])[0][0]  # noqa: S608  # nosec B608
        return 0 if found is None else found + 1

    def node(self, level: int, index: int) -> bytes:
        """Return the root of a complete subtree over 2^level leaves."""
        tile_level, inner = divmod(level, WIDTH_BITS)
        first = index << inner
        row = self.row(tile_level, first >> WIDTH_BITS)
        start = first % WIDTH
        hashes = row[start : start + (1 << inner)]
        if len(hashes) < 1 << inner:
            raise LookupError(f"the tree has no node {index} of level {level}")
        return root_of(hashes)

    def row(self, tile_level: int, tile: int) -> list[bytes]:
        """Return the nodes of a tile, as many as there are so far."""
        place = (tile_level, tile)
        if place not in self._rows:
            self._rows[place] = self._complete(tile_level, tile) or self._growing(tile_level, tile)
        return self._rows[place]

    def _complete(self, tile_level: int, tile: int) -> list[bytes]:
        query = f"SELECT hashes FROM {self._tables.tile} WHERE level = %s AND index = %s"  # noqa: S608  # nosec B608
        found = self._fetch(query, [tile_level, tile])
        if not found:
            return []
        hashes = bytes(found[0][0])
        return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]

    def _growing(self, tile_level: int, tile: int) -> list[bytes]:
        span = [tile * WIDTH, (tile + 1) * WIDTH]
        if tile_level == 0:
            query = f"SELECT hash FROM {self._tables.leaf}"  # noqa: S608  # nosec B608
            below = self._fetch(f"{query} WHERE index >= %s AND index < %s ORDER BY index", span)
        else:
            query = f"SELECT root FROM {self._tables.tile} WHERE level = %s"  # noqa: S608  # nosec B608
            query = f"{query} AND index >= %s AND index < %s ORDER BY index"
            below = self._fetch(query, [tile_level - 1, *span])
        return [bytes(row[0]) for row in below]


class GrowingTree:
    """The right edge of a tree, to append to: what its next tiles need is kept in memory."""

    def __init__(self, size: int = 0, stored: StoredTree | None = None) -> None:
        self.edge = CompactRange()
        # By tile level: nodes of the tile that is not complete yet.
        self._pending: list[list[bytes]] = []
        if size:
            assert stored is not None
            self._load(size, stored)

    def _load(self, size: int, stored: StoredTree) -> None:
        peaks, first = [], 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                peaks.append(stored.node(level, first >> level))
                first += 1 << level
        self.edge = CompactRange.from_peaks(size, peaks)
        count = size
        while count:
            tile, used = divmod(count, WIDTH)
            self._pending.append(stored.row(len(self._pending), tile)[:used] if used else [])
            count = tile

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self.edge.size

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return self.edge.root()

    def extend(self, hashes: Sequence[bytes]) -> list[Tile]:
        """Append leaf hashes; return the tiles that became complete."""
        tiles: list[Tile] = []
        for level, first, nodes in self.edge.extend(hashes):
            if level % WIDTH_BITS:
                continue
            tile_level = level // WIDTH_BITS
            if tile_level:
                below = self._pending[tile_level - 1]
                for index, root in enumerate(nodes, first):
                    taken, below[:] = below[:WIDTH], below[WIDTH:]
                    tiles.append(Tile(tile_level - 1, index, root, b"".join(taken)))
            if tile_level == len(self._pending):
                self._pending.append([])
            self._pending[tile_level] += nodes
        return tiles
