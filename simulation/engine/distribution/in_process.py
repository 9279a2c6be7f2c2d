"""All ranks in this process, one after the other: the protocol where nothing else works.

There is nothing to gain in time; digests, spot checks and reports are those of the others.
"""

from __future__ import annotations

import numpy as np

from simulation.engine.distribution.balance import sum_up
from simulation.engine.distribution.protocol import Answer, Bodies, Order, RanksLost
from simulation.engine.distribution.transport import Setup
from simulation.engine.distribution.work import Desk, make_work
from simulation.engine.errors import NoAnswer


class InProcessRanks:
    """Ranks that are objects."""

    name = "in_process"

    def __init__(self, setup: Setup) -> None:
        """Make the ranks."""
        self._desks = {
            rank: Desk(
                make_work(setup.law, setup.threads),
                rank,
                setup.sabotage_of(rank),
            )
            for rank in range(setup.workers)
        }
        self._parts = setup.parts
        self._partials: dict[int, np.ndarray] = {}
        self._last: dict[int, Order] = {}

    @property
    def members(self) -> tuple[int, ...]:
        """The ranks that are left."""
        return tuple(sorted(self._desks))

    def prepare(self, orders: dict[int, Order], bodies: Bodies) -> dict[int, Answer]:
        """Let each rank prepare in turn."""
        answers = {}
        self._last = dict(orders)
        for rank, order in orders.items():
            self._drill(rank, "die")
            if self._desks[rank].is_sabotaged(order, "stop"):
                raise NoAnswer(f"Rank {rank} does not answer.")
            shape = (self._parts, 4, order.terms.bodies)
            partial = self._partials.get(rank)
            if partial is None or partial.shape != shape:
                partial = self._partials[rank] = np.empty(shape, np.int64)
            answers[rank] = self._desks[rank].prepare(order, bodies, partial)
        return answers

    def partial_sum(self, rank: int) -> np.ndarray | None:
        """Return what a rank has left."""
        return self._partials.get(rank)

    def combine(self, number: int, touched: dict[int, np.ndarray], total: np.ndarray) -> None:
        """Add the partial sums."""
        for rank in self.members:
            self._drill(rank, "die_late")
        sum_up(((self._partials[rank], touched[rank]) for rank in self.members), total)

    def isolate(self, rank: int) -> None:
        """Forget a rank."""
        self._desks.pop(rank, None)
        self._partials.pop(rank, None)

    def close(self) -> None:
        """Nothing to end."""

    def _drill(self, rank: int, kind: str) -> None:
        if self._desks[rank].is_sabotaged(self._last[rank], kind):
            self.isolate(rank)
            raise RanksLost((rank,), "it was told to die")
