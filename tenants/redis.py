"""Connections to Redis, and keys that cannot be mixed up between tenants."""

from __future__ import annotations

from functools import cache

import redis
import redis.asyncio
import redis.asyncio.retry
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from tenants.context import NoTenantChosen


@cache
def get_redis() -> redis.Redis:
    """Return this process's client; it waits at most 2 s and reconnects by itself."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=2,
        decode_responses=True,
        # One more try for a pooled connection that went stale. The default tries ten times: a page
        # waited 3.5 s.
        retry=Retry(NoBackoff(), 1),
    )


def get_async_redis() -> redis.asyncio.Redis:
    """Return a new client for the running event loop, which may listen for ever (no socket
    timeout).
    """
    return redis.asyncio.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=None,
        socket_connect_timeout=2,
        decode_responses=True,
        retry=redis.asyncio.retry.Retry(NoBackoff(), 1),
    )


def tenant_key(schema: str, *parts: str) -> str:
    """Return ``aii:<schema>:part:part``: no key of one tenant can be spelled as another's."""
    # Not an assert: python -O would take this fence away.
    if not schema or ":" in schema:
        raise NoTenantChosen(f"{schema!r} is not a tenant's schema")
    return ":".join(("aii", schema, *parts))
