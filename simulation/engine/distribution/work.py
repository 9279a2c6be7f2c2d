"""What a rank does with an order: its tasks into a partial sum, spot-checked ones on their own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from simulation.engine.distribution.balance import (
    BLOCK,
    add_touched,
    bodies_of,
    look_at,
    no_blocks,
    take_touched,
    touch,
)
from simulation.engine.distribution.protocol import (
    Added,
    Answer,
    Bodies,
    ForceLaw,
    Order,
    Sabotage,
    Terms,
)
from simulation.engine.distribution.shares import Tiles
from simulation.engine.fmm.arrays import morton_order, put_back, put_in_order
from simulation.engine.forces import Kick
from simulation.engine.forces.direct import DirectSummation, PairSummation
from simulation.engine.forces.images import PeriodicSummation

_WORD, _HALF = 2**64, 2**63
_FLIPPED_BIT = 20
_WARM_BODIES = 64
_NO_STEP = -1


class Work(Protocol):
    """The tasks of a force. ``parts`` partial sums, of which the first balances task by task.

    ``in_runs``: tasks are cheaper next to each other, so a rank is given a run of them. Partial
    sums hold the bodies in an order of the force's own; ``source`` (N,) is in that order too.
    """

    parts: int
    in_runs: bool

    @property
    def source(self) -> np.ndarray:
        """The bodies' sources, in the order of the partial sums."""

    def arrange(self, terms: Terms, x: np.ndarray, kick: Kick) -> Bodies:
        """Return bodies in the order of the partial sums: done once, for all ranks."""

    def begin(self, terms: Terms, bodies: Bodies) -> None:
        """Take the bodies of an evaluation, in that order."""

    def costs(self, terms: Terms) -> np.ndarray:
        """Return about what each task costs, in any unit: pairs of bodies for direct summation."""

    def add(
        self, tasks: Sequence[int], apart: Sequence[int], partial: np.ndarray, ledger: np.ndarray
    ) -> Added:
        """Add tasks to ``partial`` (parts, 4, N) int64, zeros so far, and what ``look_at`` calls
        the rest to ``ledger`` (1,) too; make ready for others that will be done ``apart``.
        """

    def add_apart(self, task: int, alone: np.ndarray, ledger: np.ndarray) -> Added:
        """Add one task by itself in the same way."""

    def settle(self, total: np.ndarray, k_q: np.ndarray, u_q: np.ndarray) -> tuple[int, int, int]:
        """Write kicks and potentials of the sum of all partial sums, which is overwritten, with
        the bodies as they came; return the residual.
        """


class DirectWork:
    """A sum over all pairs: a task is a pair of blocks of bodies, both directions."""

    parts = 1
    in_runs = False

    def __init__(self, summation: PairSummation, threads: int) -> None:
        """Take what sums pairs, and the threads of this rank."""
        self._summation = summation
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "rank") if threads > 1 else None

    @property
    def source(self) -> np.ndarray:
        """The bodies' sources, in the order of the partial sums."""
        return self._kick.source

    def arrange(self, terms: Terms, x: np.ndarray, kick: Kick) -> Bodies:
        """Put the bodies into Morton order where that is asked for."""
        self._order = None
        if terms.morton:
            self._order = morton_order(x, kick.source, kick.sink)
            x, kick = put_in_order(self._order, x, kick)
        return x, kick.sink, kick.source

    def begin(self, terms: Terms, bodies: Bodies) -> None:
        """Take the bodies."""
        self._terms = terms
        self._x, self._kick = bodies[0], terms.kick(bodies)

    def costs(self, terms: Terms) -> np.ndarray:
        """Return the pairs of each tile."""
        return Tiles.of(terms.bodies, terms.blocks_for).pairs

    def add(
        self, tasks: Sequence[int], apart: Sequence[int], partial: np.ndarray, ledger: np.ndarray
    ) -> Added:
        """Add tiles; see ``tiles.add_tiles``. Each thread adds to sums of its own."""
        bounds = Tiles.of(self._terms.bodies, self._terms.blocks_for).bounds[list(tasks)]
        touched = no_blocks(self._terms.bodies)
        touch(touched, bounds[:, ::2].ravel(), bounds[:, 1::2].ravel())
        if self._pool is None or len(bounds) < self._threads:
            return Added(self._add_tiles(bounds, partial, ledger), touched)

        def add(share: np.ndarray) -> tuple[bool, np.ndarray, np.ndarray]:
            own, kept = np.zeros_like(partial), np.zeros(1, np.int64)
            return self._add_tiles(share, own, kept), own, kept

        within = True
        shares = [np.ascontiguousarray(bounds[t :: self._threads]) for t in range(self._threads)]
        for good, own, kept in self._pool.map(add, shares):
            partial += own
            ledger += kept
            within = within and good
        return Added(within, touched)

    def add_apart(self, task: int, alone: np.ndarray, ledger: np.ndarray) -> Added:
        """Add one tile."""
        return self.add([task], (), alone, ledger)

    def settle(self, total: np.ndarray, k_q: np.ndarray, u_q: np.ndarray) -> tuple[int, int, int]:
        """Write the sum as it is: it is exact."""
        if self._order is None:
            k_q[:], u_q[:] = total[0, :3], total[0, 3]
        else:
            put_back(self._order, total[0], k_q, u_q)
        return 0, 0, 0

    def _add_tiles(self, bounds: np.ndarray, partial: np.ndarray, ledger: np.ndarray) -> bool:
        return self._summation.add_tiles(self._x, self._kick, bounds, partial[0], ledger)


class Desk:
    """A rank's place of work: the force's tasks, and a drill if there is one."""

    def __init__(self, work: Work, rank: int, sabotage: Sabotage | None) -> None:
        """Take what does not change from order to order."""
        self._work = work
        self._rank = rank
        self._sabotage = sabotage
        self._alone = np.zeros((0, 4, 0), np.int64)

    def prepare(self, order: Order, bodies: Bodies, partial: np.ndarray) -> Answer:
        """Write the order's partial sum (parts, 4, N) and say what it is worth."""
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        self._work.begin(order.terms, bodies)
        plain = [task for task in order.tasks if task not in order.shown]
        apart = list(dict.fromkeys((*order.shown, *order.checked)))
        partial[:] = 0
        ledger = np.zeros(1, np.int64)
        added = self._work.add(plain, apart, partial, ledger)
        within, touched, digests = added.within, added.touched, {}
        for task in apart:
            own = task in order.shown
            kept = ledger if own else np.zeros(1, np.int64)
            alone, digests[task] = self._do_alone(order, task, partial if own else None, kept)
            if own:
                within = within and alone.within
                touched |= alone.touched
        for _ in plain:
            self._spoil_task(order, partial)
        self._flip_bit(order, partial, touched)
        # All of it: over MPI all of it is added.
        sums = look_at(partial, self._work.source, np.ones_like(touched))
        return Answer(
            order.number,
            within,
            np.packbits(touched).tobytes(),
            (sums[0], sums[1], sums[2]),
            sums[3],
            (int(ledger[0]) + _HALF) % _WORD - _HALF,
            digests,
            added.costs,
            time.process_time() - begun_cpu_s,
            time.perf_counter() - begun_s,
        )

    def _do_alone(
        self, order: Order, task: int, partial: np.ndarray | None, ledger: np.ndarray
    ) -> tuple[Added, str]:
        """Do a task on its own, add it to ``partial``, and digest all its integers."""
        shape = (self._work.parts, 4, order.terms.bodies)
        if self._alone.shape != shape:
            self._alone = np.zeros(shape, np.int64)
        alone = self._alone
        added = self._work.add_apart(task, alone, ledger)
        self._spoil_task(order, alone)
        if partial is not None:
            add_touched(alone, added.touched, partial)
        sums = np.zeros((*shape[:2], BLOCK * np.count_nonzero(added.touched)), np.int64)
        take_touched(alone, added.touched, sums)
        found = hashlib.sha256(added.touched.data)
        found.update(sums.data)
        return added, found.hexdigest()

    def warm_up(self) -> None:
        """Compile or load every kernel: a rank's first evaluation is then no slower than others."""
        x = np.random.default_rng(0).normal(size=(3, _WARM_BODIES))
        ones, parts = np.ones(_WARM_BODIES), self._work.parts
        k_q, u_q = np.empty((3, _WARM_BODIES), np.int64), np.empty(_WARM_BODIES, np.int64)
        for morton in (False, True):
            terms = Terms(_WARM_BODIES, 0.01, 1.0, 50, parts, 2, morton)
            tasks = tuple(range(len(self._work.costs(terms))))
            order = Order(0, _NO_STEP, (0,), 0, terms, tasks, tasks[:1])
            room = np.empty((parts, 4, _WARM_BODIES), np.int64)
            bodies = self._work.arrange(terms, x, Kick(ones, ones, 0.01, 1.0, 50))
            self.prepare(order, bodies, room)
            self._work.settle(room, k_q, u_q)

    def is_sabotaged(self, order: Order, kind: str) -> bool:
        """Whether the drill wants this rank to go wrong in this way now."""
        drill = self._sabotage
        return (
            drill is not None
            and drill.rank == self._rank
            and drill.kind == kind
            and (drill.step <= order.step if kind == "pair" else drill.step == order.step)
        )

    def _spoil_task(self, order: Order, sums: np.ndarray) -> None:
        if order.step != _NO_STEP and self.is_sabotaged(order, "pair"):
            # The two bodies that it pulls at most: they are in the task.
            pulled = np.argsort(-np.abs(sums[0, 0]), kind="stable")[:2]
            sums[0, 0, pulled] += (1, -1)

    def _flip_bit(self, order: Order, partial: np.ndarray, touched: np.ndarray) -> None:
        far, axis = len(partial) - 1, 2 if len(partial) > 1 else 3
        for kind, place in (("bit", (0, 0)), ("bit_of_rest", (far, axis))):
            if self.is_sabotaged(order, kind):
                bodies = bodies_of(touched, order.terms.bodies)
                partial[(*place, bodies[bodies.size // 2])] ^= 1 << _FLIPPED_BIT


def make_work(law: ForceLaw, threads: int = 1) -> Work:
    """Return the tasks of a force, done by so many threads."""
    if law.name == "fmm":
        from simulation.engine.distribution.multipole import MultipoleWork

        return MultipoleWork(law.accuracy, threads)
    if law.box is not None:
        return DirectWork(PeriodicSummation(law.box, law.softening_tu), threads)
    return DirectWork(DirectSummation(), threads)
