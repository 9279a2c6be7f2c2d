"""How the platform performs, as of now: latency, load, queue, events and live pages of one
tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from monitoring.live_values import epoch_ms
from monitoring.models import Node
from monitoring.nodes import Beat
from tenants.redis import get_redis, tenant_key
from tenants.tasks import queue_of

LATENCY_OVER = timedelta(seconds=60)
EVENTS_OVER = timedelta(seconds=10)
RENDERED_OVER = timedelta(minutes=10)


def measure_observations(now: datetime) -> dict[str, float | None]:
    """Return the latency of the last minute's observations and the events a second, by one
    query.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FILTER (WHERE observed_at > %s),"
            " percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY latency_ms)"
            " FROM monitoring_observation WHERE observed_at > %s AND observed_at <= %s",
            [now - EVENTS_OVER, now - LATENCY_OVER, now],
        )
        events, latencies_ms = cursor.fetchone()
    p50, p95, p99 = latencies_ms or (None, None, None)
    return {
        "latency_ms_p50": p50,
        "latency_ms_p95": p95,
        "latency_ms_p99": p99,
        "events_per_s": events / EVENTS_OVER.total_seconds(),
    }


def measure_host(beats: Iterable[Beat]) -> dict[str, float | None]:
    """Return load, processor and memory: of several hosts the one that is worst off."""
    hosts = [beat.fields for beat in beats if beat.kind == Node.Kind.HOST and not beat.has_left]

    def most(name: str) -> float | None:
        return max((fields[name] for fields in hosts if fields.get(name) is not None), default=None)

    return {
        "load_1m": most("load"),
        "cpu_percent": most("cpu_percent"),
        "memory_percent": most("memory_percent"),
    }


def count_pages(beats: Iterable[Beat], schema: str) -> int:
    """Return how many live pages the web servers count for a tenant."""
    return sum((beat.fields.get("clients") or {}).get(schema, 0) for beat in beats)


def measure_redis_side(schema: str, now: datetime) -> dict[str, Any]:
    """Return queue length and time to the screen; raises ``RedisError``."""
    client: Any = get_redis()
    lines = client.lrange(tenant_key(schema, "live", "rendered"), 0, -1)
    since_ms = epoch_ms(now - RENDERED_OVER) or 0
    pairs = [line.split() for line in lines]
    screen_ms = sorted(float(latency) for t, latency in pairs if int(t) >= since_ms)
    return {
        "queue": client.llen(queue_of(schema)),
        "screen_ms_p50": percentile(screen_ms, 0.50),
        "screen_ms_p95": percentile(screen_ms, 0.95),
    }


def percentile(ordered: Sequence[float], part: float) -> float | None:
    """Return the nearest-rank percentile of sorted values; None of none."""
    if not ordered:
        return None
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)]
