"""What a rank does with an order: its tasks into a partial sum, spot-checked ones on their own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from simulation.engine.distribution.balance import imbalance
from simulation.engine.distribution.protocol import Answer, ForceLaw, Order, Sabotage, Terms
from simulation.engine.distribution.shares import Tiles
from simulation.engine.fmm import tree
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

    def begin(self, terms: Terms, x: np.ndarray, sink: np.ndarray, source: np.ndarray) -> None:
        """Take the positions of an evaluation."""

    def costs(self, terms: Terms) -> np.ndarray:
        """Return what each task costs, in any unit: pairs of bodies for direct summation."""

    def add(
        self, tasks: Iterable[int], partial: np.ndarray, ledger: np.ndarray
    ) -> tuple[bool, np.ndarray]:
        """Add tasks to ``partial`` (parts, 4, N) int64, zeros so far, and what ``look_at`` calls
        the rest to ``ledger`` (1,) too. Return whether every pair lay within its range, and which
        bodies were touched.
        """

    def settle(self, total: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Return kicks and potentials (4, N) of the sum of all partial sums, and the residual; the
        bodies in the order in which they came.
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
        return self._source

    def begin(self, terms: Terms, x: np.ndarray, sink: np.ndarray, source: np.ndarray) -> None:
        """Take the positions; put the bodies into Morton order where that is asked for."""
        self._terms = terms
        self._order = _morton_order(x) if terms.morton else None
        if self._order is None:
            self._x, self._sink, self._source = x, sink, source
        else:
            self._x = np.ascontiguousarray(x[:, self._order])
            self._sink, self._source = sink[self._order], source[self._order]

    def costs(self, terms: Terms) -> np.ndarray:
        """Return the pairs of each tile."""
        return Tiles.of(terms.bodies, terms.blocks_for).pairs

    def add(
        self, tasks: Iterable[int], partial: np.ndarray, ledger: np.ndarray
    ) -> tuple[bool, np.ndarray]:
        """Add tiles; see ``tiles.add_tiles``. Each thread adds to sums of its own."""
        bounds = Tiles.of(self._terms.bodies, self._terms.blocks_for).bounds[list(tasks)]
        touched = np.zeros(self._terms.bodies, np.bool_)
        for a, b, c, d in bounds.tolist():
            touched[a:b] = touched[c:d] = True
        if self._pool is None or len(bounds) < self._threads:
            return self._add_tiles(bounds, partial, ledger), np.flatnonzero(touched)

        def add(share: np.ndarray) -> tuple[bool, np.ndarray, np.ndarray]:
            own, kept = np.zeros_like(partial), np.zeros(1, np.int64)
            return self._add_tiles(share, own, kept), own, kept

        within = True
        shares = [np.ascontiguousarray(bounds[t :: self._threads]) for t in range(self._threads)]
        for good, own, kept in self._pool.map(add, shares):
            partial += own
            ledger += kept
            within = within and good
        return within, np.flatnonzero(touched)

    def settle(self, total: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Return the sum as it is: it is exact."""
        if self._order is None:
            return total[0], (0, 0, 0)
        found = np.empty_like(total[0])
        found[:, self._order] = total[0]
        return found, (0, 0, 0)

    def _add_tiles(self, bounds: np.ndarray, partial: np.ndarray, ledger: np.ndarray) -> bool:
        terms = self._terms
        kick = Kick(
            self._sink,
            self._source,
            terms.softening2,
            terms.potential_per_charge,
            terms.pair_bits,
        )
        return self._summation.add_tiles(self._x, kick, bounds, partial[0], ledger)


class Desk:
    """A rank's place of work: the force's tasks, and a drill if there is one."""

    def __init__(self, work: Work, rank: int, sabotage: Sabotage | None) -> None:
        """Take what does not change from order to order."""
        self._work = work
        self._rank = rank
        self._sabotage = sabotage
        self._alone = np.zeros((0, 4, 0), np.int64)

    def prepare(
        self, order: Order, x: np.ndarray, sink: np.ndarray, source: np.ndarray, partial: np.ndarray
    ) -> Answer:
        """Write the order's partial sum (parts, 4, N) and say what it is worth."""
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        self._work.begin(order.terms, x, sink, source)
        plain = [task for task in order.tasks if task not in order.shown]
        partial[:] = 0
        ledger = np.zeros(1, np.int64)
        within, _ = self._work.add(plain, partial, ledger)
        digests = {}
        for task in dict.fromkeys((*order.shown, *order.checked)):
            own = task in order.shown
            kept = ledger if own else np.zeros(1, np.int64)
            good, digests[task] = self._do_alone(order, task, partial if own else None, kept)
            within = within and (good or not own)
        for _ in plain:
            self._spoil_task(order, partial)
        self._flip_bit(order, partial)
        sums = look_at(partial, self._work.source)
        return Answer(
            order.number,
            within,
            (sums[0], sums[1], sums[2]),
            sums[3],
            (int(ledger[0]) + _HALF) % _WORD - _HALF,
            digests,
            time.process_time() - begun_cpu_s,
            time.perf_counter() - begun_s,
        )

    def _do_alone(
        self, order: Order, task: int, partial: np.ndarray | None, ledger: np.ndarray
    ) -> tuple[bool, str]:
        """Do a task on its own, add it to ``partial``, and return a digest of all its integers."""
        shape = (self._work.parts, 4, order.terms.bodies)
        if self._alone.shape != shape:
            self._alone = np.zeros(shape, np.int64)
        alone = self._alone
        within, touched = self._work.add([task], alone, ledger)
        self._spoil_task(order, alone)
        sums = np.ascontiguousarray(alone[:, :, touched])
        found = hashlib.blake2b(touched.data, digest_size=16)
        found.update(sums.data)
        if partial is not None:
            partial[:, :, touched] += sums
        alone[:, :, touched] = 0
        return within, found.hexdigest()

    def warm_up(self) -> None:
        """Compile or load every kernel: a rank's first evaluation is then no slower than others."""
        x = np.random.default_rng(0).normal(size=(3, _WARM_BODIES))
        ones, parts = np.ones(_WARM_BODIES), self._work.parts
        for morton in (False, True):
            terms = Terms(_WARM_BODIES, 0.01, 1.0, 50, parts, 2, morton)
            tasks = tuple(range(len(self._work.costs(terms))))
            order = Order(0, _NO_STEP, (0,), 0, terms, tasks, tasks[:1])
            room = np.empty((parts, 4, _WARM_BODIES), np.int64)
            self.prepare(order, x, ones, ones, room)
            self._work.settle(room)

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

    def _flip_bit(self, order: Order, partial: np.ndarray) -> None:
        body = order.terms.bodies // 2
        if self.is_sabotaged(order, "bit"):
            partial[0, 0, body] ^= 1 << _FLIPPED_BIT
        if self.is_sabotaged(order, "bit_of_rest"):
            partial[-1, 2 if len(partial) > 1 else 3, body] ^= 1 << _FLIPPED_BIT


def look_at(partial: np.ndarray, source: np.ndarray) -> tuple[int, int, int, int]:
    """Return what the balancing kicks of bodies with mass sum to, and what all the rest does.

    The rest, modulo 2^64, is potentials and the kicks of a far field.
    """
    sums = np.empty(4, np.int64)
    imbalance(partial[0], source, sums)
    x, y, z, _ = (int(value) for value in sums)
    rest = int(partial[:, 3].sum()) + int(partial[1:, :3].sum())
    return x, y, z, (rest + _HALF) % _WORD - _HALF


def make_work(law: ForceLaw, threads: int = 1) -> Work:
    """Return the tasks of a force, done by so many threads."""
    if law.name == "fmm":
        from simulation.engine.distribution.multipole import MultipoleWork

        return MultipoleWork(law.accuracy, threads)
    if law.box is not None:
        return DirectWork(PeriodicSummation(law.box, law.softening_tu), threads)
    return DirectWork(DirectSummation(), threads)


def _morton_order(x: np.ndarray) -> np.ndarray:
    half = 2.0 ** (np.floor(np.log2(max(float(np.max(np.abs(x))), 1e-300))) + 1.0)
    keys = np.empty(x.shape[1], np.uint64)
    tree.morton_keys(x, half, keys)
    return np.argsort(keys, kind="stable")
