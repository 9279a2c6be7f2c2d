"""The tree of the fast multipole method, and the threads that work on it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from simulation.engine.fmm import traversal, tree
from simulation.engine.fmm.arrays import Cells, SortedBodies
from simulation.engine.fmm.lanes import LANES
from simulation.engine.fmm.presets import Preset
from simulation.engine.fmm.strengths import strengths

# Bodies that share one estimate of how strongly all others pull: a part of all, in these bounds.
_STRENGTH_PART, _STRENGTH_MIN, _STRENGTH_MAX = 200, 128, 512
# The centre and size of the cell that lanes without a source point at: outside the box.
_NOWHERE = (4.0, 0.0, 0.0, 1.0)
_PARTS_OF_A_THREAD = 8


class TreeMaker:
    """Makes the cells of sorted bodies; keeps room between evaluations."""

    def __init__(self, preset: Preset, threads: int) -> None:
        """Take what the leaves must be like, and the number of threads."""
        self.preset = preset
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        # Room that was enough last time.
        self._cells_max = 64

    def _cells(self, bodies: SortedBodies) -> Cells:
        """Return the tree, its wide leaves split; see ``_widths_wanted``."""
        while True:
            cells = Cells(max(self._cells_max, bodies.key.size // self.preset.leaf_size))
            if self._build(bodies, cells):
                cells.centre[cells.count] = _NOWHERE
                cells.tabulate()
                cells.pack(bodies)
                return cells
            self._cells_max = 2 * len(cells.first)

    def _build(self, bodies: SortedBodies, cells: Cells) -> bool:
        shape = (cells.first, cells.last, cells.level, cells.child, cells.children, cells.parent)
        cells.count = tree.build_cells(bodies.key, self.preset.leaf_size, *shape)
        if cells.count < 0:
            return False
        self._place(bodies, cells)
        self._strengths(bodies, cells)
        wanted = self._levels_wanted(bodies, cells)
        count = tree.split_wide_leaves(bodies.key, wanted, cells.strength, cells.count, *shape)
        if count != cells.count:
            if count < 0:
                return False
            done, cells.count = cells.count, count
            self._place(bodies, cells, done)
        traversal.weakest_upward(cells.count, cells.child, cells.children, cells.strength)
        return True

    def _place(self, bodies: SortedBodies, cells: Cells, done: int = 0) -> None:
        tree.place_cells(
            done,
            cells.count,
            cells.first,
            cells.last,
            cells.child,
            cells.children,
            bodies.place,
            bodies.weight,
            cells.centre,
            cells.charge,
            cells.radius,
        )
        cells.leaves = np.flatnonzero(cells.children[: cells.count] == 0)

    def _strengths(self, bodies: SortedBodies, cells: Cells) -> None:
        """Write the strength at each leaf: that of the largest cell of few bodies around it."""
        most = min(max(bodies.key.size // _STRENGTH_PART, _STRENGTH_MIN), _STRENGTH_MAX)
        size = cells.last[: cells.count] - cells.first[: cells.count]
        above = size[cells.parent[: cells.count]]
        above[0] = size[0] + most
        few = (size <= most) & (above > most)
        chosen = np.flatnonzero(few | ((cells.children[: cells.count] == 0) & (size > most)))
        chosen = chosen[np.argsort(cells.first[chosen])]

        def some(begin: int, end: int) -> None:
            strengths(
                begin,
                end,
                chosen,
                cells.child,
                cells.children,
                cells.centre,
                cells.charge,
                cells.radius,
                bodies.softening2,
                cells.strength,
            )

        self._share_out(some, np.arange(-(-chosen.size // LANES) + 1))
        traversal.strengths_downward(
            cells.count, cells.first, cells.last, cells.parent, most, cells.strength
        )

    def _levels_wanted(self, bodies: SortedBodies, cells: Cells) -> np.ndarray:
        """Return the level at which each leaf is no wider than a share of its distance.

        Far out, sqrt(charge / strength) is the distance from the bulk; a leaf about as wide would
        see all of it under one bad angle.
        """
        wanted = np.zeros(cells.count, np.int32)
        leaves = cells.leaves[cells.strength[cells.leaves] > 0.0]
        width = self.preset.widest * np.sqrt(cells.charge[0] / cells.strength[leaves])
        # The least level whose cells, 2 / 2^level wide, are no wider. Not log2, which may round
        # another way on another processor.
        share, exponent = np.frexp(2.0 / width)
        wanted[leaves] = np.clip(exponent - (share == 0.5), 0, tree.LEVELS)
        return wanted

    def _share_out(self, work: Callable[[int, int], None], cost: np.ndarray) -> None:
        """Call ``work(begin, end)`` on parts of about equal cost (cumulative, from 0)."""
        items = len(cost) - 1
        if self.threads == 1:
            work(0, items)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="multipole")
        parts = self.threads * _PARTS_OF_A_THREAD
        wanted = np.linspace(0, float(cost[-1]), parts + 1)[1:-1]
        cuts = [0, *(int(cut) for cut in np.searchsorted(cost, wanted)), items]
        pairs = [(a, b) for a, b in itertools.pairwise(cuts) if a < b]
        for task in [self._pool.submit(work, a, b) for a, b in pairs]:
            task.result()
