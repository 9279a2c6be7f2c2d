"""The coordinator's ends of the connections to ranks that are other processes.

A rank that died closes its connection: that is noticed at once, whatever it was doing. A rank that
lives sends a beat several times within ``timeout_s`` from a thread of its own, even while it
computes; one that is silent for longer is not answering. Neither sending to it nor receiving from
it can block for longer than that.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from typing import Any

from simulation.engine.distribution.protocol import RanksLost
from simulation.engine.errors import NoAnswer

BEATS_IN_TIMEOUT = 6
BEAT = "beat"


class Links:
    """Connections by rank."""

    def __init__(self, timeout_s: float) -> None:
        """Start without any."""
        self._timeout_s = timeout_s
        self._links: dict[int, Connection] = {}
        self._heard: dict[int, float] = {}

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that are connected, in order."""
        return tuple(sorted(self._links))

    def add(self, rank: int, link: Connection) -> None:
        """Take a rank's connection."""
        limit_blocking(link, self._timeout_s)
        self._links[rank] = link
        self._heard[rank] = time.monotonic()

    def drop(self, rank: int) -> None:
        """Close a rank's connection, if it has one."""
        link = self._links.pop(rank, None)
        if link is not None:
            with contextlib.suppress(OSError):
                link.close()

    def close(self) -> None:
        """Close all."""
        for rank in self.ranks:
            self.drop(rank)

    def send(self, rank: int, message: Any, content: Any = None) -> None:
        """Send a message, and bytes after it; raise ``RanksLost`` or ``NoAnswer``."""
        try:
            link = self._links[rank]
            link.send(message)
            if content is not None:
                link.send_bytes(content)
        except BlockingIOError:
            raise self._silent((rank,)) from None
        except (OSError, KeyError):
            self.drop(rank)
            raise RanksLost((rank,), "its connection broke: the process died") from None

    def gather(self, ranks: Iterable[int], kinds: tuple[type, ...], number: int) -> dict[int, Any]:
        """Wait for each rank's message of these kinds and number; older ones are dropped.

        Raises ``RanksLost`` when all others have answered, ``NoAnswer`` for silence.
        """
        found: dict[int, Any] = {}
        lost: list[int] = []
        waiting = set(ranks)
        # Beats from before lie unread: silence counts from now.
        self._heard.update(dict.fromkeys(waiting, time.monotonic()))
        while waiting:
            for rank in sorted(waiting):
                if rank not in self._links:
                    waiting.discard(rank)
                    lost.append(rank)
            for rank in self._ready(waiting):
                message = self._receive(rank)
                if isinstance(message, kinds) and getattr(message, "number", number) == number:
                    found[rank] = message
                    waiting.discard(rank)
        if lost:
            raise RanksLost(tuple(lost), "its connection broke: the process died")
        return found

    def greet(self, timeout_s: float, kind: type) -> dict[int, Any]:
        """Wait for every rank's first message: they may take longer to start than to answer."""
        usual, self._timeout_s = self._timeout_s, timeout_s
        try:
            return self.gather(self.ranks, (kind,), 0)
        finally:
            self._timeout_s = usual

    def _ready(self, waiting: set[int]) -> list[int]:
        by_link = {id(self._links[rank]): rank for rank in waiting}
        if not by_link:
            return []
        links = [self._links[rank] for rank in sorted(waiting)]
        ready = wait(links, timeout=self._timeout_s / BEATS_IN_TIMEOUT)
        now = time.monotonic()
        for link in ready:
            self._heard[by_link[id(link)]] = now
        silent = [rank for rank in waiting if now - self._heard[rank] > self._timeout_s]
        if silent:
            raise self._silent(tuple(sorted(silent)))
        return [by_link[id(link)] for link in ready]

    def _receive(self, rank: int) -> Any:
        """Return the next message, or None for one that is no answer."""
        try:
            return self._links[rank].recv()
        except BlockingIOError:
            raise self._silent((rank,)) from None
        except (OSError, EOFError):
            self.drop(rank)
            return None

    def _silent(self, ranks: tuple[int, ...]) -> NoAnswer:
        who = f"Rank {ranks[0]} has" if len(ranks) == 1 else f"Ranks {_list(ranks)} have"
        return NoAnswer(f"{who} not answered for {self._timeout_s:g} s.", ranks)


def limit_blocking(link: Connection, seconds: float) -> None:
    """Let sending and receiving fail with ``BlockingIOError`` where they block for longer."""
    whole = int(seconds)
    limit = struct.pack("ll", whole, int((seconds - whole) * 1e6))
    with socket.socket(fileno=link.fileno()) as end:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, limit)
        end.detach()


def hurry(end: socket.socket) -> None:
    """Send short messages at once: waiting to fill a packet took 40 ms an evaluation."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _list(ranks: tuple[int, ...]) -> str:
    return ", ".join(map(str, ranks[:-1])) + f" and {ranks[-1]}"
