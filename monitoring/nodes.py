"""Nodes as they report themselves: reading the heartbeats and judging them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from monitoring.heartbeat import NODES_KEY
from monitoring.live_values import epoch_ms
from monitoring.models import Node
from tenants.redis import get_redis

# Three heartbeats missed: nothing is known of the node.
# With the collector's second on top, a page says within 3 s that a process is gone.
SEEN_WITHIN = timedelta(seconds=1.9)
# Ten missed: somebody should look.
LOST_AFTER = timedelta(seconds=5)
# Not seen for so long, a node is taken off the list: it was renamed, or the machine is gone.
FORGOTTEN_AFTER = timedelta(hours=1)
CPU_PERCENT_MAX = 85.0
MEMORY_PERCENT_MAX = 80.0
_ANSWERING = frozenset({Node.State.OK, Node.State.WARNING})
_SHOWN = (
    "latency_ms",
    "load",
    "memory_MB",
    "cpu_percent",
    "memory_percent",
    "disk_percent",
    "connections",
    "size_MB",
)


@dataclass(frozen=True)
class Beat:
    """The last words of a node."""

    name: str
    kind: str
    at: datetime
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def has_left(self) -> bool:
        """Whether it said goodbye."""
        return bool(self.fields.get("left"))

    @property
    def is_down(self) -> bool:
        """Whether its reporter found that it does not answer."""
        return bool(self.fields.get("down"))

    @property
    def trouble(self) -> str:
        """What it says is wrong with its work."""
        return str(self.fields.get("trouble") or "")


def read_beats() -> dict[str, Beat]:
    """Return the last beat of each node by name; raises ``RedisError``."""
    beats = {}
    lines: Any = get_redis().hgetall(NODES_KEY)
    for name, line in lines.items():
        fields = json.loads(line)
        if fields["kind"] in Node.Kind.values:
            at = datetime.fromtimestamp(fields["t"] / 1000, tz=UTC)
            beats[name] = Beat(name, fields["kind"], at, fields)
    return beats


def forget_beats(names: list[str]) -> None:
    """Remove nodes from the platform's list; raises ``RedisError``."""
    if names:
        get_redis().hdel(NODES_KEY, *names)


def last_seen(beat: Beat | None, written_at: datetime, now: datetime) -> datetime:
    """Return when a node was last seen, from its beat and its row; a row ahead of ``now`` was
    written before the clock was set back and counts for nothing.
    """
    if beat is None:
        return written_at
    return beat.at if written_at > now else max(beat.at, written_at)


def judge(beat: Beat | None, last_seen_at: datetime, now: datetime) -> Node.State:
    """Return a node's state from its last beat (None: it has none in Redis)."""
    if now - last_seen_at > FORGOTTEN_AFTER or (beat is not None and beat.has_left):
        return Node.State.LEFT
    # Also where it was seen in the future: the clock was set back, and nobody has spoken since.
    if beat is None or abs(now - last_seen_at) > SEEN_WITHIN:
        return Node.State.UNKNOWN
    if beat.is_down or beat.trouble:
        return Node.State.CRITICAL
    cpu_percent = beat.fields.get("cpu_percent") or 0.0
    memory_percent = beat.fields.get("memory_percent") or 0.0
    if cpu_percent > CPU_PERCENT_MAX or memory_percent > MEMORY_PERCENT_MAX:
        return Node.State.WARNING
    return Node.State.OK


def is_in_service(nodes: Iterable[Node], *, is_redis_up: bool) -> bool:
    """Return whether Redis, a web server and a worker answer; that the database does shows in the
    row that says so.
    """
    answering = {node.kind for node in nodes if node.state in _ANSWERING}
    return is_redis_up and {Node.Kind.WEB, Node.Kind.WORKER} <= answering


def node_value(node: Node, beat: Beat | None) -> dict[str, Any]:
    """Return what a page shows of a node; figures are those of its last beat, none when unknown."""
    known = beat is not None and node.state not in (Node.State.UNKNOWN, Node.State.LEFT)
    fields = beat.fields if beat is not None and known else {}
    return {
        "name": node.name,
        "kind": node.kind,
        "state": str(node.state),
        "seen_t": epoch_ms(node.last_seen_at),
        **{name: fields.get(name) for name in _SHOWN},
    }
