"""The tree and its proofs, against published vectors, RFC 9162 written out, and pymerkle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from audit import merkle
from audit.merkle import CompactRange, ProofFailed
from tests.audit import rfc9162

# The tree of the Certificate Transparency reference tests (RFC 6962): eight entries, the roots of
# its first 0 … 8, and paths as (index, size, hashes) and (old, new, hashes).
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAF_1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
LEAF_4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
TWO_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
TWO_4 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
TWO_6 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
FOUR_4 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
INCLUSION = [
    (0, 1, []),
    (0, 8, [LEAF_1, TWO_3, FOUR_4]),
    (5, 8, [LEAF_4, TWO_6, ROOTS[4]]),
    (2, 3, [ROOTS[2]]),
    (1, 5, [ROOTS[1], TWO_3, LEAF_4]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [LEAF_1, TWO_3, FOUR_4]),
    (6, 8, [TWO_4, TWO_6, ROOTS[4]]),
    (2, 5, [TWO_3, LEAF_4]),
]


class Stored:
    """A tree as a store keeps it: every full subtree, and a count of what was read."""

    def __init__(self, entries):
        self.entries = list(entries)
        self.leaves = [merkle.leaf_hash(entry) for entry in self.entries]
        self.edge = CompactRange()
        self.nodes = {}
        self.reads = 0
        for level, first, hashes in self.edge.extend(self.leaves):
            for index, each in enumerate(hashes, first):
                self.nodes[level, index] = each

    def __call__(self, level, index):
        self.reads += 1
        return self.nodes[level, index]


LARGEST = 260
TREE = Stored(f"entry {number}".encode() for number in range(LARGEST))
ROOT = [rfc9162.mth(TREE.entries[:size]) for size in range(LARGEST + 1)]


class TestPublishedVectors:
    def test_roots(self):
        for size, root in enumerate(ROOTS):
            hashes = [merkle.leaf_hash(entry) for entry in ENTRIES[:size]]
            assert merkle.root_of(hashes).hex() == root
            assert merkle.root_at(size, Stored(ENTRIES)).hex() == root
            assert rfc9162.mth(ENTRIES[:size]).hex() == root

    @pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
    def test_inclusion(self, index, size, path):
        tree = Stored(ENTRIES)
        found = merkle.inclusion_proof(index, size, tree)
        assert [each.hex() for each in found] == path
        merkle.verify_inclusion(tree.leaves[index], index, size, found, bytes.fromhex(ROOTS[size]))

    @pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
    def test_consistency(self, old, new, path):
        found = merkle.consistency_proof(old, new, Stored(ENTRIES))
        assert [each.hex() for each in found] == path
        merkle.verify_consistency(
            old, bytes.fromhex(ROOTS[old]), new, bytes.fromhex(ROOTS[new]), found
        )


class TestAgainstTheRfc:
    def test_every_inclusion_proof_of_every_small_tree(self):
        for size in range(1, 66):
            for index in range(size):
                path = merkle.inclusion_proof(index, size, TREE)
                assert path == rfc9162.path(index, TREE.entries[:size])
                merkle.verify_inclusion(TREE.leaves[index], index, size, path, ROOT[size])

    def test_every_consistency_proof_between_small_trees(self):
        for new in range(66):
            for old in range(new + 1):
                path = merkle.consistency_proof(old, new, TREE)
                if 0 < old < new:
                    assert path == rfc9162.proof(old, TREE.entries[:new])
                merkle.verify_consistency(old, ROOT[old], new, ROOT[new], path)

    def test_every_range_of_every_small_tree(self):
        for size in range(25):
            for last in range(size + 1):
                for first in range(last + 1):
                    path = merkle.range_proof(first, last, size, TREE)
                    if first < last:
                        assert path == rfc9162.sides(first, last, TREE.entries[:size])
                    merkle.verify_range(TREE.leaves[first:last], first, size, path, ROOT[size])

    @given(st.data())
    def test_larger_trees(self, data):
        size = data.draw(st.integers(1, LARGEST))
        first = data.draw(st.integers(0, size - 1))
        last = data.draw(st.integers(first, size))
        merkle.verify_inclusion(
            TREE.leaves[first],
            first,
            size,
            merkle.inclusion_proof(first, size, TREE),
            ROOT[size],
        )
        merkle.verify_consistency(
            first, ROOT[first], size, ROOT[size], merkle.consistency_proof(first, size, TREE)
        )
        merkle.verify_range(
            TREE.leaves[first:last],
            first,
            size,
            merkle.range_proof(first, last, size, TREE),
            ROOT[size],
        )

    def test_proofs_read_few_nodes_and_say_which_beforehand(self):
        for build, numbers in (
            (merkle.inclusion_proof, (200, 259)),
            (merkle.consistency_proof, (131, 259)),
            (merkle.range_proof, (77, 131, 259)),
            (merkle.root_at, (259,)),
        ):
            TREE.reads = 0
            build(*numbers, TREE)
            needed = merkle.nodes_needed(build, *numbers)
            assert 0 < TREE.reads == len(needed) <= 2 * 9
            few = {place: TREE.nodes[place] for place in needed}
            read = lambda level, index, few=few: few[level, index]  # noqa: E731
            assert build(*numbers, read) == build(*numbers, TREE)


class TestAgainstPymerkle:
    def test_same_roots_and_paths(self):
        theirs = InmemoryTree(algorithm="sha256")
        for entry in TREE.entries:
            theirs.append_entry(entry)
        for size in (1, 2, 3, 7, 8, 64, 100, 255, 256, LARGEST):
            assert theirs.get_root(size) == ROOT[size] == merkle.root_at(size, TREE)
            for index in {0, size // 3, size - 1}:
                # Theirs counts from one, and its path begins with the leaf.
                leaf, *path = theirs.prove_inclusion(index + 1, size).path
                assert leaf == TREE.leaves[index]
                assert path == merkle.inclusion_proof(index, size, TREE)


class TestCompactRange:
    @settings(max_examples=60)
    @given(st.lists(st.integers(0, 40), max_size=8))
    def test_grows_to_the_same_root_and_nodes_in_any_batches(self, batches):
        edge, nodes, size = CompactRange(), {}, 0
        for count in batches:
            edge = CompactRange.from_bytes(edge.to_bytes())
            count = min(count, LARGEST - size)
            for level, first, hashes in edge.extend(TREE.leaves[size : size + count]):
                for index, each in enumerate(hashes, first):
                    assert (level, index) not in nodes
                    nodes[level, index] = each
            size += count
        assert (edge.size, edge.root()) == (size, ROOT[size])
        whole = {
            (level, index): each
            for (level, index), each in TREE.nodes.items()
            if (index + 1) << level <= size
        }
        assert nodes == whole

    def test_one_by_one(self):
        edge = CompactRange()
        for size, leaf in enumerate(TREE.leaves[:20]):
            assert edge.root() == ROOT[size]
            for level, index, each in edge.append(leaf):
                assert TREE.nodes[level, index] == each

    @pytest.mark.parametrize(
        "data",
        [b"", b"\0" * 7, b"\0" * 9, b"\0" * 7 + b"\3" + b"x" * 32, b"\xff" * 8 + b"x" * 2048],
    )
    def test_refuses_bytes_that_are_none(self, data):
        with pytest.raises(ValueError, match="not a compact range"):
            CompactRange.from_bytes(data)


def flips(data):
    """Yield the bytes with each single bit turned over."""
    for bit in range(len(data) * 8):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        yield bytes(turned)


def bent(path):
    """Yield every path that differs in one bit or in its structure."""
    for place, each in enumerate(path):
        for turned in flips(each):
            yield [*path[:place], turned, *path[place + 1 :]]
        yield [*path[:place], *path[place + 1 :]]
        yield [*path[: place + 1], each, *path[place + 1 :]]
        yield [*path[:place], each[:-1], *path[place + 1 :]]
        yield [*path[:place], each + b"\0", *path[place + 1 :]]
        yield [*path[:place], each.hex(), *path[place + 1 :]]
        if place and path[place - 1] != each:
            yield [*path[: place - 1], each, path[place - 1], *path[place + 1 :]]
    yield [*path, b"\0" * 32]
    if path:
        yield []


class TestTampering:
    """Whatever is changed in a proof or in what it proves, it is refused."""

    @pytest.mark.parametrize(("index", "size"), [(0, 1), (0, 2), (5, 11), (10, 11), (8, 16)])
    def test_inclusion(self, index, size):
        leaf, root = TREE.leaves[index], ROOT[size]
        path = merkle.inclusion_proof(index, size, TREE)
        merkle.verify_inclusion(leaf, index, size, path, root)
        for turned in bent(path):
            with pytest.raises(ProofFailed):
                merkle.verify_inclusion(leaf, index, size, turned, root)
        for turned in flips(leaf):
            with pytest.raises(ProofFailed):
                merkle.verify_inclusion(turned, index, size, path, root)
        for turned in flips(root):
            with pytest.raises(ProofFailed):
                merkle.verify_inclusion(leaf, index, size, path, turned)
        for other in (set(range(-1, size + 2)) | {2**63, 2**80}) - {index}:
            with pytest.raises(ProofFailed):
                merkle.verify_inclusion(leaf, other, size, path, root)

    @pytest.mark.parametrize(("old", "new"), [(0, 5), (1, 2), (4, 8), (6, 11), (11, 11), (8, 9)])
    def test_consistency(self, old, new):
        path = merkle.consistency_proof(old, new, TREE)
        for turned in bent(path):
            with pytest.raises(ProofFailed):
                merkle.verify_consistency(old, ROOT[old], new, ROOT[new], turned)
        for turned in flips(ROOT[old]):
            with pytest.raises(ProofFailed):
                merkle.verify_consistency(old, turned, new, ROOT[new], path)
        for turned in flips(ROOT[new]) if old else ():
            with pytest.raises(ProofFailed):
                merkle.verify_consistency(old, ROOT[old], new, turned, path)
        for other in set(range(-1, new + 3)) - {old}:
            with pytest.raises(ProofFailed):
                merkle.verify_consistency(other, ROOT[old], new, ROOT[new], path)

    def test_a_rewritten_history_has_no_consistency_proof(self):
        other = Stored([*TREE.entries[:5], b"another", *TREE.entries[6:20]])
        path = merkle.consistency_proof(9, 20, other)
        with pytest.raises(ProofFailed, match="older root"):
            merkle.verify_consistency(9, ROOT[9], 20, other.edge.root(), path)

    @pytest.mark.parametrize(
        ("first", "last", "size"), [(0, 1, 1), (3, 7, 11), (0, 11, 11), (4, 6, 8)]
    )
    def test_range(self, first, last, size):
        leaves, root = TREE.leaves[first:last], ROOT[size]
        path = merkle.range_proof(first, last, size, TREE)
        merkle.verify_range(leaves, first, size, path, root)
        for turned in bent(path):
            with pytest.raises(ProofFailed):
                merkle.verify_range(leaves, first, size, turned, root)
        for turned in bent(leaves):
            with pytest.raises(ProofFailed):
                merkle.verify_range(turned, first, size, path, root)
        for turned in flips(root):
            with pytest.raises(ProofFailed):
                merkle.verify_range(leaves, first, size, path, turned)
        for other in set(range(-1, size + 2)) - {first}:
            with pytest.raises(ProofFailed):
                merkle.verify_range(leaves, other, size, path, root)

    def test_a_range_that_leaves_one_out_is_refused_whichever_it_is(self):
        """Completeness: even with a proof made for the shorter range."""
        leaves = TREE.leaves[3:9]
        for place in range(len(leaves)):
            shorter = [*leaves[:place], *leaves[place + 1 :]]
            for first in (3, 4):
                path = merkle.range_proof(first, first + len(shorter), 20, TREE)
                if shorter == TREE.leaves[first : first + len(shorter)]:
                    continue
                with pytest.raises(ProofFailed):
                    merkle.verify_range(shorter, first, 20, path, ROOT[20])

    def test_an_inner_node_is_no_leaf(self):
        """RFC 9162's prefixes: a node offered as the entry below another tree."""
        node = TREE.nodes[1, 0] + TREE.nodes[1, 1]
        with pytest.raises(ProofFailed):
            merkle.verify_range([merkle.leaf_hash(node)], 0, 1, [], ROOT[4])
        with pytest.raises(ProofFailed):
            merkle.verify_inclusion(TREE.nodes[1, 0], 0, 4, [TREE.nodes[1, 1]], ROOT[4])

    @pytest.mark.parametrize(
        ("build", "numbers"),
        [
            (merkle.inclusion_proof, (3, 3)),
            (merkle.inclusion_proof, (-1, 3)),
            (merkle.inclusion_proof, (0, 2**63)),
            (merkle.consistency_proof, (4, 3)),
            (merkle.consistency_proof, (-1, 3)),
            (merkle.range_proof, (2, 1, 3)),
            (merkle.range_proof, (-1, 1, 3)),
            (merkle.range_proof, (0, 4, 3)),
            (merkle.root_at, (-1,)),
        ],
    )
    def test_numbers_that_name_nothing_are_refused(self, build, numbers):
        with pytest.raises(ValueError, match="tree"):
            build(*numbers, TREE)
