"""A rank under Open MPI with ULFM, the one file that imports mpi4py.

``mpirun --with-ft ulfm -n W python -m simulation.engine.distribution.mpi HOST PORT``; it is started
by ``mpi_launch``. Orders and answers go over a socket to the coordinator, arrays over MPI: the
lowest rank is sent the positions and broadcasts them, partial sums are added by a reduction that
counts only when all ranks agree that it went through.

When a rank dies, MPI tells the others in the exchange that it cannot finish. They revoke the
communicator, so that nobody goes on waiting in it, and answer ``Broken``. The next order comes with
a higher number of attempts, on which all survivors shrink the communicator together.

Source: Bland, Bouteiller, Herault, Bosilca, Dongarra (2013), Int. J. High Perform. Comput. Appl.
27, 244 (User Level Failure Mitigation).
"""

from __future__ import annotations

import os
import socket
import sys
from multiprocessing.connection import Client

import numpy as np
from mpi4py import MPI

from simulation.engine.distribution.links import BEATS_IN_TIMEOUT, hurry
from simulation.engine.distribution.protocol import Bodies, Combine, Combined, Order
from simulation.engine.distribution.transport import KEY_VARIABLE, Setup
from simulation.engine.distribution.worker import BrokenPlane, Mailbox, serve

_INPUTS = 5  # x, y, z, sink, source


class MpiPlane:
    """The plane of Open MPI: broadcast in, reduction and agreement out."""

    def __init__(self, setup: Setup) -> None:
        """Take the communicator of all ranks; errors come as exceptions, not as an abort."""
        self._parts = setup.parts
        self._comm: MPI.Intracomm = MPI.COMM_WORLD
        self._comm.Set_errhandler(MPI.ERRORS_RETURN)
        self._redone = 0
        self._leads = False
        self._partial = np.empty((0, 4, 0), np.int64)

    def receive(self, order: Order, mailbox: Mailbox) -> tuple[Bodies, np.ndarray]:
        """Return what the lowest rank was sent, and room for the partial sum."""
        leader = order.members[0]
        self._leads = leader == MPI.COMM_WORLD.rank
        bodies = order.terms.bodies
        inputs = np.empty((_INPUTS, bodies))
        if self._leads:
            inputs.ravel()[:] = np.frombuffer(mailbox.receive_bytes())
        try:
            self._regroup(order)
            self._comm.Bcast(inputs, root=self._members().index(leader))
        except MPI.Exception:
            self._revoke()
            raise BrokenPlane from None
        if self._partial.shape[2] != bodies:
            self._partial = np.empty((self._parts, 4, bodies), np.int64)
        return (inputs[:3], inputs[3], inputs[4]), self._partial

    def combine(self, order: Combine, mailbox: Mailbox) -> None:
        """Add up all partial sums; send the sum where every rank has it."""
        total, arrived = np.empty_like(self._partial), 1
        try:
            self._comm.Allreduce(self._partial, total)
        except MPI.Exception:
            self._revoke()
            arrived = 0
        try:
            # The least of all ranks' answers, and the same on all, whoever dies meanwhile.
            arrived = self._comm.Agree(arrived)
        except MPI.Exception:
            arrived = 0
        if not arrived:
            raise BrokenPlane
        mailbox.send(Combined(order.number, total.tobytes() if self._leads else b""))

    def _regroup(self, order: Order) -> None:
        """Go on without those that are no members any more."""
        if order.redone > self._redone:
            self._redone = order.redone
            self._revoke()
            self._comm = self._comm.Shrink()
            self._comm.Set_errhandler(MPI.ERRORS_RETURN)
        if self._members() != order.members:
            raise BrokenPlane

    def _revoke(self) -> None:
        if not self._comm.Is_revoked():
            self._comm.Revoke()

    def _members(self) -> tuple[int, ...]:
        return tuple(self._comm.group.Translate_ranks(None, MPI.COMM_WORLD.group))


def main() -> None:
    """Serve the coordinator at an address, with the key that proves that we belong to it."""
    host, port = sys.argv[1], int(sys.argv[2])
    key = bytes.fromhex(os.environ.pop(KEY_VARIABLE))
    link = Client((host, port), authkey=key)
    with socket.socket(fileno=link.fileno()) as end:
        hurry(end)
        end.detach()
    rank = MPI.COMM_WORLD.rank
    link.send(rank)
    setup = link.recv()
    serve(Mailbox(link, setup.timeout_s / BEATS_IN_TIMEOUT), MpiPlane(setup), rank, setup)
    # MPI's own end waits for all ranks, and some of them may be dead.
    os._exit(0)


if __name__ == "__main__":
    main()
