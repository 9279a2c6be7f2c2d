"""The Merkle tree of RFC 9162 §2.1 over SHA-256, and its proofs. Pure: no Django, no I/O.

Words
-----
A *leaf hash* is SHA-256(0x00 ‖ entry), a *node* SHA-256(0x01 ‖ left ‖ right). The tree over n
leaves splits at the largest power of two below n, so a subtree over 2^level leaves that begins at a
multiple of its length never changes again once it is full: ``(level, index)`` names it, ``index``
counting the subtrees of that level from the left. Whatever stores those nodes is a *reader*:
``node(level, index) -> bytes``. Each proof reads O(log n) of them.

What a proof says
-----------------
* inclusion: this leaf stands at this index in the tree of this head;
* consistency: the tree of the older head is the beginning of the newer one's;
* range: these leaves, *and no others*, stand at indices first … last - 1. The verifier rebuilds the
  root from the leaves themselves and the hashes of what lies left and right of them, so a leaf
  that is dropped, added or moved gives another root. It is a proof of completeness.

A verifier takes size and root *together* from one signed head: a path alone does not bind the
size, because the same path fits trees of several sizes.

Sources: RFC 9162 (Laurie, Messeri, Stradling 2021) §2.1.1–2.1.4; compact ranges after the
documentation of transparency-dev/merkle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
# Sizes are stored as PostgreSQL's bigint and written in JSON: nothing larger is a tree of ours.
SIZE_MAX = 2**63 - 1

NodeReader = Callable[[int, int], bytes]


class ProofFailed(Exception):
    """A proof does not show what it claims; the sentence says what is wrong with it."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one entry."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its two subtrees."""
    return sha256(b"\x01" + left + right).digest()


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over all leaf hashes. O(n) time and memory, about 1.5 M leaves a second."""
    tree = CompactRange()
    tree.extend(list(leaf_hashes))
    return tree.root()


class CompactRange:
    """The right edge of a tree, all that appending needs: one hash for each bit of ``size``.

    ``extend`` returns the nodes that became full, so whoever appends can store them for the readers
    of proofs.
    """

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        # By level. Only the levels whose bit is set in size hold something.
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append one leaf hash; return the nodes that became full, ``(level, index, hash)``."""
        return [(level, first, full[0]) for level, first, full in self.extend([leaf])]

    def extend(self, added: Sequence[bytes], level: int = 0) -> list[tuple[int, int, list[bytes]]]:
        """Append leaf hashes; return what became full: ``(level, index of the first, hashes)``.

        The leaves themselves are level 0. O(n) hashes, level by level: one list comprehension a
        level is five times as quick as a loop over leaves. With ``level``, full subtrees of that
        level are appended, where ``size`` is a multiple of their length.
        """
        assert self.size & ((1 << level) - 1) == 0, "a full subtree begins at a multiple"
        full: list[tuple[int, int, list[bytes]]] = []
        first, hashes = self.size >> level, list(added)
        self.size += len(added) << level
        self._peaks += [b""] * (self.size.bit_length() - len(self._peaks))
        while hashes:
            full.append((level, first, hashes))
            if first & 1:
                hashes = [self._peaks[level], *hashes]
                first -= 1
            if len(hashes) & 1:
                self._peaks[level] = hashes[-1]
            pairs = iter(hashes)
            hashes = [
                sha256(b"\x01" + left + right).digest()
                for left, right in zip(pairs, pairs, strict=False)
            ]
            level, first = level + 1, first >> 1
        return full

    def peaks(self) -> list[bytes]:
        """Return the hashes of the full subtrees from left to right: the proof that ends here."""
        return [
            self._peaks[level]
            for level in reversed(range(len(self._peaks)))
            if self.size >> level & 1
        ]

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        return _fold(self.peaks()) if self.size else EMPTY_ROOT

    def to_bytes(self) -> bytes:
        """Return the size in 8 bytes, big end first, and the peaks from left to right."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks())

    @classmethod
    def from_bytes(cls, data: bytes) -> CompactRange:
        """Return what ``to_bytes`` wrote. Raises ``ValueError`` when it has another length."""
        size = int.from_bytes(data[:8], "big")
        if len(data) != 8 + HASH_BYTES * size.bit_count() or size > SIZE_MAX:
            raise ValueError(f"not a compact range: {len(data)} bytes for size {size}")
        peaks = [data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES)]
        return cls.from_peaks(size, peaks)

    @classmethod
    def from_peaks(cls, size: int, peaks: Sequence[bytes]) -> CompactRange:
        """Return the right edge of a tree whose full subtrees are known, left to right."""
        if len(peaks) != size.bit_count():
            raise ValueError(f"size {size} has {size.bit_count()} full subtrees, got {len(peaks)}")
        edge = cls()
        edge.size = size
        left_to_right = iter(peaks)
        edge._peaks = [b""] * size.bit_length()
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                edge._peaks[level] = next(left_to_right)
        return edge


def root_at(size: int, node: NodeReader) -> bytes:
    """Return the root of the first ``size`` leaves, from O(log n) stored nodes."""
    _check_size(size)
    return _subtree(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: NodeReader) -> list[bytes]:
    """Return the path of leaf ``index`` in the tree of ``size`` leaves, from the leaf up."""
    _check_size(size)
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
    return path[::-1]


def consistency_proof(old: int, new: int, node: NodeReader) -> list[bytes]:
    """Return the proof that the first ``old`` leaves of ``new`` are the older tree."""
    _check_size(new)
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not begin with one of {old}")
    if old in (0, new):
        return []
    path = []
    low, high = 0, new
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_subtree(middle, high, node))
            high = middle
        else:
            path.append(_subtree(low, middle, node))
            low = middle
    if low > 0:  # At 0 it is the old root itself, which the verifier has.
        path.append(_subtree(low, high, node))
    return path[::-1]


def range_proof(first: int, last: int, size: int, node: NodeReader) -> list[bytes]:
    """Return the hashes of what lies left of ``first`` and from ``last`` on, from left to right.

    For first ≤ i < last; an empty range is allowed, and its proof then shows only the two sides.
    """
    _check_size(size)
    if not 0 <= first <= last <= size:
        raise ValueError(f"a tree of {size} leaves has no range from {first} to {last}")
    return [_subtree(low, high, node) for low, high in (*_left_of(first), *_right_of(last, size))]


def nodes_needed(proof: Callable[..., object], *numbers: int) -> list[tuple[int, int]]:
    """Return each ``(level, index)`` that a proof will read, so that one query can fetch them."""
    wanted: list[tuple[int, int]] = []

    def note(level: int, index: int) -> bytes:
        wanted.append((level, index))
        return EMPTY_ROOT

    proof(*numbers, note)
    return wanted


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ``ProofFailed`` unless leaf hash ``leaf`` stands at ``index`` under ``root``."""
    _check_hashes([leaf, root, *proof])
    if not 0 <= index < size <= SIZE_MAX:
        raise ProofFailed(f"A tree of {size} leaves has no leaf {index}.")
    found = leaf
    for sibling, is_left in _climb(index, size - 1, proof):
        found = node_hash(sibling, found) if is_left else node_hash(found, sibling)
    if found != root:
        raise ProofFailed(f"The path from leaf {index} does not lead to the root of the head.")


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Raise ``ProofFailed`` unless the tree of ``new`` leaves begins with that of ``old``."""
    _check_hashes([old_root, new_root, *proof])
    if not 0 <= old <= new <= SIZE_MAX:
        raise ProofFailed(f"A tree of {new} leaves does not begin with one of {old}.")
    old_found, new_found = old_root, new_root
    if 0 < old < new:
        old_found, new_found = _climb_both(old, new, [old_root, *proof])
    elif proof:
        raise ProofFailed("There is a path where none is needed.")
    elif old == new:
        old_found = new_root
    if old_found != old_root or (old == 0 and old_root != EMPTY_ROOT):
        raise ProofFailed(f"The path does not lead to the older root, of {old} leaves.")
    if new_found != new_root:
        raise ProofFailed(f"The path does not lead to the newer root, of {new} leaves.")


def verify_range(
    leaves: Sequence[bytes], first: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Raise ``ProofFailed`` unless just these leaf hashes stand from ``first`` on under ``root``.

    O(leaves + log size). An empty sequence is checked, too.
    """
    _check_hashes([*leaves, *proof, root])
    last = first + len(leaves)
    if not 0 <= first <= last <= size <= SIZE_MAX:
        raise ProofFailed(f"A tree of {size} leaves has no range from {first} to {last}.")
    count_left, right = first.bit_count(), list(_right_of(last, size))
    if len(proof) != count_left + len(right):
        needed = count_left + len(right)
        raise ProofFailed(f"The range needs {needed} hashes beside it, got {len(proof)}.")
    edge = CompactRange.from_peaks(first, proof[:count_left])
    edge.extend(leaves)
    # All but the last are full subtrees, which join what they complete. The last may be cut.
    for (low, high), each in zip(right[:-1], proof[count_left:], strict=False):
        edge.extend([each], (high - low).bit_length() - 1)
    if (_fold([*edge.peaks(), *proof[-1:]]) if right else edge.root()) != root:
        raise ProofFailed(
            f"Leaves {first} to {last} (excluded) do not lead to the root of the head."
        )


def _climb(place: int, final: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash of a path, from a leaf upwards, and whether it stands left of ours.

    ``place`` is our node at a level and ``final`` the last of the tree there (RFC 9162 §2.1.3.2).
    """
    for sibling in path:
        if final == 0:
            raise ProofFailed("The path goes on past the root.")
        is_left = bool(place & 1) or place == final
        yield sibling, is_left
        # Ours is the last node and has no partner at these levels: it moves up alone.
        while is_left and place and not place & 1:
            place, final = place >> 1, final >> 1
        place, final = place >> 1, final >> 1
    if final:
        raise ProofFailed("The path ends before the root.")


def _climb_both(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the older and the newer root that a consistency path leads to (RFC 9162 §2.1.4.2).

    ``path`` begins with the older root, which counts only where the older tree is one full subtree.
    """
    place, final = old - 1, new - 1
    while place & 1:
        place, final = place >> 1, final >> 1
    if old & (old - 1):
        path = path[1:]
    if not path:
        raise ProofFailed("The path is empty.")
    old_found = new_found = path[0]
    for sibling, is_left in _climb(place, final, path[1:]):
        if is_left:
            old_found = node_hash(sibling, old_found)
        new_found = node_hash(sibling, new_found) if is_left else node_hash(new_found, sibling)
    return old_found, new_found


def _split(width: int) -> int:
    """Return the largest power of two below ``width``."""
    return 1 << (width - 1).bit_length() - 1


def _left_of(first: int) -> Iterator[tuple[int, int]]:
    """Yield the full subtrees of leaves 0 … first - 1, the largest first."""
    low = 0
    for level in reversed(range(first.bit_length())):
        if first >> level & 1:
            yield low, low + (1 << level)
            low += 1 << level


def _right_of(last: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the subtrees of leaves last … size - 1; only the final one may be cut by the edge."""
    while last < size:
        width = last & -last or size
        yield last, min(last + width, size)
        last += width


def _subtree(low: int, high: int, node: NodeReader) -> bytes:
    """Return the hash over leaves low … high - 1, which are one subtree of some tree."""
    pieces = []
    while low < high:
        level = (high - low).bit_length() - 1
        pieces.append(node(level, low >> level))
        low += 1 << level
    return _fold(pieces)


def _fold(pieces: Sequence[bytes]) -> bytes:
    """Join subtrees that shrink from left to right, from the right."""
    found = pieces[-1]
    for piece in reversed(pieces[:-1]):
        found = node_hash(piece, found)
    return found


def _check_size(size: int) -> None:
    if not 0 <= size <= SIZE_MAX:
        raise ValueError(f"{size} is not the size of a tree")


def _check_hashes(hashes: Iterable[bytes]) -> None:
    """Refuse what is no hash: nodes are joined without a border, so lengths must be right."""
    if any(type(each) is not bytes or len(each) != HASH_BYTES for each in hashes):
        raise ProofFailed(f"A hash has {HASH_BYTES} bytes.")
