"""The coordinator's side of ``mpi``: starts mpirun, and orders its ranks over sockets.

Needs the extra ``mpi`` (Open MPI 5 with ULFM and mpi4py). When the coordinator dies, the ranks see
their connections close and end, and mpirun with them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path
from typing import Any

import numpy as np

from simulation.engine.distribution.links import Links, hurry, limit_blocking
from simulation.engine.distribution.processes import START_TIMEOUT_S, environment, kill_quietly
from simulation.engine.distribution.protocol import (
    Answer,
    Bodies,
    Broken,
    Combined,
    Hello,
    Order,
    RanksLost,
    TransportUnavailable,
)
from simulation.engine.distribution.protocol import Combine as CombineOrder
from simulation.engine.distribution.transport import KEY_VARIABLE, Setup
from simulation.engine.errors import NoAnswer

_HOST = "127.0.0.1"
_GREETING_S = 10.0
_END_S = 5.0
_KEY_BYTES = 32


class MpiRanks:
    """Ranks that mpirun started."""

    name = "mpi"

    def __init__(self, setup: Setup) -> None:
        """Start mpirun and wait for all ranks. Raises ``TransportUnavailable``."""
        mpirun = find_mpirun()
        self._setup = setup
        self._links = Links(setup.timeout_s)
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._order_of: dict[int, Order] = {}
        self._hellos: dict[int, Hello] = {}
        with (
            socket.create_server((_HOST, 0), backlog=setup.workers) as door,
            tempfile.TemporaryFile() as said,
        ):
            self._mpirun = self._launch(mpirun, door.getsockname()[1], said)
            try:
                self._welcome_all(door)
                self._hellos = self._links.greet(START_TIMEOUT_S, Hello)
            except (OSError, RanksLost, NoAnswer, EOFError) as reason:
                self.close()
                said.seek(0)
                lines = said.read().decode(errors="replace").split("\n")
                told = next((line for line in lines if line.strip(" -")), str(reason))
                raise TransportUnavailable(f"mpirun did not start its ranks: {told}") from None
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
        return {rank: hello.pid for rank, hello in self._hellos.items()}

    def prepare(self, orders: dict[int, Order], bodies: Bodies) -> dict[int, Answer]:
        """Send the orders, and the bodies to the lowest rank; wait for all."""
        content = np.vstack(bodies)
        for rank, order in orders.items():
            self._links.send(rank, order, content if rank == order.members[0] else None)
        number = next(iter(orders.values())).number
        return self._gather(orders, Answer, number)

    def partial_sum(self, rank: int) -> np.ndarray | None:
        """Return None: partial sums stay with the ranks."""
        return None

    def combine(self, number: int, touched: dict[int, np.ndarray], total: np.ndarray) -> None:
        """Let the ranks add up; read the sum from the lowest."""
        members = self.members
        for rank in members:
            self._links.send(rank, CombineOrder(number))
        leader = members[0]
        found = self._gather(members, Combined, number)
        total.ravel()[:] = np.frombuffer(found[leader].content, np.int64)

    def isolate(self, rank: int) -> None:
        """End a rank; the others notice and regroup."""
        self._links.drop(rank)
        hello = self._hellos.get(rank)
        if hello is not None and hello.host == platform.node():
            kill_quietly(hello.pid, signal.SIGKILL)

    def close(self) -> None:
        """End all ranks and mpirun."""
        for rank in self.members:
            self.isolate(rank)
        self._links.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._mpirun.wait(_END_S)
            return
        kill_quietly(self._mpirun.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._mpirun.wait(_END_S)
            return
        self._mpirun.kill()
        self._mpirun.wait()

    def _gather(self, ranks: Any, kind: type, number: int) -> dict[int, Any]:
        found = self._links.gather(ranks, (kind, Broken), number)
        if any(isinstance(message, Broken) for message in found.values()):
            # Who it was shows in the connections, if not in this attempt then in the next.
            raise RanksLost((), "the exchange of arrays broke")
        return found

    def _launch(self, mpirun: Path, port: int, said: Any) -> subprocess.Popen[bytes]:
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        command = [str(mpirun), "--with-ft", "ulfm", *root]
        # More ranks than cores are allowed, and a rank's threads may use all cores.
        command += ["--map-by", ":OVERSUBSCRIBE", "--bind-to", "none"]
        command += ["-x", KEY_VARIABLE, "-x", "PYTHONPATH", "-n", str(self._setup.workers)]
        program = [sys.executable, "-m", "simulation.engine.distribution.mpi", _HOST, str(port)]
        return subprocess.Popen(
            [*command, *program],
            env={**environment(), KEY_VARIABLE: self._key.hex()},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )

    def _welcome_all(self, door: socket.socket) -> None:
        door.settimeout(1.0)
        until = time.monotonic() + START_TIMEOUT_S
        while len(self._links.ranks) < self._setup.workers:
            if self._mpirun.poll() is not None:
                raise OSError(f"mpirun ended with {self._mpirun.returncode}")
            if time.monotonic() > until:
                raise OSError("its ranks did not connect")
            with contextlib.suppress(TimeoutError):
                end = door.accept()[0]
                hurry(end)
                self._welcome(Connection(end.detach()))

    def _welcome(self, link: Connection) -> None:
        limit_blocking(link, _GREETING_S)
        try:
            deliver_challenge(link, self._key)
            answer_challenge(link, self._key)
            rank = link.recv()
        except (AuthenticationError, OSError, EOFError):
            # Somebody else knocked.
            link.close()
            return
        self._links.add(rank, link)
        self._links.send(rank, self._setup)


def find_mpirun() -> Path:
    """Return mpirun of this environment; raise ``TransportUnavailable`` without it or mpi4py."""
    if importlib.util.find_spec("mpi4py") is None:
        raise TransportUnavailable("mpi4py is not installed (the extra mpi).")
    beside = str(Path(sys.executable).parent)
    found = shutil.which("mpirun", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise TransportUnavailable("mpirun is not installed (the extra mpi).")
    return Path(found)
