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
import itertools
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from simulation.engine.distribution.protocol import Terms
from simulation.engine.distribution.shares import TASKS_OF_A_RANK
from simulation.engine.distribution.sinks import (
    find_wanted_pairs,
    list_by_wanted_sink,
    want_upward,
)
from simulation.engine.fmm import method as fmm
from simulation.engine.fmm import passes, tree
from simulation.engine.forces import Kick

# Two full leaves: no task is without any.
_TASK_BODIES = 64
_NO_PAIRS = np.empty((0, 2), np.int32)


class MultipoleWork(fmm.FastMultipole):
    """The tasks of the fast multipole method. Part 0 of a partial sum is near, part 1 is far."""

    parts = 2
    in_runs = True

    def __init__(self, accuracy: float | None, threads: int) -> None:
        """Take the preset's accuracy and the threads of this rank."""
        super().__init__(accuracy, threads)
        self._lock = threading.Lock()
        self._cells_now: Any = None

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
        self._bodies = fmm._Sorted(x, self._kick)
        self._cells_now = None

    def costs(self, terms: Terms) -> np.ndarray:
        """Return the bodies of each task."""
        return np.diff(_cuts(terms)).astype(np.float64)

    def add(
        self, tasks: Iterable[int], partial: np.ndarray, ledger: np.ndarray
    ) -> tuple[bool, np.ndarray]:
        """Write the near and far sums of tasks into zeros; see ``work.Work``."""
        self._build_once()
        cells, bodies = self._cells_now, self._bodies
        wanted = self._wanted(tasks)
        far, close = self._pairs(wanted)
        touched = np.zeros(bodies.key.size + 1, np.int64)
        within = self._add_near(close, partial[0], touched)
        within = self._add_far(far, wanted, partial[1]) and within
        leaves = cells.leaves[wanted[cells.leaves]]
        _mark(touched, cells, leaves)
        ledger += partial[:, 3].sum()
        ledger += partial[1, :3].sum()
        return within, np.flatnonzero(np.cumsum(touched[:-1]))

    def settle(self, total: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Add near and far, return the residual to the bodies, put them back into their order."""
        sums = total[0] + total[1]
        residual = fmm.return_residual(sums[:3], self._bodies.source, self._bodies.alone)
        found = np.empty_like(sums)
        found[:, self._bodies.order] = sums
        return found, residual

    def _build_once(self) -> None:
        with self._lock:
            if self._cells_now is None:
                cells = self._cells(self._bodies)
                self._rows = self._moments(self._bodies, cells)
                self._starts = self._starting_pairs(cells)
                self._cells_now = cells

    def _starting_pairs(self, cells: Any) -> np.ndarray:
        cut = np.empty(fmm._CUT + 8, np.int32)
        many = tree.cut_into_cells(
            cells.count, cells.first, cells.last, cells.child, cells.children, fmm._CUT, cut
        )
        rows, columns = np.triu_indices(many)
        return np.stack([cut[rows], cut[columns]], axis=1)

    def _wanted(self, tasks: Iterable[int]) -> np.ndarray:
        """Mark the tasks' leaves, those whose first body is in the task's run, and all above."""
        cells = self._cells_now
        cuts = _cuts(self._terms)
        mine = np.zeros(len(cuts) - 1, np.bool_)
        mine[list(tasks)] = True
        task_of = np.searchsorted(cuts, cells.first[cells.leaves], side="right") - 1
        wanted = np.zeros(cells.count, np.bool_)
        wanted[cells.leaves] = mine[task_of]
        want_upward(cells.count, cells.parent, wanted)
        return wanted

    def _pairs(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the far pairs of wanted cells and the near pairs of wanted leaves."""
        cells = self._cells_now
        found: list[tuple[np.ndarray, np.ndarray]] = [(_NO_PAIRS, _NO_PAIRS)] * fmm._UNITS
        preset = self.preset

        def units(begin: int, end: int) -> None:
            for unit in range(begin, end):
                while True:
                    far, close = self._room[unit]
                    many_far, many_close = find_wanted_pairs(
                        np.ascontiguousarray(self._starts[unit :: fmm._UNITS]),
                        wanted,
                        cells.first,
                        cells.last,
                        cells.child,
                        cells.children,
                        cells.centre,
                        cells.charge,
                        cells.radius,
                        cells.strength,
                        preset.order,
                        preset.delta_of(int(cells.last[0])),
                        preset.opening**2,
                        preset.direct,
                        far,
                        close,
                    )
                    if many_far >= 0:
                        break
                    room = max(1024, 4 * cells.count, 2 * len(far))
                    self._room[unit] = (
                        np.empty((room, 2), np.int32),
                        np.empty((room, 2), np.int32),
                    )
                found[unit] = far[:many_far], close[:many_close]

        self._share_out(units, np.arange(fmm._UNITS + 1))
        far, close = (np.concatenate(pairs) for pairs in zip(*found, strict=True))
        return far, close

    def _add_near(self, pairs: np.ndarray, sums: np.ndarray, touched: np.ndarray) -> bool:
        cells = self._cells_now
        _mark(touched, cells, np.unique(pairs))
        if not len(pairs):
            return True
        lists = fmm._NearLists(self._bodies, cells, pairs)
        return self._near(self._bodies, cells, lists, self._kick, sums)

    def _add_far(self, pairs: np.ndarray, wanted: np.ndarray, sums: np.ndarray) -> bool:
        """Sum the fields of the wanted cells, and let them down to the bodies in a tree of these
        cells alone.
        """
        cells = self._cells_now
        lists = fmm._Lists.__new__(fmm._Lists)
        lists.offset = np.empty(cells.count + 1, np.int64)
        lists.sources = np.empty(2 * len(pairs) + 16, np.int32)
        list_by_wanted_sink(cells.count, pairs, wanted, lists.offset, lists.sources)
        fields = np.zeros((cells.count, self._tables.terms))
        own = np.flatnonzero(wanted)
        work = np.concatenate([[0], np.cumsum(np.diff(lists.offset)[own])])

        def sinks(begin: int, end: int) -> None:
            for first, last in _runs(own[begin:end]):
                passes.far_fields(
                    self.preset.order,
                    first,
                    last,
                    lists.offset,
                    lists.sources,
                    self._rows.ravel(),
                    cells.centre.ravel(),
                    cells.count,
                    self._bodies.softening2,
                    self._tables.degree,
                    fields,
                )

        if not own.size:
            return True
        self._share_out(sinks, work)
        return self._downward(
            self._bodies, _only(cells, own), fields[own], self._kick, sums[:3], sums[3]
        )


def _cuts(terms: Terms) -> np.ndarray:
    """Return where along the Morton curve tasks begin, and the number of bodies."""
    few = max(terms.blocks_for, terms.bodies // _TASK_BODIES)
    many = min(TASKS_OF_A_RANK * terms.blocks_for, few, terms.bodies)
    return terms.bodies * np.arange(many + 1, dtype=np.int64) // many


def _only(cells: Any, own: np.ndarray) -> Any:
    """Return the tree of the cells ``own``, in which every cell's parent is."""
    found = copy.copy(cells)
    found.count = own.size
    found.parent = np.searchsorted(own, cells.parent[own]).astype(np.int32)
    for name in ("first", "last", "children", "centre"):
        setattr(found, name, np.ascontiguousarray(getattr(cells, name)[own]))
    return found


def _runs(indices: np.ndarray) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers, each as first and last + 1."""
    if not indices.size:
        return []
    breaks = np.flatnonzero(np.diff(indices) > 1) + 1
    edges = [0, *breaks.tolist(), indices.size]
    return [(int(indices[a]), int(indices[b - 1]) + 1) for a, b in itertools.pairwise(edges)]


def _mark(touched: np.ndarray, cells: Any, leaves: np.ndarray) -> None:
    """Count the leaves' bodies up, as steps to be summed."""
    np.add.at(touched, cells.first[leaves], 1)
    np.add.at(touched, cells.last[leaves], -1)
