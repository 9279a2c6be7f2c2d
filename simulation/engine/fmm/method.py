"""The fast multipole force: the stages in their order, their buffers, and the threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np

from simulation.engine.errors import BadRequest
from simulation.engine.fmm import near, passes, traversal, tree
from simulation.engine.fmm.arrays import (
    Cells,
    Lists,
    NearLists,
    Room,
    SortedBodies,
    morton_order,
    put_back,
    put_in_order,
)
from simulation.engine.fmm.far import row_length
from simulation.engine.fmm.presets import PRESETS
from simulation.engine.fmm.residual import return_residual
from simulation.engine.fmm.tables import tables
from simulation.engine.fmm.tree_maker import TreeMaker
from simulation.engine.forces import Evaluation, Kick

# The part of the accuracy that the near field in single precision may take.
_NEAR_SHARE = 0.5
# The traversal starts from the pairs of at least _CUT cells, dealt out to _UNITS units of work.
_CUT, _UNITS = 64, 32
_NO_PAIRS = (np.empty(0, np.int64), np.empty(0, np.int64))


class FastMultipole(TreeMaker):
    """A ``Force`` in O(N). ``accuracy`` names a preset by the rms relative error it guarantees.

    It keeps room between evaluations: one for each run.
    """

    def __init__(self, accuracy: float | None = 1e-4, threads: int = 1) -> None:
        """Take the accuracy and the number of threads; results do not depend on the latter."""
        if accuracy is None:
            accuracy = 1e-4
        if accuracy not in PRESETS:
            offered = ", ".join(f"{known:g}" for known in PRESETS)
            raise BadRequest(f"The accuracy of fmm is one of {offered}, not {str(accuracy)[:40]}.")
        super().__init__(PRESETS[accuracy], threads)
        self._accuracy = accuracy
        # Room that was enough last time.
        self._room = [_NO_PAIRS] * _UNITS
        order = self.preset.order
        terms = tables(order).terms
        self._moments_room, self._fields_room = Room(terms, np.float64), Room(terms, np.float64)
        self._rows_room = Room(row_length(order), np.float32)

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,) as integers; see ``Force``."""
        clock = _Clock()
        order = morton_order(x, kick.source, kick.sink)
        x, kick = put_in_order(order, x, kick)
        bodies = SortedBodies(x, kick)
        clock.lap("sort")
        cells = self._cells(bodies)
        clock.lap("tree")
        moments = self._moments(bodies, cells)
        clock.lap("upward")
        far, close = self._lists(cells)
        clock.lap("traversal")
        fields = self._far(bodies, cells, moments, far, np.arange(cells.count))
        clock.lap("far")
        total = np.zeros((4, x.shape[1]), np.int64)
        within = self._near(bodies, cells, close, kick, total)
        clock.lap("near")
        kicks, potentials = total[:3], total[3]
        within = self._downward(bodies, cells, fields, kick, kicks, potentials) and within
        residual = return_residual(kicks, bodies.source, x)
        put_back(order, total, k_q, u_q)
        clock.lap("downward")
        return Evaluation(within, residual, clock.laps_s)

    def _moments(self, bodies: SortedBodies, cells: Cells) -> np.ndarray:
        """Return the rows of multipoles of all cells, and one of zeros after the last."""
        order, table = self.preset.order, tables(self.preset.order)
        moments = self._moments_room.some(cells.count + 1)
        rows = self._rows_room.some(cells.count + 1)

        def leaves(begin: int, end: int) -> None:
            passes.moments_of_leaves(
                order,
                begin,
                end,
                cells.first,
                cells.last,
                cells.children,
                bodies.place,
                bodies.weight,
                cells.centre,
                table.kept,
                table.degree,
                moments,
                rows,
            )

        self._share_out(leaves, np.arange(cells.count + 1))
        passes.moments_upward(
            order,
            cells.count,
            cells.child,
            cells.children,
            cells.centre,
            table.kept,
            table.degree,
            moments,
            rows,
        )
        return rows

    def _lists(self, cells: Cells) -> tuple[Lists, NearLists]:
        """Return for each cell the cells that act on it, far and near."""
        wanted = np.ones(cells.count, np.bool_)
        far, close = self._pairs(cells, wanted)
        return Lists.by_sink(far, wanted), NearLists(cells, close)

    def _pairs(self, cells: Cells, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the far pairs and the near pairs of wanted cells; see ``traversal.find_pairs``."""
        cut = np.empty(_CUT + 8, np.int32)
        many = tree.cut_into_cells(
            cells.count, cells.first, cells.last, cells.child, cells.children, _CUT, cut
        )
        rows, columns = np.triu_indices(many)
        starts = np.stack([cut[rows], cut[columns]], axis=1)
        found: list[tuple[np.ndarray, np.ndarray]] = [_NO_PAIRS] * _UNITS
        # Eight at a time are read, beyond the last one, too.
        want = np.zeros(cells.count + traversal.CHILDREN)
        want[: cells.count] = wanted

        def units(begin: int, end: int) -> None:
            found[begin] = self._find_pairs(cells, want, begin, end, starts)

        # The units, and with them the order of the lists, are the same for any number of threads.
        self._share_out(units, np.arange(_UNITS + 1))
        far, close = found[0]
        if self.threads > 1:
            far, close = (np.concatenate(pairs) for pairs in zip(*found, strict=True))
        return far.view(np.int32).reshape(-1, 2), close.view(np.int32).reshape(-1, 2)

    def _find_pairs(
        self, cells: Cells, wanted: np.ndarray, begin: int, end: int, starts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        preset = self.preset
        delta = preset.delta_of(int(cells.last[0]))
        law = (preset.order, delta, preset.opening**2, float(preset.direct))
        while True:
            far, close = self._room[begin]
            many_far, many_close = traversal.pairs_of_units(
                begin,
                end,
                _UNITS,
                starts,
                wanted,
                cells.child,
                cells.children,
                cells.judged,
                law,
                far,
                close,
            )
            if many_far >= 0:
                return far[:many_far], close[:many_close]
            room = max(1024, 4 * cells.count, 2 * len(far))
            self._room[begin] = (np.empty(room, np.int64), np.empty(room, np.int64))

    def _far(
        self, bodies: SortedBodies, cells: Cells, rows: np.ndarray, lists: Lists, sinks: np.ndarray
    ) -> np.ndarray:
        """Return the far fields of some cells, one after the other (sinks, terms)."""
        fields = self._fields_room.some(sinks.size)

        def some(begin: int, end: int) -> None:
            passes.far_fields(
                self.preset.order,
                begin,
                end,
                sinks,
                lists.offset,
                lists.sources,
                rows.ravel(),
                cells.centre.ravel(),
                cells.count,
                bodies.softening2,
                fields,
            )

        self._share_out(some, np.append(lists.offset[sinks], lists.offset[-1]))
        return fields

    def _near_share_of(self, bodies: int) -> float:
        """Return the relative error that near pairs may add; 0 where all is summed directly."""
        return _NEAR_SHARE * self._accuracy if self.preset.delta_of(bodies) > 0.0 else 0.0

    def _near(
        self, bodies: SortedBodies, cells: Cells, lists: NearLists, kick: Kick, total: np.ndarray
    ) -> bool:
        """Add the near kicks and potentials to ``total`` (4, N)."""
        within: list[bool] = []
        tolerance = bodies.kick_of_far * self._near_share_of(bodies.key.size)
        # Each thread adds to sums of its own: a leaf's row reaches its neighbours' bodies.
        free: SimpleQueue[np.ndarray] = SimpleQueue()
        owned = [total, *(np.zeros_like(total) for _ in range(self.threads - 1))]
        for sums in owned:
            free.put(sums)

        def leaves(begin: int, end: int) -> None:
            own = free.get()
            good = near.add_near(
                begin,
                end,
                lists.leaves,
                (cells.first, cells.last),
                (lists.alike.offset, lists.alike.sources),
                (lists.others.offset, lists.others.sources),
                (bodies.x, bodies.sink, bodies.source),
                (kick.softening2, kick.potential_per_charge),
                kick.pair_bits,
                (cells.centre, cells.strength, cells.heaviest, cells.lightest),
                (cells.packed, cells.unit, cells.source_unit, bodies.half),
                tolerance,
                own,
            )
            within.append(bool(good))
            free.put(own)

        self._share_out(leaves, np.concatenate([[0], np.cumsum(lists.work)]))
        for sums in owned[1:]:
            total += sums
        return all(within)

    def _downward(
        self,
        bodies: SortedBodies,
        cells: Cells,
        fields: np.ndarray,
        kick: Kick,
        kicks: np.ndarray,
        potentials: np.ndarray,
    ) -> bool:
        order = self.preset.order
        passes.fields_downward(
            order, cells.count, cells.child, cells.children, cells.centre, fields
        )
        sink = bodies.sink * bodies.kick_of_far
        per_charge = kick.potential_per_charge * bodies.half
        within: list[bool] = []

        def leaves(begin: int, end: int) -> None:
            good = passes.kicks_of_leaves(
                order,
                begin,
                end,
                cells.first,
                cells.last,
                cells.children,
                bodies.place,
                sink,
                cells.centre,
                fields,
                per_charge,
                kicks,
                potentials,
            )
            within.append(bool(good))

        self._share_out(leaves, np.arange(cells.count + 1))
        return all(within)


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps_s[stage] = now - self._last
        self._last = now


def compile_ahead(accuracy: float, on_progress: Callable[[str], Any] | None = None) -> None:
    """Compile or load every kernel of a preset by summing the forces of a few bodies."""
    random = np.random.default_rng(0)
    x = np.ascontiguousarray(random.normal(size=(3, 256)))
    ones = np.ones(256)
    kick = Kick(ones, ones, 0.01, 1.0, 50)
    if on_progress is not None:
        on_progress(f"fast multipole method, accuracy {accuracy:g}")
    FastMultipole(accuracy).evaluate(x, kick, np.empty((3, 256), np.int64), np.empty(256, np.int64))
