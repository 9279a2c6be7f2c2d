"""The fast multipole method shared out: each rank its own leaves, and the cells above them.

Every rank builds the tree and its moments: these are the same everywhere. A task is a run of leaves
along the Morton curve: the far field at their bodies, and the near pairs whose first leaf is among
them, both directions. The near kicks of any set of tasks therefore sum to exactly zero. The far
kicks do not, by the rounding of single precision: a sum kept beside them shows what changes them
later, and only spot checks show what was wrong from the start. The coordinator adds everything up
and returns the residual of all far kicks together, as one process does, so the bits are those of
one process.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from simulation.engine.distribution.balance import look_at, no_blocks, touch
from simulation.engine.distribution.protocol import Added, Bodies, Terms
from simulation.engine.distribution.shares import TASKS_OF_A_RANK
from simulation.engine.fmm.arrays import (
    Cells,
    Lists,
    NearLists,
    SortedBodies,
    morton_order,
    put_back,
    put_in_order,
)
from simulation.engine.fmm.far import LANES
from simulation.engine.fmm.method import FastMultipole
from simulation.engine.fmm.residual import return_residual
from simulation.engine.fmm.traversal import want_upward
from simulation.engine.forces import Kick

# Two full leaves: no task is without any.
_TASK_BODIES = 64
# What LANES far sources and a body cost, in pairs of near bodies (measured at preset 1e-4).
_SOURCES_COST, _BODY_COST = 1450.0, 70.0


class MultipoleWork(FastMultipole):
    """The tasks of the fast multipole method. Part 0 of a partial sum is near, part 1 is far."""

    parts = 2
    in_runs = True

    def __init__(self, accuracy: float | None, threads: int) -> None:
        """Take the preset's accuracy and the threads of this rank."""
        super().__init__(accuracy, threads)
        self._cells_now: Cells | None = None
        # Near pairs, far sums and what is touched, of tasks that are done on their own.
        self._apart: dict[int, tuple[NearLists, np.ndarray, np.ndarray]] = {}

    @property
    def source(self) -> np.ndarray:
        """The bodies' sources, in the order of the partial sums."""
        return self._kick.source

    def arrange(self, terms: Terms, x: np.ndarray, kick: Kick) -> Bodies:
        """Put the bodies into Morton order."""
        self._order = morton_order(x, kick.source, kick.sink)
        x, kick = put_in_order(self._order, x, kick)
        return x, kick.sink, kick.source

    def begin(self, terms: Terms, bodies: Bodies) -> None:
        """Take the bodies; the tree is built when a task needs it."""
        self._terms = terms
        self._x, self._kick = bodies[0], terms.kick(bodies)
        self._cells_now = None

    def costs(self, terms: Terms) -> np.ndarray:
        """Return the bodies of each task: what it costs shows when it is done."""
        return np.diff(_cuts(terms)).astype(np.float64)

    def add(
        self, tasks: Sequence[int], apart: Sequence[int], partial: np.ndarray, ledger: np.ndarray
    ) -> Added:
        """Write the near and far sums of tasks into zeros; see ``work.Work``.

        The cells that act on each other are found, and far fields summed, for all tasks at once.
        """
        cells = self._built()
        wanted = self._wanted(cells, (*tasks, *apart))
        far, close = self._pairs(cells, wanted)
        sources, lists = Lists.by_sink(far, wanted), NearLists(cells, close)
        within = self._add_far(cells, sources, wanted, partial[1])
        costs = self._costs_of_far(sources)
        costs += np.bincount(self._task_of[lists.leaves], lists.work, costs.size)
        self._apart = {}
        for task in apart:
            run, mine = self._run_of(task), lists.of(self._task_of == task)
            touched = self._touched([task], mine)
            self._apart[task] = (mine, partial[1, :, run].copy(), touched)
            partial[1, :, run] = 0
        rest = lists.of(~np.isin(self._task_of, apart)) if apart else lists
        within = self._add_near(cells, rest, partial[0]) and within
        touched = self._touched(tasks, rest)
        ledger += look_at(partial, self.source, touched)[3]
        return Added(within, touched, {task: costs[task] for task in (*tasks, *apart)})

    def add_apart(self, task: int, alone: np.ndarray, ledger: np.ndarray) -> Added:
        """Add one task: its near pairs, and what ``add`` found from afar."""
        cells, (lists, far, touched) = self._built(), self._apart[task]
        alone[1, :, self._run_of(task)] = far
        within = self._add_near(cells, lists, alone[0])
        ledger += look_at(alone, self.source, touched)[3]
        return Added(within, touched)

    def settle(self, total: np.ndarray, k_q: np.ndarray, u_q: np.ndarray) -> tuple[int, int, int]:
        """Add near and far, return the residual to the bodies, put them back into their order."""
        sums = np.add(total[0], total[1], out=total[0])
        residual = return_residual(sums[:3], self.source, self._x)
        put_back(self._order, sums, k_q, u_q)
        return residual

    def _built(self) -> Cells:
        """Return the tree, built once for these positions."""
        if self._cells_now is None:
            self._bodies = SortedBodies(self._x, self._kick)
            self._cells_now = cells = self._cells(self._bodies)
            self._rows = self._moments(self._bodies, cells)
            first = cells.first[: cells.count]
            cuts = _cuts(self._terms)
            self._task_of = np.searchsorted(cuts, first, side="right") - 1
            leaves = np.append(np.sort(cells.first[cells.leaves]), self._terms.bodies)
            self._runs = leaves[np.searchsorted(leaves, cuts)]
        return self._cells_now

    def _wanted(self, cells: Cells, tasks: Sequence[int]) -> np.ndarray:
        """Mark the tasks' leaves, those whose first body is in the task's run, and all above."""
        mine = np.zeros(len(self.costs(self._terms)), np.bool_)
        mine[list(tasks)] = True
        wanted = mine[self._task_of] & (cells.children[: cells.count] == 0)
        want_upward(cells.count, cells.parent, wanted)
        return wanted

    def _run_of(self, task: int) -> slice:
        """Return the bodies of a task's leaves."""
        return slice(*self._runs[task : task + 2].tolist())

    def _touched(self, tasks: Sequence[int], lists: NearLists) -> np.ndarray:
        """Return the blocks of bodies that tasks with these near pairs add to."""
        touched = no_blocks(self._terms.bodies)
        cells, leaves = self._built(), lists.all_leaves()
        touch(touched, cells.first[leaves], cells.last[leaves])
        own = np.array(tasks, np.int64)
        own = own[self._runs[own] < self._runs[own + 1]]
        touch(touched, self._runs[own], self._runs[own + 1])
        return touched

    def _costs_of_far(self, far: Lists) -> np.ndarray:
        """Return what tasks cost without near pairs: what their cells are listed with."""
        sources = -(-np.diff(far.offset) // LANES) * _SOURCES_COST
        found = _BODY_COST * self.costs(self._terms)
        found += np.bincount(self._task_of, sources, found.size)
        return found

    def _add_near(self, cells: Cells, lists: NearLists, sums: np.ndarray) -> bool:
        return self._near(self._bodies, cells, lists, self._kick, sums)

    def _add_far(self, cells: Cells, lists: Lists, wanted: np.ndarray, sums: np.ndarray) -> bool:
        """Sum the fields of the wanted cells, and let them down to the bodies in a tree of these
        cells alone.
        """
        own = np.flatnonzero(wanted)
        if not own.size:
            return True
        fields = self._far(self._bodies, cells, self._rows, lists, own)
        return self._downward(
            self._bodies, _only(cells, own), fields, self._kick, sums[:3], sums[3]
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
