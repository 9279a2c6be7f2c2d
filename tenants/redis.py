"""Connections to Redis, and keys that cannot be mixed up between tenants."""

from __future__ import annotations

from functools import cache

import redis
import redis.asyncio
from django.conf import settings


@cache
def get_redis() -> redis.Redis:
    """Return this process's client; it waits at most 2 s and reconnects by itself."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2, decode_responses=True
    )


def get_async_redis() -> redis.asyncio.Redis:
    """Return a new client for the running event loop, which may listen for ever (no socket
    timeout).
    """
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_timeout=None, socket_connect_timeout=2, decode_responses=True
    )


def tenant_key(schema: str, *parts: str) -> str:
    """Return ``aii:<schema>:part:part``: no key of one tenant can be spelled as another's."""
    assert schema and ":" not in schema, schema
    return ":".join(("aii", schema, *parts))
