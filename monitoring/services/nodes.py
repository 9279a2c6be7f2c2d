"""Nodes that appear, falter, vanish and return, and the alerts about them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction

from monitoring.models import Alert, Node
from monitoring.nodes import LOST_AFTER, Beat, judge, last_seen
from monitoring.services.alerts import clear_alert, open_alert

# A row is written when its state changes, and else this often: not each second for each node.
WRITE_SEEN_EVERY = timedelta(seconds=10)


@transaction.atomic
def update_nodes(
    *, beats: Mapping[str, Beat], now: datetime, blind_until: datetime | None = None
) -> list[Node]:
    """Bring the nodes' rows in line with their heartbeats, and open or clear alerts; return all
    rows.

    ``blind_until``: up to then heartbeats could not be read (Redis was away, or the collector has
    just started), so silence before it is nobody's fault.
    """
    rows = {node.name: node for node in Node.objects.all()}
    for beat in beats.values():
        if beat.name not in rows and not beat.has_left:
            rows[beat.name] = Node.objects.create(
                name=beat.name, kind=beat.kind, first_seen_at=beat.at, last_seen_at=beat.at
            )
    firing = set(
        Alert.objects.filter(resolved_at=None, dedupe_key__startswith="node:").values_list(
            "dedupe_key", flat=True
        )
    )
    for node in rows.values():
        _update(node, beats.get(node.name), now)
        _alert(node, beats.get(node.name), now, blind_until, firing)
    return list(rows.values())


def _update(node: Node, beat: Beat | None, now: datetime) -> None:
    written_seen_at, written = node.last_seen_at, (node.state, node.kind)
    if beat is not None:
        node.last_seen_at = last_seen(beat, written_seen_at, now)
        node.kind = beat.kind
    node.state = judge(beat, node.last_seen_at, now)
    stale = abs(node.last_seen_at - written_seen_at) >= WRITE_SEEN_EVERY
    if (node.state, node.kind) != written or stale:
        node.save(update_fields=["state", "kind", "last_seen_at"])


def _alert(
    node: Node, beat: Beat | None, now: datetime, blind_until: datetime | None, firing: set[str]
) -> None:
    key = f"node:{node.pk}"
    if node.state in (Node.State.OK, Node.State.WARNING, Node.State.LEFT):
        if key in firing:
            note = "It was stopped." if node.state == Node.State.LEFT else "It answers again."
            clear_alert(dedupe_key=key, resolved_at=now, note=note)
        return
    since = max(node.last_seen_at, blind_until) if blind_until else node.last_seen_at
    is_lost = node.state == Node.State.UNKNOWN and now - since > LOST_AFTER
    if key not in firing and (is_lost or node.state == Node.State.CRITICAL):
        _open(node, "" if is_lost or beat is None else beat.trouble, key, now)


def _open(node: Node, trouble: str, key: str, now: datetime) -> None:
    unseen = (
        f"The {node.get_kind_display().lower()} node was last seen at "
        f"{node.last_seen_at:%H:%M:%S} UTC."
    )
    open_alert(
        severity="warning",
        title=f"{node.name} {'cannot do its work' if trouble else 'does not answer'}",
        detail=trouble or unseen,
        quantity="",
        value=None,
        limit=None,
        unit="",
        dedupe_key=key,
        opened_at=now,
    )
