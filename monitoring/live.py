"""The live state of a tenant in Redis: a sequence number, a hash of keys, and a channel of deltas.

One Lua script counts, stores and publishes, so that no reader sees a state without its number. A
channel's name carries the number of the Redis database, because publications, unlike keys, reach
across databases. Nothing here is the truth: the rows are. The collector compares and repairs each
second.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from django.db import transaction
from redis.exceptions import RedisError

from tenants.context import current_schema
from tenants.redis import get_redis, tenant_key

logger = logging.getLogger(__name__)

# A published message is "<seq> <frame>": the hub reads the number without parsing the frame.
_PUBLISH = """
local seq = redis.call('INCR', KEYS[1])
for i = 4, #ARGV, 2 do
  if ARGV[i + 1] == 'null' then redis.call('HDEL', KEYS[2], ARGV[i])
  else redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
end
redis.call('PUBLISH', ARGV[1], seq .. ' {"type":"delta","seq":' .. seq .. ',"t":' .. ARGV[2] ..
',"changes":' .. ARGV[3] .. '}') return seq
"""
READ_SCRIPT = "return {redis.call('GET', KEYS[1]) or '0', redis.call('HGETALL', KEYS[2])}"


def seq_key(schema: str) -> str:
    """Return the key of a tenant's sequence number."""
    return tenant_key(schema, "live", "seq")


def state_key(schema: str) -> str:
    """Return the key of a tenant's live state."""
    return tenant_key(schema, "live", "state")


class _HasPool(Protocol):
    connection_pool: Any


def channel_of(schema: str, client: _HasPool) -> str:
    """Return the name of a tenant's channel on this Redis database."""
    number = client.connection_pool.connection_kwargs.get("db") or 0
    return f"{tenant_key(schema, 'live', 'events')}@{number}"


def now_ms() -> int:
    """Return the server's time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def encode(value: object) -> str:
    """Return compact JSON in which a number that is not finite is null."""
    return json.dumps(_without_infinity(value), separators=(",", ":"), ensure_ascii=False)


def _without_infinity(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _without_infinity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(item) for item in value]
    return value


def publish(schema: str, changes: Mapping[str, object]) -> int:
    """Store and publish changed keys (None removes one) and return the sequence number.

    Raises ``RedisError`` when Redis is away.
    """
    client = get_redis()
    encoded = {key: encode(value) for key, value in changes.items()}
    frame = "{" + ",".join(f"{json.dumps(key)}:{text}" for key, text in encoded.items()) + "}"
    pairs = [part for pair in encoded.items() for part in pair]
    arguments = [channel_of(schema, client), str(now_ms()), frame, *pairs]
    return int(client.eval(_PUBLISH, 2, seq_key(schema), state_key(schema), *arguments))


def publish_if_possible(schema: str, changes: Mapping[str, object]) -> bool:
    """Publish; while Redis is away say so in the log and return False (the collector repairs
    later).
    """
    try:
        publish(schema, changes)
    except RedisError as error:
        logger.warning("live state of %s not published: %s", schema, error)
        return False
    return True


def publish_on_commit(changes: Mapping[str, object]) -> None:
    """Publish for the current tenant once the current transaction has been committed."""
    transaction.on_commit(partial(publish_if_possible, current_schema(), dict(changes)))


def read_state(schema: str) -> tuple[int, dict[str, Any]]:
    """Return the sequence number and the decoded state, read at one instant; raises
    ``RedisError``.
    """
    seq, flat = get_redis().eval(READ_SCRIPT, 2, seq_key(schema), state_key(schema))
    return int(seq), {key: json.loads(text) for key, text in pairs_of(flat)}


def read_snapshot(schema: str) -> str:
    """Return the snapshot frame, as text; raises ``RedisError``."""
    seq, flat = get_redis().eval(READ_SCRIPT, 2, seq_key(schema), state_key(schema))
    return snapshot_frame(int(seq), flat)


def snapshot_frame(seq: int, flat: list[str]) -> str:
    """Return the snapshot frame made of what the script read, without parsing the values."""
    state = ",".join(f"{json.dumps(key)}:{text}" for key, text in pairs_of(flat))
    return f'{{"type":"snapshot","seq":{seq},"t":{now_ms()},"state":{{{state}}}}}'


def pairs_of(flat: list[str]) -> list[tuple[str, str]]:
    """Return the pairs of a flat list of keys and values."""
    return list(zip(flat[::2], flat[1::2], strict=True))
