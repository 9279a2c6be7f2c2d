"""The fast multipole force: the stages in their order, their buffers, and the threads."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import numpy as np

from conservation import exact_sum
from simulation.engine.errors import BadRequest
from simulation.engine.fmm import near, passes, traversal, tree
from simulation.engine.fmm.far import row_length
from simulation.engine.fmm.tables import Tables, tables
from simulation.engine.forces import Evaluation, Kick


@dataclass(frozen=True)
class Preset:
    """What keeps the rms relative error of the forces below an accuracy.

    ``order`` of the expansions; ``delta`` of the acceptance (``traversal``) for 20 000 bodies; more
    bodies divide the error among more cells, so that it grows with their root (the rms error then
    stays level from 2 048 to a million bodies: 0.5 to 0.9 of the accuracy, p99 about 3 times the
    rms). Cells are never expanded where the sum of their radii is over ``opening`` of their
    distance; a leaf is at most ``widest`` of its distance from the bulk wide and holds at most
    ``leaf_size`` bodies; two leaves of at most ``direct`` pairs are always summed directly.
    """

    order: int
    delta: float
    opening: float
    widest: float
    leaf_size: int
    direct: int

    def delta_of(self, bodies: int) -> float:
        """Return delta for a number of bodies; 0, all of them directly, for few."""
        if bodies < _BODIES_MIN:
            return 0.0
        return self.delta * math.sqrt(bodies / _BODIES_OF_DELTA)


PRESETS: dict[float, Preset] = {
    1e-3: Preset(order=5, delta=0.25, opening=0.8, widest=0.2, leaf_size=64, direct=96),
    1e-4: Preset(order=7, delta=0.03, opening=0.75, widest=0.18, leaf_size=64, direct=64),
    1e-5: Preset(order=7, delta=0.0008, opening=0.55, widest=0.15, leaf_size=64, direct=128),
}
# Below this many bodies everything is summed directly: the tree would save nothing.
_BODIES_MIN = 2048
_BODIES_OF_DELTA = 20_000
# Bodies that share one estimate of how strongly all others pull.
_STRENGTH_BODIES = 128
# Bodies of one Morton key that are put in order one by one.
_TIES_MAX = 64
# Kicks are weighed without their last bits: then the weights of any number of bodies sum up.
_PART_BITS = 24
# The centre and size of the cell that lanes without a source point at: outside the box.
_NOWHERE = (4.0, 0.0, 0.0, 1.0)
_PARTS_OF_A_THREAD = 8
# The traversal starts from the pairs of at least _CUT cells, dealt out to _UNITS units of work.
_CUT, _UNITS = 64, 32
_NO_PAIRS = (np.empty((0, 2), np.int32), np.empty((0, 2), np.int32))


class FastMultipole:
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
        self.preset = PRESETS[accuracy]
        self.threads = threads
        self._pool: ThreadPoolExecutor | None = None
        # Room that was enough last time.
        self._cells_max = 64
        self._room = [_NO_PAIRS] * _UNITS

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,) as integers; see ``Force``."""
        clock = _Clock()
        bodies = _Sorted(x, kick)
        clock.lap("sort")
        cells = self._cells(bodies)
        clock.lap("tree")
        moments = self._moments(bodies, cells)
        clock.lap("upward")
        far, close = self._lists(bodies, cells)
        clock.lap("traversal")
        fields = np.zeros((cells.count, self._tables.terms))
        self._far(bodies, cells, moments, far, fields)
        clock.lap("far")
        total = np.zeros((4, x.shape[1]), np.int64)
        within = self._near(bodies, cells, close, kick, total)
        clock.lap("near")
        kicks, potentials = total[:3], total[3]
        within = self._downward(bodies, cells, fields, kick, kicks, potentials) and within
        residual = return_residual(kicks, bodies.source, bodies.alone)
        k_q[:, bodies.order] = kicks
        u_q[bodies.order] = potentials
        clock.lap("downward")
        return Evaluation(within, residual, clock.laps_s)

    @property
    def _tables(self) -> Tables:
        return tables(self.preset.order)

    def _cells(self, bodies: _Sorted) -> _Cells:
        """Return the tree, its wide leaves split; see ``_widths_wanted``."""
        while True:
            cells = _Cells(max(self._cells_max, bodies.key.size // self.preset.leaf_size))
            if self._build(bodies, cells):
                cells.centre[cells.count] = _NOWHERE
                return cells
            self._cells_max = 2 * len(cells.first)

    def _build(self, bodies: _Sorted, cells: _Cells) -> bool:
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
            cells.count = count
            self._place(bodies, cells)
        traversal.weakest_upward(cells.count, cells.child, cells.children, cells.strength)
        return True

    def _place(self, bodies: _Sorted, cells: _Cells) -> None:
        tree.place_cells(
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

    def _strengths(self, bodies: _Sorted, cells: _Cells) -> None:
        """Write the strength at each leaf: that of the largest cell of few bodies around it."""
        size = cells.last[: cells.count] - cells.first[: cells.count]
        above = size[cells.parent[: cells.count]]
        above[0] = size[0] + _STRENGTH_BODIES
        few = (size <= _STRENGTH_BODIES) & (above > _STRENGTH_BODIES)
        chosen = np.flatnonzero(
            few | ((cells.children[: cells.count] == 0) & (size > _STRENGTH_BODIES))
        )

        def some(begin: int, end: int) -> None:
            traversal.strengths(
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

        self._share_out(some, np.arange(chosen.size + 1))
        traversal.strengths_downward(
            cells.count, cells.first, cells.last, cells.parent, _STRENGTH_BODIES, cells.strength
        )

    def _levels_wanted(self, bodies: _Sorted, cells: _Cells) -> np.ndarray:
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

    def _moments(self, bodies: _Sorted, cells: _Cells) -> np.ndarray:
        """Return the rows of multipoles of all cells, and one of zeros after the last."""
        table = self._tables
        moments = np.zeros((cells.count, table.terms))
        rows = np.zeros((cells.count + 1, row_length(self.preset.order)), np.float32)

        def leaves(begin: int, end: int) -> None:
            passes.moments_of_leaves(
                begin,
                end,
                cells.first,
                cells.last,
                cells.children,
                bodies.place,
                bodies.weight,
                cells.centre,
                table.step,
                table.share,
                moments,
            )

        self._share_out(leaves, np.arange(cells.count + 1))
        passes.moments_upward(
            cells.count,
            cells.parent,
            cells.centre,
            table.step,
            table.share,
            table.shift,
            moments,
        )
        passes.write_rows(cells.count, cells.centre, table.kept, table.degree, moments, rows)
        return rows

    def _lists(self, bodies: _Sorted, cells: _Cells) -> tuple[_Lists, _NearLists]:
        """Return for each cell the cells that act on it, far and near."""
        cut = np.empty(_CUT + 8, np.int32)
        many = tree.cut_into_cells(
            cells.count, cells.first, cells.last, cells.child, cells.children, _CUT, cut
        )
        rows, columns = np.triu_indices(many)
        starts = np.stack([cut[rows], cut[columns]], axis=1)
        found: list[tuple[np.ndarray, np.ndarray]] = [_NO_PAIRS] * _UNITS

        def units(begin: int, end: int) -> None:
            for unit in range(begin, end):
                found[unit] = self._find_pairs(cells, unit, starts[unit::_UNITS])

        # The units, and with them the order of the lists, are the same for any number of threads.
        self._share_out(units, np.arange(_UNITS + 1))
        far, close = (np.concatenate(pairs) for pairs in zip(*found, strict=True))
        return _Lists(cells.count, far), _NearLists(bodies, cells, close)

    def _find_pairs(
        self, cells: _Cells, unit: int, starts: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        while True:
            far, close = self._room[unit]
            many_far, many_close = traversal.find_pairs(
                np.ascontiguousarray(starts),
                cells.first,
                cells.last,
                cells.child,
                cells.children,
                cells.centre,
                cells.charge,
                cells.radius,
                cells.strength,
                self.preset.order,
                self.preset.delta_of(int(cells.last[0])),
                self.preset.opening**2,
                self.preset.direct,
                far,
                close,
            )
            if many_far >= 0:
                return far[:many_far], close[:many_close]
            room = max(1024, 4 * cells.count, 2 * len(far))
            self._room[unit] = (np.empty((room, 2), np.int32), np.empty((room, 2), np.int32))

    def _far(
        self, bodies: _Sorted, cells: _Cells, rows: np.ndarray, lists: _Lists, fields: np.ndarray
    ) -> None:
        def sinks(begin: int, end: int) -> None:
            passes.far_fields(
                self.preset.order,
                begin,
                end,
                lists.offset,
                lists.sources,
                rows.ravel(),
                cells.centre.ravel(),
                cells.count,
                bodies.softening2,
                self._tables.degree,
                fields,
            )

        self._share_out(sinks, lists.offset)

    def _near(
        self, bodies: _Sorted, cells: _Cells, lists: _NearLists, kick: Kick, total: np.ndarray
    ) -> bool:
        """Add the near kicks and potentials to ``total`` (4, N)."""
        within: list[bool] = []
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
        bodies: _Sorted,
        cells: _Cells,
        fields: np.ndarray,
        kick: Kick,
        kicks: np.ndarray,
        potentials: np.ndarray,
    ) -> bool:
        table = self._tables
        passes.fields_downward(
            cells.count, cells.parent, cells.centre, table.step, table.share, table.shift, fields
        )

        sink = bodies.sink * bodies.kick_of_far
        per_charge = kick.potential_per_charge * bodies.half
        within: list[bool] = []

        def leaves(begin: int, end: int) -> None:
            good = passes.kicks_of_leaves(
                begin,
                end,
                cells.first,
                cells.last,
                cells.children,
                bodies.place,
                sink,
                cells.centre,
                table.step,
                table.share,
                table.slope,
                fields,
                per_charge,
                kicks,
                potentials,
            )
            within.append(bool(good))

        self._share_out(leaves, np.arange(cells.count + 1))
        return all(within)

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


class _Sorted:
    """The bodies in Morton order: as they are, and for the far field in units of their box.

    ``half`` the box: |``place``| <= 1, ``weight`` sums to at most 1; both by powers of two, so that
    no bit depends on it. ``alone``: nobody else is in the same place.
    """

    def __init__(self, x: np.ndarray, kick: Kick) -> None:
        bodies = x.shape[1]
        farthest = float(np.max(np.abs(x)))
        self.half = half = math.ldexp(1.0, math.frexp(farthest)[1]) if farthest > 0.0 else 1.0
        self.key = np.empty(bodies, np.uint64)
        self.order = np.empty(bodies, np.int64)
        tree.morton_keys(x, half, self.key)
        tree.radix_sort(self.key, self.order, np.empty_like(self.key), np.empty_like(self.order))
        if tree.longest_tie(self.key) > _TIES_MAX:
            # By insertion many bodies of one key would take their square.
            self.order = np.lexsort((kick.sink, kick.source, x[2], x[1], x[0], self._keys_of(x)))
        else:
            tree.break_ties(self.key, self.order, x, kick.source, kick.sink)
        self.x = np.ascontiguousarray(x[:, self.order])
        self.sink = kick.sink[self.order]
        self.source = kick.source[self.order]
        same = np.zeros(bodies + 1, np.bool_)
        same[1:-1] = np.all(self.x[:, 1:] == self.x[:, :-1], axis=0)
        self.alone = ~(same[1:] | same[:-1])
        unit = math.ldexp(1.0, math.frexp(float(np.sum(self.source)))[1])
        self.place = self.x / half
        self.weight = self.source / unit
        self.softening2 = kick.softening2 / half**2
        self.kick_of_far = unit / half**2

    def _keys_of(self, x: np.ndarray) -> np.ndarray:
        keys = np.empty(x.shape[1], np.uint64)
        tree.morton_keys(x, self.half, keys)
        return keys


class _Cells:
    """The cells of a tree, breadth first; see ``tree.build_cells`` and ``tree.place_cells``."""

    def __init__(self, room: int) -> None:
        self.count = 0
        self.first, self.last, self.level, self.child, self.children, self.parent = (
            np.empty(room, np.int32) for _ in range(6)
        )
        self.centre = np.zeros((room + 1, 4))
        self.charge, self.radius, self.strength = (np.zeros(room) for _ in range(3))
        self.leaves = np.empty(0, np.int64)


class _Lists:
    """For each cell the cells that act on it; ``once``: each pair under its first cell alone."""

    def __init__(self, cells: int, pairs: np.ndarray, *, once: bool = False) -> None:
        self.offset = np.empty(cells + 1, np.int64)
        self.sources = np.empty((1 if once else 2) * len(pairs) + 16, np.int32)
        write = traversal.list_by_first if once else traversal.list_by_sink
        write(cells, pairs, self.offset, self.sources)


class _NearLists:
    """The near pairs of leaves: alike from both sides where no body is without mass, or others."""

    def __init__(self, bodies: _Sorted, cells: _Cells, pairs: np.ndarray) -> None:
        massive = np.empty(cells.count, np.bool_)
        near.mark_massive(cells.count, cells.first, cells.last, bodies.source, massive)
        alike = np.all(massive[pairs], axis=1)
        self.alike = _Lists(cells.count, pairs[alike], once=True)
        self.others = _Lists(cells.count, pairs[~alike])
        many = np.diff(self.alike.offset) + np.diff(self.others.offset)
        self.leaves = np.flatnonzero(many)
        self.work = np.zeros(self.leaves.size, np.int64)
        for lists in (self.alike, self.others):
            near.near_work(
                self.leaves, cells.first, cells.last, lists.offset, lists.sources, self.work
            )


class _Clock:
    """Seconds of each stage."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.laps_s[stage] = now - self._last
        self._last = now


def return_residual(
    kicks: np.ndarray, source: np.ndarray, alone: np.ndarray
) -> tuple[int, int, int]:
    """Take what the kicks of bodies with charge sum to back from them, in place; return it.

    ``kicks`` (3, N) int64 in Morton order. Each body gives in proportion to its own kick, so that
    none far out is moved by the rounding of the bulk; what is left of that goes to the first ones,
    a quantum each: the total is exactly zero, whoever computed the kicks. Bodies that share a place
    have no order among them, so these are not asked for more while there are others.
    """
    heavy = np.flatnonzero(source > 0.0)
    ordered = heavy[alone[heavy]]
    parts = np.sum(np.abs(kicks[:, heavy]) >> _PART_BITS, axis=0)
    whole = exact_sum(parts)
    residual = []
    for component in kicks:
        total = exact_sum(component[heavy])
        given = np.rint(parts * (total / max(1, whole))).astype(np.int64)
        component[heavy] -= given
        rest = total - exact_sum(given)
        sign = 1 if rest > 0 else -1
        share, more = divmod(abs(rest), max(1, heavy.size))
        component[heavy] -= sign * share
        component[(ordered if ordered.size >= more else heavy)[:more]] -= sign
        residual.append(total)
    x, y, z = residual
    return x, y, z


def compile_ahead(accuracy: float, on_progress: Callable[[str], Any] | None = None) -> None:
    """Compile or load every kernel of a preset by summing the forces of a few bodies."""
    random = np.random.default_rng(0)
    x = np.ascontiguousarray(random.normal(size=(3, 256)))
    ones = np.ones(256)
    kick = Kick(ones, ones, 0.01, 1.0, 50)
    if on_progress is not None:
        on_progress(f"fast multipole method, accuracy {accuracy:g}")
    FastMultipole(accuracy).evaluate(x, kick, np.empty((3, 256), np.int64), np.empty(256, np.int64))
