"""A force whose work is shared out among processes: plug it into ``prepare_state``.

>>> from simulation import engine
>>> from simulation.engine.distribution import distribute
>>> request = engine.check_request("plummer", bodies=64, steps=2)
>>> with distribute(request, workers=2, transport="in_process") as force:
...     state = engine.prepare_state(request, force)
...     engine.advance(state, 2).violation is None
True
>>> alone = engine.prepare("plummer", bodies=64, steps=2)
>>> engine.advance(alone, 2).steps_done, alone.digest() == state.digest()
(2, True)
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from typing import Any

import numpy as np

from simulation.engine.distribution.balance import look_at, no_blocks
from simulation.engine.distribution.protocol import (
    SABOTAGES,
    Answer,
    Bodies,
    Event,
    ForceLaw,
    Order,
    RanksLost,
    Report,
    Sabotage,
    Terms,
    find_fault,
)
from simulation.engine.distribution.shares import (
    STRATEGIES,
    Speeds,
    SpotCheck,
    deal,
    spot_checks,
)
from simulation.engine.distribution.transport import Setup, Transport, open_transport
from simulation.engine.distribution.work import Desk, make_work
from simulation.engine.errors import BadRequest, NoAnswer
from simulation.engine.forces import Evaluation, Kick
from simulation.engine.requests import Request

WORKERS_MAX = 256
SPOT_SHARE = 1 / 64
# Far longer than a rank goes without a beat on a busy machine.
TIMEOUT_S = 30.0
# Sums that are wrong though every part is right: the exchange itself is broken.
_WRONG_SUMS_MAX = 3


class DistributedForce:
    """The ``Force`` of a law computed by ``workers`` ranks; the bits are those of one process.

    ``transport`` is ``mpi``, ``processes``, ``in_process``, or ``auto``: the first of these that
    works here (``report.transport`` and ``report.remarks`` tell). ``strategy``: see ``shares``.
    ``spot_share`` of each rank's tasks, one at least, are computed by another rank too in each
    evaluation. ``timeout_s``: how long a rank may be silent before the run stops with ``NoAnswer``.
    Keep it in a ``with`` statement or call ``close``. Raises ``BadRequest``.
    """

    def __init__(
        self,
        *,
        workers: int,
        transport: str = "auto",
        strategy: str = "load",
        threads: int = 1,
        law: ForceLaw | None = None,
        spot_share: float = SPOT_SHARE,
        timeout_s: float = TIMEOUT_S,
        sabotage: tuple[Sabotage, ...] = (),
    ) -> None:
        """Start the ranks."""
        _check(workers, strategy, spot_share, timeout_s, sabotage)
        self._number = 0
        self._step = 0
        self._total = np.empty((0, 4, 0), np.int64)
        self._costs, self._costs_for = np.empty(0), (0, 0)
        law = law or ForceLaw()
        self.box = law.box
        self._work = make_work(law)
        self._strategy = strategy
        self._spot_share = spot_share
        self._workers = workers
        # The coordinator's own judgement where two ranks disagree.
        self._desk = Desk(self._work, -1, None)
        # Before the ranks start: what has to be compiled is compiled once.
        self._desk.warm_up()
        parts = self._work.parts
        setup = Setup(workers, threads, law, parts, timeout_s, sabotage)
        self._transport, remarks = open_transport(transport, setup)
        self.report = Report(self._transport.name, strategy, workers, threads, remarks)
        for rank in set(range(workers)) - set(self.members):
            self._leave_out(rank, "lost", f"Rank {rank}: it died while it started.")
        self._speeds = Speeds()
        self._finalizer = weakref.finalize(self, self._transport.close)

    def __enter__(self) -> DistributedForce:
        """Return the force."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the ranks."""
        self.close()

    def close(self) -> None:
        """End the ranks."""
        self._finalizer()

    @property
    def members(self) -> tuple[int, ...]:
        """The ranks that are left."""
        return self._transport.members

    @property
    def transport(self) -> Transport:
        """What reaches the ranks."""
        return self._transport

    def begin_step(self, step: int) -> None:
        """Take the number of the step that is about to be computed, for the report."""
        self._step = step

    def evaluate(self, x: np.ndarray, kick: Kick, k_q: np.ndarray, u_q: np.ndarray) -> Evaluation:
        """Write kicks (3, N) and potentials (N,); see ``Force``. Raises ``NoAnswer``."""
        begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
        try:
            orders, answers = self._agree(x, kick)
        except NoAnswer:
            # What does not answer now must not answer later.
            self.close()
            raise
        residual_q = self._work.settle(self._total, k_q, u_q)
        own_cpu_s = time.process_time() - begun_cpu_s
        prepared_s = self._account(orders, answers, own_cpu_s)
        timings = {"ranks": prepared_s, "agree": time.perf_counter() - begun_s - prepared_s}
        within = all(answer.within for answer in answers.values())
        return Evaluation(within, residual_q, timings)

    def _agree(self, x: np.ndarray, kick: Kick) -> tuple[dict[int, Order], dict[int, Answer]]:
        """Find the sum that all members vouch for, however many attempts it takes."""
        terms = Terms.of(
            kick,
            parts=self._work.parts,
            ranks=self._workers,
            morton=self._strategy == "locality",
        )
        shape = (self._work.parts, 4, terms.bodies)
        if self._total.shape != shape:
            self._total = np.empty(shape, np.int64)
        bodies = self._work.arrange(terms, x, kick)
        self._work.begin(terms, bodies)
        wrong_sums = 0
        while True:
            if not self.members:
                last = self.report.events[-1].why if self.report.events else ""
                raise NoAnswer(f"{last} No rank of this run is left.".strip())
            orders, checks = self._orders(terms)
            try:
                answers = self._transport.prepare(orders, bodies)
                touched = {rank: found.touched(terms.bodies) for rank, found in answers.items()}
                wrong = self._find_wrong(answers, touched, checks, terms, bodies)
                if not wrong:
                    self._transport.combine(self._number, touched, self._total)
                    if self._is_balanced(terms, answers):
                        self.report.spot_checks += len(checks)
                        return orders, answers
                    wrong_sums += 1
                    if wrong_sums == _WRONG_SUMS_MAX:
                        raise NoAnswer("The ranks' partial sums do not arrive as they were sent.")
                for rank, why in wrong.items():
                    self._leave_out(rank, "isolated", why)
            except RanksLost as lost:
                for rank in lost.ranks:
                    self._leave_out(rank, "lost", f"Rank {rank}: {lost.why}.")
            self.report.redone += 1

    def _orders(self, terms: Terms) -> tuple[dict[int, Order], tuple[SpotCheck, ...]]:
        self._number += 1
        members = self.members
        costs = self._costs_of(terms)
        speeds = self._speeds.of(members)
        tasks = deal(self._strategy, costs, members, speeds, in_runs=self._work.in_runs)
        checks = spot_checks(tasks, self.report.evaluations, self._spot_share)
        orders = {
            rank: self._order(
                terms,
                own,
                tuple(check.task for check in checks if check.owner == rank),
                tuple(check.task for check in checks if check.checker == rank),
            )
            for rank, own in tasks.items()
        }
        return orders, checks

    def _costs_of(self, terms: Terms) -> np.ndarray:
        """Return what the tasks cost, as far as it showed when they were last done."""
        if self._costs_for != (terms.bodies, terms.blocks_for):
            self._costs_for = (terms.bodies, terms.blocks_for)
            self._costs = self._work.costs(terms)
        return self._costs

    def _order(
        self,
        terms: Terms,
        tasks: tuple[int, ...],
        shown: tuple[int, ...],
        checked: tuple[int, ...],
    ) -> Order:
        members, redone = self.members, self.report.redone
        return Order(self._number, self._step, members, redone, terms, tasks, shown, checked)

    def _find_wrong(
        self,
        answers: dict[int, Answer],
        touched: dict[int, np.ndarray],
        checks: tuple[SpotCheck, ...],
        terms: Terms,
        bodies: Bodies,
    ) -> dict[int, str]:
        """Return the ranks that are wrong, and why."""
        seen = {rank: self._look_again(rank, answers[rank], touched[rank]) for rank in answers}
        found = {rank: find_fault(answer) for rank, answer in seen.items()}
        wrong = {rank: f"Rank {rank}: {why}" for rank, why in found.items() if why is not None}
        for check in checks:
            pair = (check.owner, check.checker)
            shown = {rank: answers[rank].digests[check.task] for rank in pair}
            if len(set(shown.values())) > 1 and not wrong:
                wrong = self._judge(check.task, shown, terms, bodies)
        return wrong

    def _look_again(self, rank: int, answer: Answer, touched: np.ndarray) -> Answer:
        partial = self._transport.partial_sum(rank)
        if partial is None:
            return answer
        x, y, z, potential = look_at(partial, self._work.source, touched)
        return answer.seen((x, y, z), potential)

    def _judge(
        self, task: int, shown: dict[int, str], terms: Terms, bodies: Bodies
    ) -> dict[int, str]:
        """Let all ranks and the coordinator compute a disputed task; the majority is right."""
        self._number += 1
        orders = {rank: self._order(terms, (), (), (task,)) for rank in self.members}
        votes = {
            rank: answer.digests[task]
            for rank, answer in self._transport.prepare(orders, bodies).items()
        }
        room = np.empty((self._work.parts, 4, terms.bodies), np.int64)
        own = self._desk.prepare(self._order(terms, (), (), (task,)), bodies, room)
        counted = Counter({own.digests[task]: 1})
        counted.update(votes.values())
        right, most = counted.most_common(1)[0]
        if sum(many == most for many in counted.values()) > 1:
            right = own.digests[task]
        why = (
            f"Rank {{rank}}: its kicks of task {task} are not, bit for bit, those of "
            f"{counted[right]} of the {len(votes) + 1} processes that computed it."
        )
        wrong = [rank for rank in votes if {votes[rank], shown.get(rank, right)} != {right}]
        return {rank: why.format(rank=rank) for rank in wrong}

    def _is_balanced(self, terms: Terms, answers: dict[int, Answer]) -> bool:
        whole = ~no_blocks(terms.bodies)
        *kicks, potential = look_at(self._total, self._work.source, whole)
        sent = sum(answer.rest_q for answer in answers.values())
        return not any(kicks) and (potential - sent) % 2**64 == 0

    def _leave_out(self, rank: int, kind: str, why: str) -> None:
        self._transport.isolate(rank)
        self.report.events.append(Event(rank, self._step, kind, why))

    def _account(
        self, orders: dict[int, Order], answers: dict[int, Answer], own_cpu_s: float
    ) -> float:
        """Note what it cost; return the seconds of the slowest rank."""
        report = self.report
        report.evaluations += 1
        for rank, answer in answers.items():
            order = orders[rank]
            costs = self._costs_of(order.terms)
            for task, cost in answer.costs.items():
                costs[task] = cost
            done = float(np.sum(costs[list(order.tasks + order.checked)]))
            # Not the clock's: where ranks share processors, all seem to take as long as all do.
            self._speeds.note(rank, done, answer.cpu_s)
            report.cpu_s[rank] = report.cpu_s.get(rank, 0.0) + answer.cpu_s
        if report.transport == "in_process":
            own_cpu_s -= sum(answer.cpu_s for answer in answers.values())
        report.critical_path_s += own_cpu_s + max(answer.cpu_s for answer in answers.values())
        return max(answer.wall_s for answer in answers.values())


def distribute(request: Request, *, workers: int, **options: Any) -> DistributedForce:
    """Return the force of a request on ``workers`` ranks; for ``options`` see the class."""
    return DistributedForce(workers=workers, law=ForceLaw.of(request), **options)


def _check(
    workers: Any, strategy: str, spot_share: float, timeout_s: float, drills: tuple[Sabotage, ...]
) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int):
        raise BadRequest(f"The number of workers is a whole number, not {str(workers)[:40]!r}.")
    if not 1 <= workers <= WORKERS_MAX:
        raise BadRequest(f"A run has 1 to {WORKERS_MAX} workers, not {workers}.")
    if strategy not in STRATEGIES:
        raise BadRequest(f"Work is shared by one of {', '.join(STRATEGIES)}, not {strategy!r}.")
    if not 0.0 <= spot_share <= 1.0:
        raise BadRequest("The share of spot checks lies between 0 and 1.")
    if not 0.1 <= timeout_s <= 86400.0:
        raise BadRequest("A rank may be silent for 0.1 s to a day.")
    for drill in drills:
        if drill.kind not in SABOTAGES or not 0 <= drill.rank < workers:
            raise BadRequest(f"A drill is one of {', '.join(SABOTAGES)} at a rank of the run.")
