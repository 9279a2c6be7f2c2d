"""What ``manage.py report_nodes`` measures: the host, the database and Redis, each by itself.

Each has a thread of its own, so that one that hangs does not silence the others.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any

import psutil
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from monitoring import heartbeat
from tenants.context import public_context
from tenants.redis import get_redis

# Thresholds are about load that lasts, not about a single second.
CPU_MEAN_OVER_S = 10.0


class HostMeter:
    """Load, processor, memory and disk of this machine."""

    def __init__(self) -> None:
        psutil.cpu_percent()
        self._cpu_percents: deque[float] = deque(maxlen=round(CPU_MEAN_OVER_S / heartbeat.EVERY_S))

    def measure(self) -> dict[str, Any]:
        """Return the host's figures; the processor's share is the mean of ten seconds."""
        self._cpu_percents.append(psutil.cpu_percent())
        memory = psutil.virtual_memory()
        return {
            "latency_ms": None,
            "load": round(os.getloadavg()[0], 2),
            "cpu_percent": round(sum(self._cpu_percents) / len(self._cpu_percents), 1),
            "memory_percent": memory.percent,
            "memory_MB": round((memory.total - memory.available) / 1e6),
            "disk_percent": psutil.disk_usage(str(settings.BASE_DIR)).percent,
        }


def measure_database() -> dict[str, Any]:
    """Return the time of a ``SELECT 1`` and the number of connections; ``down`` when it is away."""
    try:
        with public_context(), connection.cursor() as cursor:
            started_s = time.perf_counter()
            cursor.execute("SELECT 1")
            latency_ms = (time.perf_counter() - started_s) * 1000
            cursor.execute(
                "SELECT numbackends, pg_database_size(datname) FROM pg_stat_database"
                " WHERE datname = current_database()"
            )
            connections, size_bytes = cursor.fetchone()
    except (DatabaseError, InterfaceError):
        connection.close()
        return {"latency_ms": None, "down": True}
    return {
        "latency_ms": round(latency_ms, 2),
        "connections": connections,
        "size_MB": round(size_bytes / 1e6, 1),
    }


def measure_redis() -> dict[str, Any]:
    """Return the time of a PING and the memory in use; raises ``RedisError`` when it is away."""
    started_s = time.perf_counter()
    get_redis().ping()
    latency_ms = (time.perf_counter() - started_s) * 1000
    used_bytes = int(get_redis().info("memory")["used_memory"])
    return {"latency_ms": round(latency_ms, 2), "memory_MB": round(used_bytes / 1e6, 2)}
