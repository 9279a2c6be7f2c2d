"""``/healthz`` (alive) and ``/readyz`` (what it needs answers), on any host name and without a
tenant.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError

from monitoring.heartbeat import NODES_KEY
from tenants.context import public_context
from tenants.redis import get_redis

# A heartbeat older than this says nothing.
LATE_S = 5.0


class HealthMiddleware:
    """Answers the two paths before anything else runs."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a probe, or pass on."""
        if request.path == "/healthz":
            return JsonResponse({"alive": True})
        if request.path == "/readyz":
            parts = {"database": _database_answers(), "redis": _redis_answers()}
            return JsonResponse(
                {"ready": all(parts.values()), **parts, "log": _log_state()},
                status=200 if all(parts.values()) else 503,
            )
        return self.get_response(request)


def _database_answers() -> bool:
    try:
        with public_context(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM tenants_tenant LIMIT 1")
        return True
    except DatabaseError:
        return False


def _redis_answers() -> bool:
    try:
        return bool(get_redis().ping())
    except RedisError:
        return False


def _log_state() -> dict[str, Any]:
    """Return how the log's sequencer is. Pages are served without it, so it decides nothing."""
    try:
        lines: Any = get_redis().hgetall(NODES_KEY)
    except RedisError:
        return {"is_working": False}
    beats = [json.loads(line) for line in lines.values()]
    fresh = [
        beat
        for beat in beats
        if beat["kind"] == "sequencer" and time.time() - beat["t"] / 1000 < LATE_S
    ]
    working = [beat for beat in fresh if beat.get("is_working")]
    waiting_s = max((beat["waiting_s"] for beat in working), default=None)
    return {"is_working": bool(working), "waiting_s": waiting_s}
