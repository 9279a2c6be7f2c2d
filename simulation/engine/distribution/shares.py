"""Who computes what: the work in tasks, dealt out to ranks by measured cost or by locality.

No way of dealing changes a bit of the result, so shares may change from step to step, and when a
rank is lost its tasks simply go to the others.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from dataclasses import dataclass
from functools import cache

import numpy as np

STRATEGIES = ("load", "locality")

# Tasks of a rank: one of them, spot-checked in each evaluation, is then 1/64 of the rank's work.
TASKS_OF_A_RANK = 64
# Shorter blocks than this cost more in loops than they save in balance.
_BLOCK_MIN = 8
# Shares follow the measured speeds when these have moved by more than this.
_SPEED_MOVED = 0.05
# Of the last evaluation in a measured speed: one alone is off by a tenth on a busy machine.
_LATE_WEIGHT = 0.125


@dataclass(frozen=True)
class Tiles:
    """The pairs of blocks of ``bodies`` bodies, for ``ranks`` ranks. Tasks are their rows."""

    bounds: np.ndarray  # (T, 4) int64: first and last of block A, of block B; A <= B
    pairs: np.ndarray  # (T,) float64: pair forces computed, the cost of a task

    @staticmethod
    @cache
    def of(bodies: int, ranks: int) -> Tiles:
        """Cut the bodies into blocks, so that there are some 64 tiles for each rank."""
        wanted = math.ceil(math.sqrt(2 * TASKS_OF_A_RANK * ranks))
        blocks = max(1, min(wanted, bodies // _BLOCK_MIN))
        cuts = [bodies * block // blocks for block in range(blocks + 1)]
        spans = list(itertools.pairwise(cuts))
        plane = [(a, b) for a in range(blocks) for b in range(a, blocks)]
        # Neighbours on a curve through the plane share blocks: a run of tasks touches few bodies.
        plane.sort(key=lambda tile: _interleave(*tile))
        bounds = np.array([[*spans[a], *spans[b]] for a, b in plane], np.int64)
        sides = bounds[:, 1] - bounds[:, 0], bounds[:, 3] - bounds[:, 2]
        diagonal = bounds[:, 0] == bounds[:, 2]
        return Tiles(bounds, sides[0] * sides[1] * np.where(diagonal, 1.0, 2.0))


def deal(
    strategy: str,
    cost: np.ndarray,
    ranks: tuple[int, ...],
    speed: dict[int, float],
    *,
    in_runs: bool = False,
) -> dict[int, tuple[int, ...]]:
    """Return the tasks of each rank: all tasks, each once.

    ``load`` gives the dearest task that is left to whoever would be done first at the speeds that
    were measured, or with ``in_runs`` cuts the tasks into runs in proportion to these speeds;
    ``locality`` gives each rank a run of neighbouring tasks of equal cost.
    """
    if strategy == "locality":
        return _runs(cost, ranks, dict.fromkeys(ranks, 1.0))
    if in_runs:
        return _runs(cost, ranks, speed)
    waiting = [(0.0, rank) for rank in ranks]
    found: dict[int, list[int]] = {rank: [] for rank in ranks}
    for task in np.argsort(-cost, kind="stable").tolist():
        busy_s, rank = heapq.heappop(waiting)
        found[rank].append(task)
        heapq.heappush(waiting, (busy_s + float(cost[task]) / speed[rank], rank))
    return {rank: tuple(sorted(tasks)) for rank, tasks in found.items()}


def _runs(
    cost: np.ndarray, ranks: tuple[int, ...], speed: dict[int, float]
) -> dict[int, tuple[int, ...]]:
    """Cut the tasks into runs, none of them empty where there are enough."""
    ends, speeds = np.cumsum(cost), np.cumsum([speed[rank] for rank in ranks])
    wanted = ends[-1] * speeds[:-1] / speeds[-1]
    # A task goes to the rank in whose share its middle lies.
    found = np.searchsorted(ends - 0.5 * cost, wanted)
    if len(cost) >= len(ranks):
        least = np.arange(1, len(ranks))
        found = np.clip(np.maximum.accumulate(found - least) + least, least, None)
        found = np.minimum(found, len(cost) - len(ranks) + least)
    cuts = [0, *found.tolist(), len(cost)]
    spans = zip(ranks, itertools.pairwise(cuts), strict=True)
    return {rank: tuple(range(a, b)) for rank, (a, b) in spans}


class Speeds:
    """How fast each rank was, in cost a second of its processor: the mean of all evaluations, of
    late ones more.
    """

    def __init__(self) -> None:
        self._now: dict[int, float] = {}
        self._seen: Counter[int] = Counter()
        self._used: dict[int, float] = {}

    def note(self, rank: int, cost: float, seconds: float) -> None:
        """Take in what a rank has just needed."""
        if cost > 0.0 and seconds > 0.0:
            found = cost / seconds
            self._seen[rank] += 1
            weight = max(1.0 / self._seen[rank], _LATE_WEIGHT)
            before = self._now.get(rank, found)
            self._now[rank] = before + weight * (found - before)

    def of(self, ranks: tuple[int, ...]) -> dict[int, float]:
        """Return relative speeds that change only when the measured ones have moved."""
        known = [self._now[rank] for rank in ranks if rank in self._now]
        middle = sum(known) / len(known) if known else 1.0
        now = {rank: self._now.get(rank, middle) / middle for rank in ranks}
        moved = [abs(now[rank] / self._used.get(rank, math.inf) - 1.0) for rank in ranks]
        if max(moved) > _SPEED_MOVED or set(ranks) != set(self._used):
            self._used = now
        return self._used


@dataclass(frozen=True)
class SpotCheck:
    """A task that its owner computes on its own, and another rank once more."""

    task: int
    owner: int
    checker: int


def spot_checks(
    tasks: dict[int, tuple[int, ...]], evaluation: int, share: float
) -> tuple[SpotCheck, ...]:
    """Choose a share of each rank's tasks, at least one, by the number of the evaluation.

    The choice moves on through a rank's tasks from evaluation to evaluation. The next rank checks.
    """
    ranks = sorted(tasks)
    if len(ranks) < 2 or share <= 0.0:
        return ()
    found = []
    for place, owner in enumerate(ranks):
        own = tasks[owner]
        many = min(len(own), max(1, round(share * len(own)))) if own else 0
        checker = ranks[(place + 1) % len(ranks)]
        begin = evaluation * many
        found += [SpotCheck(own[(begin + k) % len(own)], owner, checker) for k in range(many)]
    return tuple(found)


def _interleave(a: int, b: int) -> int:
    """Return a's and b's bits in turn: the place on a Morton curve."""
    return sum(
        ((a >> bit & 1) << (2 * bit + 1)) | ((b >> bit & 1) << (2 * bit)) for bit in range(16)
    )
