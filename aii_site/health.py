"""``/healthz`` (alive) and ``/readyz`` (what it needs answers), on any host name and without a
tenant.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from redis.exceptions import RedisError

from tenants.context import public_context
from tenants.redis import get_redis


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
                {"ready": all(parts.values()), **parts}, status=200 if all(parts.values()) else 503
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
