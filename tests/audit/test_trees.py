"""Stored tiles answer for every node, at every size, as the whole tree in memory does."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest

from audit import merkle
from audit.trees import GrowingTree, StoredTree, Tables


class Rows:
    """Rows as the database would answer: leaves and complete tiles, and how many were read."""

    def __init__(self):
        self.leaves: list[bytes] = []
        self.tiles: dict[tuple[int, int], tuple[bytes, bytes]] = {}
        self.asked = 0

    def add(self, tree: GrowingTree, hashes: list[bytes]) -> None:
        self.leaves += hashes
        for tile in tree.extend(hashes):
            assert (tile.level, tile.index) not in self.tiles
            assert len(tile.hashes) == 256 * 32
            self.tiles[tile.level, tile.index] = (tile.root, tile.hashes)

    def fetch(self, query, parameters):
        self.asked += 1
        if "hashes" in query:
            found = self.tiles.get(tuple(parameters))
            return [(found[1],)] if found else []
        *level, first, last = parameters
        if re.search("SELECT hash", query):
            return [(each,) for each in self.leaves[first:last]]
        below = ((place, root) for place, (root, _) in sorted(self.tiles.items()))
        return [(root,) for (at, i), root in below if at == level[0] and first <= i < last]


def leaves(count: int) -> list[bytes]:
    return [sha256(f"{number}".encode()).digest() for number in range(count)]


@pytest.mark.parametrize("steps", [[1] * 260, [255, 1, 256, 300, 65536, 3, 130_000]])
def test_tiles_hold_what_the_tree_in_memory_holds(steps):
    rows, tree = Rows(), GrowingTree()
    hashes, done = leaves(sum(steps)), 0
    for step in steps:
        rows.add(tree, hashes[done : done + step])
        done += step
        tree = GrowingTree(done, StoredTree(rows.fetch, Tables("l", "t")))
        assert tree.root() == merkle.root_of(hashes[:done])
    stored = StoredTree(rows.fetch, Tables("l", "t"))
    for size in {1, 2, 255, 256, 257, min(done, 511), min(done, 512), done // 2, done - 1, done}:
        assert merkle.root_at(size, stored.node) == merkle.root_of(hashes[:size])
    with pytest.raises(LookupError):
        stored.node(0, done)


def test_a_proof_reads_a_few_rows():
    rows, tree = Rows(), GrowingTree()
    hashes = leaves(200_000)
    rows.add(tree, hashes)
    stored = StoredTree(rows.fetch, Tables("l", "t"))
    proof = merkle.inclusion_proof(123_456, 200_000, stored.node)
    merkle.verify_inclusion(hashes[123_456], 123_456, 200_000, proof, tree.root())
    assert rows.asked <= 8
