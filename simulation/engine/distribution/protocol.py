"""One evaluation of the forces as an agreement: prepare, verify, then commit on all or on none.

1. *Prepare.* Each rank is given the bodies, put in order once for all, and its tasks. It sums its
   tasks into a *partial sum* and answers with what that sum is worth: which bodies it has touched,
   whether every pair lay within its range, what the kicks of the bodies with mass sum to (exactly
   zero, or the rank is wrong), what potentials and far kicks sum to in the array and in the ledger
   kept beside it, and a digest of each spot-checked task.
2. *Verify.* The coordinator looks again at every partial sum that it can reach, where it was
   touched: nothing else of it is read. It compares the digests of the two ranks that
   computed a spot-checked task. Where they differ, every rank computes the task and the majority of
   the ranks and the coordinator decides who was wrong.
3. *Commit.* Only when every partial sum is good are they added up. Until then nothing has changed:
   to roll back is to forget the partial sums, and the evaluation is done again by those that are
   left. A rank is left out when it died (*lost*) or was wrong (*isolated*).

A rank that neither answers nor dies might still be at work, perhaps behind a broken network. Going
on without it could end in two runs that both believe to be the one: the run stops instead, at its
last committed step, with ``NoAnswer``.

What is caught when: a single flipped bit in the kicks, in that evaluation, at that rank. Kicks that
are wrong on both sides of a pair, so that they sum to zero, are caught by spot checks: every rank
has at least one task checked in each evaluation, so a rank that computes all its tasks wrongly is
caught in the evaluation in which it begins to, and one that computes a share p of them wrongly
with about the probability p in each evaluation, while its evaluations before stay in the run.

Source of the scheme: Gray (1978), Notes on Data Base Operating Systems, section 5.8.3.3.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from simulation.engine.distribution.balance import no_blocks
from simulation.engine.forces import Kick
from simulation.engine.requests import Request

# x (3, N), sink and source (N,), in the order of the partial sums.
Bodies = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class ForceLaw:
    """Which force ranks compute: direct or fmm with its accuracy; direct perhaps in a box of that
    side, whose images are softened by ``softening_tu``.
    """

    name: str = "direct"
    accuracy: float | None = None
    box: float | None = None
    softening_tu: float = 0.0

    @staticmethod
    def of(request: Request) -> ForceLaw:
        """Return the force of a request."""
        return ForceLaw(request.force, request.accuracy, request.box, request.softening_tu)


@dataclass(frozen=True)
class Terms:
    """What an evaluation is given besides arrays: the numbers of ``Kick`` and how bodies lie."""

    bodies: int
    softening2: float
    potential_per_charge: float
    pair_bits: int
    parts: int  # partial sums of a rank: 1, or 2 with a far field
    blocks_for: int  # the number of ranks that the tasks were made for
    morton: bool

    @staticmethod
    def of(kick: Kick, *, parts: int, ranks: int, morton: bool) -> Terms:
        """Return the terms of a kick."""
        return Terms(
            kick.sink.size,
            kick.softening2,
            kick.potential_per_charge,
            kick.pair_bits,
            parts,
            ranks,
            morton,
        )

    def kick(self, bodies: Bodies) -> Kick:
        """Return the kick of bodies under these terms."""
        _, sink, source = bodies
        return Kick(sink, source, self.softening2, self.potential_per_charge, self.pair_bits)


@dataclass(frozen=True)
class Order:
    """Coordinator to rank: prepare these tasks. ``shown`` and ``checked`` are computed each on its
    own and answered with a digest; ``shown`` are among ``tasks``, ``checked`` are another rank's.
    """

    number: int
    step: int
    members: tuple[int, ...]
    redone: int  # attempts that failed so far: MPI regroups when it has grown
    terms: Terms
    tasks: tuple[int, ...]
    shown: tuple[int, ...] = ()
    checked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Added:
    """What tasks came to: whether every pair lay within its range, which blocks of bodies were
    touched (``balance``), and what each task costs, where that shows.
    """

    within: bool
    touched: np.ndarray
    costs: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Rank to coordinator: what its partial sum is worth."""

    number: int
    within: bool
    blocks: bytes  # of bodies that it has touched, a bit each
    imbalance_q: tuple[int, int, int]
    rest_q: int  # potentials and far kicks, modulo 2^64, from the array
    ledger_q: int  # the same, kept beside it while summing
    digests: dict[int, str]
    costs: dict[int, float]  # of tasks, where that shows only when they are done
    cpu_s: float
    wall_s: float

    def touched(self, bodies: int) -> np.ndarray:
        """Return which blocks of bodies it has touched; see ``balance``."""
        bits = np.unpackbits(np.frombuffer(self.blocks, np.uint8))
        return bits[: no_blocks(bodies).size].astype(np.bool_)

    def seen(self, imbalance_q: tuple[int, int, int], rest_q: int) -> Answer:
        """Return the answer with what the coordinator found in the partial sum, where it finds a
        fault that the rank does not admit.
        """
        if any(self.imbalance_q) or self.rest_q != self.ledger_q:
            return self
        return replace(self, imbalance_q=imbalance_q, rest_q=rest_q)


@dataclass(frozen=True)
class Hello:
    """Rank to coordinator: ready."""

    rank: int
    pid: int
    host: str


@dataclass(frozen=True)
class Combine:
    """Coordinator to rank: every partial sum is good, add them up."""

    number: int


@dataclass(frozen=True)
class Combined:
    """Rank to coordinator: added up, and every rank has the sum. The lowest sends it along."""

    number: int
    content: bytes = b""


@dataclass(frozen=True)
class Broken:
    """Rank to coordinator: another rank was lost while arrays were exchanged."""

    number: int


@dataclass(frozen=True)
class Sabotage:
    """A drill: rank ``rank`` goes wrong at ``step``. For tests of the protocol.

    ``bit`` flips a bit of its partial sum of kicks, ``bit_of_rest`` one of what does not balance:
    a far kick, or with direct summation a potential; ``pair`` adds a quantum to one body and takes
    it from another in each of its tasks, from that step on; ``die`` and ``die_late`` kill it before
    and after it answered; ``stop`` stops it without killing it.
    """

    rank: int
    step: int
    kind: str


SABOTAGES = ("bit", "bit_of_rest", "pair", "die", "die_late", "stop")


@dataclass(frozen=True)
class Event:
    """Something that happened to a rank: ``lost`` or ``isolated``, in which step, and why."""

    rank: int
    step: int
    kind: str
    why: str


@dataclass
class Report:
    """How a distributed run went. ``critical_path_s`` is CPU time: in each evaluation that of the
    rank that needed most, and the coordinator's own.
    """

    transport: str
    strategy: str
    workers: int
    threads: int
    remarks: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    evaluations: int = 0
    redone: int = 0
    spot_checks: int = 0
    critical_path_s: float = 0.0
    cpu_s: dict[int, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain numbers and text."""
        return asdict(self)


class RanksLost(Exception):
    """Ranks died; what they were working on is to be done again by the others."""

    def __init__(self, ranks: tuple[int, ...], why: str) -> None:
        """Name the ranks and how it was noticed."""
        super().__init__(f"ranks {ranks}: {why}")
        self.ranks = ranks
        self.why = why


class TransportUnavailable(Exception):
    """This way of reaching other processes does not work here, for the reason given."""


def find_fault(answer: Answer) -> str | None:
    """Return what is wrong with a partial sum by itself, as a sentence, or None."""
    if any(answer.imbalance_q):
        x, y, z = answer.imbalance_q
        return (
            f"its kicks of the bodies with mass sum to ({x}, {y}, {z}) quanta and must sum to zero."
        )
    if answer.rest_q != answer.ledger_q:
        return "its potentials or far kicks do not sum to what its ledger holds."
    return None
