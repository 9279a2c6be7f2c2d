"""The fast multipole method shared out: each rank its own leaves, and the cells above them.

Every rank sorts the bodies, builds the tree and its moments: these are the same everywhere. A task
is a run of leaves along the Morton curve: the far field at their bodies, and the near pairs whose
first leaf is among them, both directions. The near kicks of any set of tasks therefore sum to
exactly zero. The far kicks do not, by the rounding of single precision: a sum kept beside them
shows what changes them later, and only spot checks show what was wrong from the start. The
coordinator adds everything up and returns the residual of all far kicks together, as one process
does, so the bits are those of one process.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable

import numpy as np

from simulation.engine.distribution.protocol import Terms
from simulation.engine.distribution.shares import TASKS_OF_A_RANK
from simulation.engine.fmm.arrays import Cells, Lists, NearLists, SortedBodies
from simulation.engine.fmm.method import FastMultipole
from simulation.engine.fmm.residual import return_residual
from simulation.engine.fmm.traversal import want_upward
from simulation.engine.forces import Kick

# Two full leaves: no task is without any.
_TASK_BODIES = 64


class MultipoleWork(FastMultipole):
    """The tasks of the fast multipole method. Part 0 of a partial sum is near, part 1 is far."""

    parts = 2
    in_runs = True

    def __init__(self, accuracy: float | None, threads: int) -> None:
        """Take the preset's accuracy and the threads of this rank."""
        super().__init__(accuracy, threads)
        self._lock = threading.Lock()
        self._cells_now: Cells | None = None

    @property
    def source(self) -> np.ndarray:
        """The bodies' sources, in the order of the partial sums."""
        return self._bodies.source

    def begin(self, terms: Terms, x: np.ndarray, sink: np.ndarray, source: np.ndarray) -> None:
        """Sort the bodies; the tree is built when a task needs it."""
        self._terms = terms
        self._kick = Kick(
            sink, source, terms.softening2, terms.potential_per_charge, terms.pair_bits
        )
        self._bodies = SortedBodies(x, self._kick)
        self._cells_now = None

    def costs(self, terms: Terms) -> np.ndarray:
        """Return the bodies of each task."""
        return np.diff(_cuts(terms)).astype(np.float64)

    def add(
        self, tasks: Iterable[int], partial: np.ndarray, ledger: np.ndarray
    ) -> tuple[bool, np.ndarray]:
        """Write the near and far sums of tasks into zeros; see ``work.Work``."""
        cells, bodies = self._built(), self._bodies
        wanted = self._wanted(cells, tasks)
        far, close = self._pairs(cells, wanted)
        touched = np.zeros(bodies.key.size + 1, np.int64)
        within = self._add_near(cells, close, partial[0], touched)
        within = self._add_far(cells, far, wanted, partial[1]) and within
        leaves = cells.leaves[wanted[cells.leaves]]
        _mark(touched, cells, leaves)
        ledger += partial[:, 3].sum()
        ledger += partial[1, :3].sum()
        return within, np.flatnonzero(np.cumsum(touched[:-1]))

    def settle(self, total: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Add near and far, return the residual to the bodies, put them back into their order."""
        sums = total[0] + total[1]
        residual = return_residual(sums[:3], self._bodies.source, self._bodies.alone)
        found = np.empty_like(sums)
        found[:, self._bodies.order] = sums
        return found, residual

    def _built(self) -> Cells:
        """Return the tree, built once for these positions."""
        with self._lock:
            if self._cells_now is None:
                self._cells_now = self._cells(self._bodies)
                self._rows = self._moments(self._bodies, self._cells_now)
            return self._cells_now

    def _wanted(self, cells: Cells, tasks: Iterable[int]) -> np.ndarray:
        """Mark the tasks' leaves, those whose first body is in the task's run, and all above."""
        cuts = _cuts(self._terms)
        mine = np.zeros(len(cuts) - 1, np.bool_)
        mine[list(tasks)] = True
        task_of = np.searchsorted(cuts, cells.first[cells.leaves], side="right") - 1
        wanted = np.zeros(cells.count, np.bool_)
        wanted[cells.leaves] = mine[task_of]
        want_upward(cells.count, cells.parent, wanted)
        return wanted

    def _add_near(
        self, cells: Cells, pairs: np.ndarray, sums: np.ndarray, touched: np.ndarray
    ) -> bool:
        # Not np.unique, which sorts: 10 ms of an evaluation's 300.
        named = np.zeros(cells.count, np.bool_)
        named[pairs] = True
        _mark(touched, cells, np.flatnonzero(named))
        if not len(pairs):
            return True
        lists = NearLists(self._bodies, cells, pairs)
        return self._near(self._bodies, cells, lists, self._kick, sums)

    def _add_far(
        self, cells: Cells, pairs: np.ndarray, wanted: np.ndarray, sums: np.ndarray
    ) -> bool:
        """Sum the fields of the wanted cells, and let them down to the bodies in a tree of these
        cells alone.
        """
        own = np.flatnonzero(wanted)
        if not own.size:
            return True
        fields = np.zeros((cells.count, self._tables.terms))
        self._far(self._bodies, cells, self._rows, Lists.by_sink(pairs, wanted), fields)
        return self._downward(
            self._bodies, _only(cells, own), fields[own], self._kick, sums[:3], sums[3]
        )


def _cuts(terms: Terms) -> np.ndarray:
    """Return where along the Morton curve tasks begin, and the number of bodies."""
    few = max(terms.blocks_for, terms.bodies // _TASK_BODIES)
    many = min(TASKS_OF_A_RANK * terms.blocks_for, few, terms.bodies)
    return terms.bodies * np.arange(many + 1, dtype=np.int64) // many


def _only(cells: Cells, own: np.ndarray) -> Cells:
    """Return the tree of the cells ``own``, in which every cell's parent is."""
    found = copy.copy(cells)
    found.count = own.size
    child, children = cells.child[own], cells.children[own]
    found.child = np.searchsorted(own, child).astype(np.int32)
    end = np.searchsorted(own, child + children).astype(np.int32)
    found.children = end - found.child
    for name in ("first", "last", "centre"):
        setattr(found, name, np.ascontiguousarray(getattr(cells, name)[own]))
    return found


def _mark(touched: np.ndarray, cells: Cells, leaves: np.ndarray) -> None:
    """Count the leaves' bodies up, as steps to be summed."""
    np.add.at(touched, cells.first[leaves], 1)
    np.add.at(touched, cells.last[leaves], -1)
