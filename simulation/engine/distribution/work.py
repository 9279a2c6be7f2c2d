"""What a rank does with an order: its tasks into a partial sum, spot-checked ones on their own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from simulation.engine.distribution.protocol import Answer, Order, Sabotage, Terms
from simulation.engine.distribution.shares import Tiles
from simulation.engine.distribution.tiles import add_tiles, imbalance
from simulation.engine.fmm import tree

_WORD = 2**64
_FLIPPED_BIT = 20
_WARM_BODIES = 64
_NO_STEP = -1


class Work(Protocol):
    """The tasks of a force. ``parts`` partial sums, of which the first balances task by task."""

    parts: int

    def begin(self, terms: Terms, x: np.ndarray, sink: np.ndarray, source: np.ndarray) -> None:
        """Take the positions of an evaluation."""

    def costs(self, terms: Terms) -> np.ndarray:
        """Return what each task costs, in any unit: pairs of bodies for direct summation."""

    def add(self, tasks: Iterable[int], partial: np.ndarray, ledger: np.ndarray) -> bool:
        """Add tasks to ``partial`` (parts, 4, N) int64, potentials to ``ledger`` (1,) too."""

    def finish(self, partial: np.ndarray) -> None:
        """Put the bodies back into the order in which they came."""

    def settle(self, total: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Return the kicks and potentials (4, N) of the sum of all partial sums, and a residual."""


class DirectWork:
    """Direct summation: a task is a pair of blocks of bodies, both directions."""

    parts = 1

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

    def add(self, tasks: Iterable[int], partial: np.ndarray, ledger: np.ndarray) -> bool:
        """Add tiles; see ``tiles.add_tiles``."""
        terms = self._terms
        bounds = Tiles.of(terms.bodies, terms.blocks_for).bounds
        return bool(
            add_tiles(
                self._x,
                self._sink,
                self._source,
                terms.softening2,
                terms.potential_per_charge,
                terms.pair_bits,
                bounds[list(tasks)],
                partial[0],
                ledger,
            )
        )

    def finish(self, partial: np.ndarray) -> None:
        """Undo the Morton order."""
        if self._order is not None:
            partial[0][:, self._order] = partial[0].copy()

    def settle(self, total: np.ndarray) -> tuple[np.ndarray, tuple[int, int, int]]:
        """Return the sum as it is: it is exact."""
        return total[0], (0, 0, 0)


class Desk:
    """A rank's place of work: the force's tasks, its threads, and a drill if there is one."""

    def __init__(self, work: Work, rank: int, threads: int, sabotage: Sabotage | None) -> None:
        """Take what does not change from order to order."""
        self._work = work
        self._rank = rank
        self._threads = threads
        self._sabotage = sabotage
        self._pool = ThreadPoolExecutor(threads, "rank") if threads > 1 else None

    def prepare(
        self, order: Order, x: np.ndarray, sink: np.ndarray, source: np.ndarray, partial: np.ndarray
    ) -> Answer:
        """Write the order's partial sum (parts, 4, N) and say what it is worth."""
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        self._work.begin(order.terms, x, sink, source)
        shown = set(order.shown)
        plain = [task for task in order.tasks if task not in shown]
        partial[:] = 0
        ledger = np.zeros(1, np.int64)
        within = self._add(plain, partial, ledger)
        digests = {}
        for task in dict.fromkeys((*order.shown, *order.checked)):
            own = task in shown
            alone = np.zeros_like(partial)
            good = self._work.add([task], alone, ledger if own else np.zeros(1, np.int64))
            self._spoil_task(order, alone)
            digests[task] = hashlib.blake2b(alone.data, digest_size=16).hexdigest()
            if own:
                within = within and good
                partial += alone
        for _ in plain:
            self._spoil_task(order, partial)
        self._work.finish(partial)
        self._flip_bit(order, partial)
        sums = look_at(partial, source)
        return Answer(
            order.number,
            within,
            (sums[0], sums[1], sums[2]),
            sums[3],
            int(ledger[0]),
            digests,
            time.process_time() - begun_cpu_s,
            time.perf_counter() - begun_s,
        )

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

    def is_sabotaged(self, order: Order, kind: str) -> bool:
        """Whether the drill wants this rank to go wrong in this way now."""
        drill = self._sabotage
        return (
            drill is not None
            and drill.rank == self._rank
            and drill.kind == kind
            and (drill.step <= order.step if kind == "pair" else drill.step == order.step)
        )

    def _add(self, tasks: list[int], partial: np.ndarray, ledger: np.ndarray) -> bool:
        if self._pool is None or len(tasks) < self._threads:
            return self._work.add(tasks, partial, ledger)

        def add(share: list[int]) -> tuple[bool, np.ndarray, np.ndarray]:
            own, kept = np.zeros_like(partial), np.zeros(1, np.int64)
            return self._work.add(share, own, kept), own, kept

        within = True
        for good, own, kept in self._pool.map(add, _deal_out(tasks, self._threads)):
            partial += own
            ledger += kept
            within = within and good
        return within

    def _spoil_task(self, order: Order, sums: np.ndarray) -> None:
        if order.step != _NO_STEP and self.is_sabotaged(order, "pair"):
            sums[0, 0, 0] += 1
            sums[0, 0, 1] -= 1

    def _flip_bit(self, order: Order, partial: np.ndarray) -> None:
        if self.is_sabotaged(order, "bit"):
            partial[0, 0, order.terms.bodies // 2] ^= 1 << _FLIPPED_BIT


def look_at(partial: np.ndarray, source: np.ndarray) -> tuple[int, int, int, int]:
    """Return what a partial sum's balancing part sums to: kicks of massive bodies, potentials."""
    sums = np.empty(4, np.int64)
    imbalance(partial[0], source, sums)
    x, y, z, _ = (int(value) for value in sums)
    potential = sum(int(part[3].sum()) for part in partial) % _WORD
    return x, y, z, potential - _WORD if potential >= _WORD // 2 else potential


def make_work(force: str, accuracy: float | None) -> Work:
    """Return the tasks of a request's force."""
    return _WORKS[force](accuracy)


_WORKS: dict[str, Callable[[float | None], Work]] = {"direct": lambda accuracy: DirectWork()}


def _deal_out(tasks: list[int], hands: int) -> list[list[int]]:
    return [tasks[hand::hands] for hand in range(hands)]


def _morton_order(x: np.ndarray) -> np.ndarray:
    half = 2.0 ** (np.floor(np.log2(max(float(np.max(np.abs(x))), 1e-300))) + 1.0)
    keys = np.empty(x.shape[1], np.uint64)
    tree.morton_keys(x, half, keys)
    return np.argsort(keys, kind="stable")
