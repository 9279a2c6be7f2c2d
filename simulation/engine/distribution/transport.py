"""How a coordinator reaches its ranks: in this process, in processes of this machine, over MPI."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simulation.engine.distribution.protocol import (
    Answer,
    Bodies,
    ForceLaw,
    Order,
    Sabotage,
    TransportUnavailable,
)
from simulation.engine.errors import BadRequest

# In the environment of mpirun's ranks: the key that proves that they belong to a coordinator.
KEY_VARIABLE = "AII_RANK_KEY"
TRANSPORTS = ("mpi", "processes", "in_process")


@dataclass(frozen=True)
class Setup:
    """What the ranks are made for. ``timeout_s``: how long a rank may stay silent."""

    workers: int
    threads: int
    law: ForceLaw
    parts: int
    timeout_s: float
    sabotage: tuple[Sabotage, ...] = ()

    def sabotage_of(self, rank: int) -> Sabotage | None:
        """Return the drill of a rank."""
        return next((drill for drill in self.sabotage if drill.rank == rank), None)


class Transport(Protocol):
    """Ranks that can be given orders. Every call may raise ``RanksLost`` and ``NoAnswer``."""

    name: str

    @property
    def members(self) -> tuple[int, ...]:
        """The ranks that are left, in order."""

    def prepare(self, orders: dict[int, Order], bodies: Bodies) -> dict[int, Answer]:
        """Let ranks prepare; return all their answers."""

    def partial_sum(self, rank: int) -> np.ndarray | None:
        """Return a rank's partial sum where the coordinator can look at it."""

    def combine(self, number: int, touched: dict[int, np.ndarray], total: np.ndarray) -> None:
        """Write the sum of all members' partial sums into ``total`` (parts, 4, N).

        ``touched``: the blocks of bodies that each has added to.
        """

    def isolate(self, rank: int) -> None:
        """Leave a rank out for good."""

    def close(self) -> None:
        """End all ranks. More than once is allowed."""


def open_transport(name: str, setup: Setup) -> tuple[Transport, list[str]]:
    """Start ranks by the transport of that name, or for ``auto`` by the first that works here.

    Return it with a remark on each that did not. Raises ``BadRequest`` where a transport that was
    asked for by name does not work.
    """
    if name != "auto" and name not in TRANSPORTS:
        raise BadRequest(f"The transport is auto or one of {', '.join(TRANSPORTS)}, not {name!r}.")
    remarks: list[str] = []
    for candidate in TRANSPORTS if name == "auto" else (name,):
        try:
            return _OPENERS[candidate](setup), remarks
        except TransportUnavailable as reason:
            remarks.append(f"{candidate}: {reason}")
    raise BadRequest(f"The transport {name} does not work here: {remarks[-1]}")


def _open_mpi(setup: Setup) -> Transport:
    from simulation.engine.distribution.mpi_launch import MpiRanks

    return MpiRanks(setup)


def _open_processes(setup: Setup) -> Transport:
    from simulation.engine.distribution.processes import ProcessRanks

    return ProcessRanks(setup)


def _open_in_process(setup: Setup) -> Transport:
    from simulation.engine.distribution.in_process import InProcessRanks

    return InProcessRanks(setup)


_OPENERS: dict[str, Callable[[Setup], Transport]] = {
    "mpi": _open_mpi,
    "processes": _open_processes,
    "in_process": _open_in_process,
}
