"""Ranks as processes of this machine: orders over sockets, arrays in shared memory.

The coordinator is the process that runs the simulation. It has the state and computes no forces;
any rank may be killed at any moment. When the coordinator dies the ranks see their connections
close and end themselves: nothing stays behind, and the run goes on from its archive.

The ranks are started as programs, not by ``multiprocessing``: a Celery task runs in a daemonic
process, which may not have such children.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from simulation.engine.distribution.arena import Arena, create_arena
from simulation.engine.distribution.balance import sum_up
from simulation.engine.distribution.links import Links
from simulation.engine.distribution.protocol import (
    Answer,
    Bodies,
    Hello,
    Order,
    RanksLost,
    TransportUnavailable,
)
from simulation.engine.distribution.transport import Setup
from simulation.engine.errors import NoAnswer

ROOT = Path(__file__).resolve().parents[3]
# Importing takes 2 s, a first compilation some 10 s, each on a busy machine several times that.
START_TIMEOUT_S = 180.0


class ProcessRanks:
    """Ranks that are processes, with an arena in common."""

    name = "processes"

    def __init__(self, setup: Setup) -> None:
        """Start the ranks and wait for all that do not die. Raises ``TransportUnavailable``."""
        if os.name != "posix":
            raise TransportUnavailable("it needs a POSIX system.")
        self._setup = setup
        self._links = Links(setup.timeout_s)
        self._arena_descriptor = create_arena()
        self._arena: Arena | None = None
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        try:
            for rank in range(setup.workers):
                self._start(rank)
            with contextlib.suppress(RanksLost):
                self._links.greet(START_TIMEOUT_S, Hello)
            if not self.members:
                raise OSError("none of them is left.")
        except (OSError, RanksLost, NoAnswer) as reason:
            self.close()
            raise TransportUnavailable(f"its processes did not start: {reason}") from None
        except BaseException:
            # A Ctrl-C while they start.
            self.close()
            raise

    @property
    def members(self) -> tuple[int, ...]:
        """The ranks that are left."""
        return self._links.ranks

    @property
    def pids(self) -> dict[int, int]:
        """The process of each rank that was started."""
        return {rank: process.pid for rank, process in self._processes.items()}

    def prepare(self, orders: dict[int, Order], bodies: Bodies) -> dict[int, Answer]:
        """Share the bodies, send the orders, wait for all."""
        x, sink, source = bodies
        arena = self._arena_for(sink.size)
        arena.x[:], arena.sink[:], arena.source[:] = x, sink, source
        for rank, order in orders.items():
            self._links.send(rank, order)
        number = next(iter(orders.values())).number
        return self._links.gather(orders, (Answer,), number)

    def partial_sum(self, rank: int) -> np.ndarray | None:
        """Return what a rank left in the arena."""
        return None if self._arena is None else self._arena.partials[rank]

    def combine(self, number: int, touched: dict[int, np.ndarray], total: np.ndarray) -> None:
        """Add up what the members left in the arena: it is there even if they are not."""
        assert self._arena is not None
        partials = self._arena.partials
        sum_up(((partials[rank], touched[rank]) for rank in self.members), total)

    def isolate(self, rank: int) -> None:
        """Kill a rank."""
        self._links.drop(rank)
        process = self._processes.get(rank)
        if process is not None:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Kill all ranks: they have nothing that is not here."""
        for rank in list(self._processes):
            self.isolate(rank)
        self._links.close()
        self._arena = None
        if self._arena_descriptor >= 0:
            os.close(self._arena_descriptor)
            self._arena_descriptor = -1

    def _start(self, rank: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._links.add(rank, Connection(ours.detach()))
            descriptors = (theirs.fileno(), self._arena_descriptor)
            self._processes[rank] = subprocess.Popen(
                [sys.executable, "-m", "simulation.engine.distribution.worker"]
                + [str(descriptor) for descriptor in descriptors],
                pass_fds=descriptors,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # A Ctrl-C is the coordinator's to answer.
                start_new_session=True,
            )
        self._links.send(rank, (rank, self._setup))

    def _arena_for(self, bodies: int) -> Arena:
        if self._arena is None or self._arena.bodies != bodies:
            setup = self._setup
            self._arena = Arena(self._arena_descriptor, bodies, setup.workers, setup.parts)
        return self._arena


def environment() -> dict[str, str]:
    """Return the environment of a rank: it finds the engine where this process did."""
    found = dict(os.environ)
    paths = [str(ROOT), *filter(None, [found.get("PYTHONPATH")])]
    return {**found, "PYTHONPATH": os.pathsep.join(paths)}


def kill_quietly(pid: int, signal_number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal_number)
