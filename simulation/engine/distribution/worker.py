"""A rank as a program: takes orders from its coordinator until the connection closes.

``python -m simulation.engine.distribution.worker SOCKET ARENA`` with two inherited descriptors; it
is started by ``processes`` and of no use by hand. ``mpi`` serves the same orders over MPI.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from simulation.engine.distribution.arena import Arena
from simulation.engine.distribution.links import BEAT, BEATS_IN_TIMEOUT
from simulation.engine.distribution.protocol import Bodies, Broken, Combine, Hello, Order
from simulation.engine.distribution.transport import Setup
from simulation.engine.distribution.work import Desk, make_work


class Plane(Protocol):
    """How arrays come to a rank and partial sums leave it. Each may raise ``BrokenPlane``."""

    def receive(self, order: Order, mailbox: Mailbox) -> tuple[Bodies, np.ndarray]:
        """Return the bodies and the room for the partial sum."""

    def combine(self, order: Combine, mailbox: Mailbox) -> None:
        """Add up the partial sums of all members, and let the coordinator have the sum."""


class BrokenPlane(Exception):
    """Another rank was lost while arrays were exchanged."""


class Mailbox:
    """The rank's end of its connection; beats and answers take turns."""

    def __init__(self, link: Connection, beat_s: float) -> None:
        """Start beating."""
        self._link = link
        self._turn = threading.Lock()
        self._done = threading.Event()
        threading.Thread(target=self._beat, args=(beat_s,), daemon=True).start()

    def receive(self) -> Any:
        """Return the next message; raise ``EOFError`` or ``OSError`` when nobody is there."""
        return self._link.recv()

    def receive_bytes(self) -> bytes:
        """Return the bytes that follow a message."""
        return self._link.recv_bytes()

    def send(self, message: Any) -> None:
        """Send a message."""
        with self._turn:
            self._link.send(message)

    def _beat(self, seconds: float) -> None:
        while not self._done.wait(seconds):
            try:
                self.send(BEAT)
            except OSError:
                # Whoever reads our answers is gone; a kernel may still be at work on one.
                os._exit(0)


class SharedMemory:
    """The plane of ``processes``: the arena."""

    def __init__(self, descriptor: int, rank: int, setup: Setup) -> None:
        """Take the arena's descriptor."""
        self._descriptor, self._rank, self._setup = descriptor, rank, setup
        self._arena: Arena | None = None

    def receive(self, order: Order, mailbox: Mailbox) -> tuple[Bodies, np.ndarray]:
        """Return the arena's arrays."""
        bodies, setup = order.terms.bodies, self._setup
        if self._arena is None or self._arena.bodies != bodies:
            self._arena = Arena(self._descriptor, bodies, setup.workers, setup.parts)
        arena = self._arena
        return (arena.x, arena.sink, arena.source), arena.partials[self._rank]

    def combine(self, order: Combine, mailbox: Mailbox) -> None:
        """Leave the partial sum where it is: the coordinator adds."""


def serve(mailbox: Mailbox, plane: Plane, rank: int, setup: Setup) -> None:
    """Do what the coordinator orders until it is gone."""
    desk = Desk(make_work(setup.law, setup.threads), rank, setup.sabotage_of(rank))
    desk.warm_up()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        mailbox.send(Hello(rank, os.getpid(), platform.node()))
        _serve(mailbox, plane, desk)


def _serve(mailbox: Mailbox, plane: Plane, desk: Desk) -> None:
    last: Order | None = None
    while True:
        message = mailbox.receive()
        try:
            if isinstance(message, Combine):
                plane.combine(message, mailbox)
            elif isinstance(message, Order):
                last = message
                _go_wrong(desk, last, "stop", signal.SIGSTOP)
                bodies, partial = plane.receive(last, mailbox)
                _go_wrong(desk, last, "die", signal.SIGKILL)
                mailbox.send(desk.prepare(last, bodies, partial))
                _go_wrong(desk, last, "die_late", signal.SIGKILL)
        except BrokenPlane:
            mailbox.send(Broken(message.number))


def _go_wrong(desk: Desk, order: Order, kind: str, how: signal.Signals) -> None:
    if desk.is_sabotaged(order, kind):
        os.kill(os.getpid(), how)


def main() -> None:
    """Serve over the inherited descriptors."""
    descriptor, arena = (int(text) for text in sys.argv[1:3])
    link = Connection(descriptor)
    try:
        rank, setup = link.recv()
    except (EOFError, OSError):
        return
    mailbox = Mailbox(link, setup.timeout_s / BEATS_IN_TIMEOUT)
    serve(mailbox, SharedMemory(arena, rank, setup), rank, setup)


if __name__ == "__main__":
    main()
