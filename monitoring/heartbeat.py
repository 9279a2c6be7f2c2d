"""Each process says twice a second that it is there: a thread, a line in the hash ``aii:nodes``.

The hash belongs to the platform, not to a tenant; the collector reads it and gives each tenant its
nodes. Nothing here imports Celery or reads the database. While Redis is away the thread keeps
trying; on an orderly end it says goodbye, so that only a process that was killed counts as lost.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
from django.conf import settings
from redis.exceptions import RedisError

from tenants.redis import get_redis

logger = logging.getLogger(__name__)

NODES_KEY = "aii:nodes"
# Three of them fit into nodes.SEEN_WITHIN: one that is late is no loss.
EVERY_S = 0.5
Measure = Callable[[], dict[str, Any]]


def node_name(kind: str | None = None) -> str:
    """Return the name of this process as a node: stable over restarts; AII_NODE_NAME replaces it.

    Two processes of one kind on one host need names of their own.
    """
    given = os.environ.get("AII_NODE_NAME")
    return given or f"{kind or settings.AII_PROCESS}@{socket.gethostname()}"


class Heartbeat(threading.Thread):
    """Measures and reports twice a second until told to stop."""

    def __init__(self, kind: str, name: str, measure: Measure) -> None:
        super().__init__(name=f"heartbeat-{kind}", daemon=True)
        self._kind = kind
        self._node = name
        self._measure = measure
        self._stopped = threading.Event()
        self._redis_is_up = True
        self._latency_ms: float | None = None

    def run(self) -> None:
        """Beat until stopped; sleeps to the next whole period, so a slow measure adds no drift."""
        next_s = time.monotonic()
        while not self._stopped.is_set():
            self.beat()
            next_s = max(next_s + EVERY_S, time.monotonic())
            self._stopped.wait(next_s - time.monotonic())

    def beat(self) -> None:
        """Measure and report once; while Redis is away say so once and drop what was measured."""
        try:
            self._write({"latency_ms": self._latency_ms, **self._measure()})
        except RedisError as error:
            if self._redis_is_up:
                logger.warning("%s cannot report itself: %s", self._node, error)
            self._redis_is_up = False
            self._latency_ms = None
            return
        if not self._redis_is_up:
            logger.info("%s reports itself again", self._node)
        self._redis_is_up = True

    def stop(self) -> None:
        """Say goodbye and end; does nothing the second time."""
        if not self._stopped.is_set():
            self._stopped.set()
            with contextlib.suppress(RedisError):
                self._write({"left": True})

    def _write(self, fields: dict[str, Any]) -> None:
        line = {"kind": self._kind, "t": time.time_ns() // 1_000_000, "pid": os.getpid(), **fields}
        started_s = time.perf_counter()
        get_redis().hset(NODES_KEY, self._node, json.dumps(line))
        self._latency_ms = round((time.perf_counter() - started_s) * 1000, 2)


class ProcessMeter:
    """Load (cores in use) and memory of this process and its children."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def measure(self) -> dict[str, Any]:
        """Return ``load`` and ``memory_MB``; the first call has no load yet."""
        own = psutil.Process()
        now = {own.pid: own, **{child.pid: child for child in own.children(recursive=True)}}
        # Kept from the last time: a Process object remembers since when it counts.
        self._known = {pid: self._known.get(pid, process) for pid, process in now.items()}
        load, memory_bytes = 0.0, 0
        for process in self._known.values():
            with contextlib.suppress(psutil.Error):
                load += process.cpu_percent() / 100
                memory_bytes += process.memory_info().rss
        return {"load": round(load, 3), "memory_MB": round(memory_bytes / 1e6, 1)}


_started: dict[str, Heartbeat] = {}


def start(
    kind: str, name: str | None = None, measure: Measure | None = None, extra: Measure | None = None
) -> Heartbeat:
    """Start this process's heartbeat, once, and return it; it says goodbye when the process ends.

    ``measure`` replaces the load and memory of the process; ``extra`` adds fields to it.
    """
    name = name or node_name(kind)
    if name not in _started:
        own = measure or ProcessMeter().measure
        heartbeat = Heartbeat(kind, name, lambda: {**own(), **(extra() if extra else {})})
        heartbeat.start()
        atexit.register(heartbeat.stop)
        _started[name] = heartbeat
    return _started[name]


def start_for_web() -> None:
    """Start the web server's heartbeat, which also counts its live pages; elsewhere do nothing."""
    if settings.AII_PROCESS == "web":
        from monitoring.hub import count_clients

        start("web", extra=lambda: {"clients": count_clients()})


def stop_all() -> None:
    """Say goodbye for every heartbeat of this process."""
    for heartbeat in _started.values():
        heartbeat.stop()
