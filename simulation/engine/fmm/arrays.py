"""The arrays that the stages of the fast multipole method hand to each other."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np

from simulation.engine.fmm import near, quick, traversal, tree
from simulation.engine.fmm.copies import BODIES
from simulation.engine.fmm.moves import LANES
from simulation.engine.forces import Kick

# Bodies of one Morton key that are put in order one by one.
_TIES_MAX = 64


class Room:
    """Rows that are kept from one evaluation to the next: to make them anew takes a while."""

    def __init__(self, columns: int, kind: type) -> None:
        self._rows: np.ndarray = np.zeros((0, columns), kind)

    def some(self, rows: int) -> np.ndarray:
        """Return so many rows: zeros at first, then what was written to them."""
        if len(self._rows) < rows:
            self._rows = np.zeros((rows + rows // 2, self._rows.shape[1]), self._rows.dtype)
        return self._rows[:rows]


class SortedBodies:
    """The bodies in Morton order: as they are, and for the far field in units of their box.

    ``half`` the box: |``place``| <= 1, ``weight`` sums to at most 1; both by powers of two, so that
    no bit depends on it.
    """

    def __init__(self, x: np.ndarray, kick: Kick) -> None:
        """Take bodies that are in that order; ``key`` (N,) are their Morton keys."""
        self.x, self.sink, self.source = x, kick.sink, kick.source
        self.half = _half_of(x)
        unit = math.ldexp(1.0, math.frexp(float(np.sum(self.source)))[1])
        bodies = self.source.size
        self.key = np.empty(bodies, np.uint64)
        # Vectors of bodies are read beyond the last one.
        self.place, self.weight = np.empty((3, bodies + LANES)), np.empty(bodies + LANES)
        tree.place_bodies(x, self.source, self.half, unit, self.key, self.place, self.weight)
        self.softening2 = kick.softening2 / self.half**2
        self.kick_of_far = unit / self.half**2


def morton_order(x: np.ndarray, source: np.ndarray, sink: np.ndarray) -> np.ndarray:
    """Return which body comes where: by Morton key, then by coordinates and charges."""
    bodies, half = x.shape[1], _half_of(x)
    key, order = np.empty(bodies, np.uint64), np.empty(bodies, np.int64)
    tree.morton_keys(x, half, key)
    unsorted = 0
    if bodies <= 1 << tree.INDEX_BITS:
        unsorted = tree.UNSORTED_BITS
        tree.sort_prefixes(key, order)
    if not unsorted or tree.longest_tie(key, unsorted) > _TIES_MAX:
        unsorted = 0
        tree.morton_keys(x, half, key)
        tree.radix_sort(key, order, np.empty_like(key), np.empty_like(order))
    if not unsorted and tree.longest_tie(key, unsorted) > _TIES_MAX:
        # By insertion many bodies of one key would take their square.
        tree.morton_keys(x, half, key)
        return np.lexsort((sink, source, x[2], x[1], x[0], key))
    tree.break_ties(key, order, x, source, sink, unsorted)
    return order


def put_in_order(order: np.ndarray, x: np.ndarray, kick: Kick) -> tuple[np.ndarray, Kick]:
    """Return bodies and their charges in an order."""
    found, sink, source = np.empty_like(x), np.empty_like(kick.sink), np.empty_like(kick.source)
    # Row by row: a row stays in the processor's cache.
    for taken, row in zip((*found, sink, source), (*x, kick.sink, kick.source), strict=True):
        tree.take(order, row, taken)
    return found, replace(kick, sink=sink, source=source)


def put_back(order: np.ndarray, total: np.ndarray, k_q: np.ndarray, u_q: np.ndarray) -> None:
    """Write sorted kicks and potentials (4, N) to where the bodies came from."""
    for row, kicks in zip((*k_q, u_q), total, strict=True):
        tree.put(order, kicks, row)


def _half_of(x: np.ndarray) -> float:
    farthest = max(float(np.max(x)), -float(np.min(x)))
    return math.ldexp(1.0, math.frexp(farthest)[1]) if farthest > 0.0 else 1.0


class Cells:
    """The cells of a tree, breadth first; see ``tree.build_cells`` and ``tree.place_cells``."""

    def __init__(self, room: int) -> None:
        self.count = 0
        self.first, self.last, self.level, self.child, self.children, self.parent = (
            np.empty(room, np.int32) for _ in range(6)
        )
        self.centre = np.zeros((room + 1, 4))
        self.charge, self.radius, self.strength = (np.zeros(room) for _ in range(3))
        self.leaves = np.empty(0, np.int64)
        self.heaviest, self.lightest = np.zeros(room), np.zeros(room)

    def tabulate(self) -> None:
        """Keep what pairs of cells are judged by side by side; see ``traversal``."""
        self.judged = np.empty((9, self.count + traversal.CHILDREN))
        traversal.tabulate(
            self.count,
            self.centre,
            self.charge,
            self.radius,
            self.strength,
            self.first,
            self.last,
            self.children,
            self.judged,
        )

    def pack(self, bodies: SortedBodies) -> None:
        """Keep the bodies of the leaves in single precision, too; see ``quick``."""
        self.packed = np.empty((4, bodies.key.size + BODIES), np.float32)
        self.unit = quick.length_unit(bodies.softening2 * bodies.half**2, bodies.half)
        self.source_unit = quick.pack_leaves(
            self.leaves,
            self.first,
            self.last,
            self.centre,
            bodies.half,
            bodies.x,
            bodies.source,
            self.unit,
            self.packed,
            self.heaviest,
            self.lightest,
        )


class Lists:
    """For each cell the cells that act on it: sources[offset[c] : offset[c + 1]]."""

    def __init__(self, cells: int, pairs: int) -> None:
        self.offset = np.empty(cells + 1, np.int64)
        self.sources = np.empty(pairs + 16, np.int32)

    @classmethod
    def by_sink(cls, pairs: np.ndarray, wanted: np.ndarray) -> Lists:
        """List pairs under each of their cells (cells,) that is ``wanted``."""
        lists = cls(wanted.size, 2 * len(pairs))
        traversal.list_by_sink(wanted.size, pairs, wanted, lists.offset, lists.sources)
        return lists

    @classmethod
    def by_first(cls, cells: int, pairs: np.ndarray) -> Lists:
        """List each pair under its first cell alone."""
        lists = cls(cells, len(pairs))
        traversal.list_by_first(cells, pairs, lists.offset, lists.sources)
        return lists


class NearLists:
    """The near pairs of leaves: alike from both sides where no body is without mass, or others.

    ``leaves``: those that have any; ``work``: the pairs of bodies of each.
    """

    def __init__(self, cells: Cells, pairs: np.ndarray) -> None:
        massive = cells.lightest > 0.0
        self._cells, self._pairs = cells, pairs
        self._all_alike = bool(massive[cells.leaves].all())
        others = pairs[:0]
        if not self._all_alike:
            alike = massive[pairs[:, 0]] & massive[pairs[:, 1]]
            pairs, others = pairs[alike], pairs[~alike]
        self.alike = Lists.by_first(cells.count, pairs)
        self.others = Lists.by_sink(others, np.ones(cells.count, np.bool_))
        self._find_leaves((np.diff(self.alike.offset) > 0) | (np.diff(self.others.offset) > 0))

    def of(self, mine: np.ndarray) -> NearLists:
        """Return the pairs whose first leaf is among some cells (cells,)."""
        if not self._all_alike:
            return NearLists(self._cells, self._pairs[mine[self._pairs[:, 0]]])
        found = copy.copy(self)
        found._find_leaves((np.diff(self.alike.offset) > 0) & mine)
        return found

    def all_leaves(self) -> np.ndarray:
        """Return the leaves of all these pairs."""
        named = np.zeros(self._cells.count, np.bool_)
        for lists in (self.alike, self.others):
            near.name_rows(self.leaves, lists.offset, lists.sources, named)
        return np.flatnonzero(named)

    def _find_leaves(self, some: np.ndarray) -> None:
        first, last = self._cells.first, self._cells.last
        self.leaves = np.flatnonzero(some)
        self.work = np.zeros(self.leaves.size, np.int64)
        for lists in (self.alike, self.others):
            near.near_work(self.leaves, first, last, lists.offset, lists.sources, self.work)
