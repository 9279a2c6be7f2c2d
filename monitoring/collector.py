"""The collector: each second, for each tenant, what is held, who answers, how fast; kept and
published.

It publishes the difference between the rows and the live state in Redis, so it also repairs what a
missed publication, or an emptied Redis, left behind. The state is read before the rows: a change
that a service publishes meanwhile is at least as new as what is compared, and is not undone.

Without the database it still says so each second through Redis; without Redis it goes on writing
rows. Limit: one collector at a time; a second one would only do the same work again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from redis.exceptions import RedisError

from monitoring import live, nodes, performance, services, wording
from monitoring.live_values import alert_key, alert_value, epoch_ms
from monitoring.models import Alert, Node
from monitoring.nodes import Beat
from monitoring.quantities import list_sums, sum_values
from monitoring.services.nodes import update_nodes
from monitoring.services.outages import record_database_outage, record_redis
from monitoring.services.samples import record_samples
from tenants.context import tenant_context
from tenants.selectors import list_schemas

logger = logging.getLogger(__name__)

RETENTION_EVERY = timedelta(minutes=1)
DATABASE_AWAY = (DatabaseError, InterfaceError)
# The keys that the collector answers for; a run's keys belong to who runs it.
OWN_KEYS = ("tick", "status", "perf", "quantity.", "node.", "alert.")
DATABASE_DOWN = "The database does not answer. Nothing is recorded until it is back."


class Collector:
    """Remembers only since when a part has been away."""

    def __init__(self) -> None:
        self._schemas: list[str] = []
        self._database_down_since: datetime | None = None
        self._redis_is_up = True
        # Until then nobody's silence was heard.
        self._blind_until: datetime | None = None
        self._cleaned_at: datetime | None = None
        self._beats: dict[str, Beat] = {}

    def tick(self, now: datetime, lateness_ms: float = 0.0) -> None:
        """Do one second's work for every tenant."""
        self._beats = self._read_beats(now)
        try:
            self._schemas = list_schemas()
            self._note_database_is_back(now)
            for schema in self._schemas:
                with tenant_context(schema):
                    self._collect(schema, now, lateness_ms)
            self._clean(now)
        except DATABASE_AWAY as error:
            self._say_database_is_down(now, error)

    def _read_beats(self, now: datetime) -> dict[str, Beat]:
        if self._blind_until is None:
            self._blind_until = now
        try:
            beats = nodes.read_beats()
            gone = [b.name for b in beats.values() if now - b.at > 2 * nodes.FORGOTTEN_AFTER]
            nodes.forget_beats(gone)
        except RedisError as error:
            if self._redis_is_up:
                logger.warning("Redis is away; rows are still written: %s", error)
            self._redis_is_up = False
            self._blind_until = now
            return {}
        if not self._redis_is_up:
            logger.info("Redis is back")
        self._redis_is_up = True
        return beats

    def _collect(self, schema: str, now: datetime, lateness_ms: float) -> None:
        state = self._read_state(schema)
        record_redis(is_up=self._redis_is_up, now=now)
        rows = update_nodes(beats=self._beats, now=now, blind_until=self._blind_until)
        sums = list_sums(now)
        perf = self._measure(schema, now)
        record_samples(
            sums=sums,
            performance=perf,
            taken_at=now,
            lateness_ms=lateness_ms,
            in_service=nodes.is_in_service(rows, is_redis_up=self._redis_is_up),
        )
        alerts = list(Alert.objects.filter(resolved_at=None).select_related("acknowledged_by"))
        if state is None:
            return
        told = wording.answer(
            sums=sums,
            nodes=rows,
            alerts=alerts,
            is_redis_up=True,
        )
        wanted = {
            **self._heart(),
            "status": {
                "sentence": told.sentence,
                "level": told.level,
                "database": "up",
                "redis": "up",
            },
            # Its time makes it change each second: a strip breaks where nothing comes.
            "perf": {"t": epoch_ms(now), "lateness_ms": round(lateness_ms, 2), **perf},
            **sum_values(sums, now),
            **{
                f"node.{row.pk}": nodes.node_value(row, self._beats.get(row.name))
                for row in rows
                if row.state != Node.State.LEFT
            },
            **{alert_key(alert): alert_value(alert) for alert in alerts},
        }
        live.publish_if_possible(schema, changes_between(state, wanted))

    def _measure(self, schema: str, now: datetime) -> dict[str, Any]:
        beats = [b for b in self._beats.values() if now - b.at <= nodes.SEEN_WITHIN]
        measured: dict[str, Any] = {
            **performance.measure_observations(now),
            **performance.measure_host(beats),
            "queue": None,
            "screen_ms_p50": None,
            "screen_ms_p95": None,
            "clients": performance.count_pages(beats, schema) if self._redis_is_up else None,
        }
        if self._redis_is_up:
            try:
                measured.update(performance.measure_redis_side(schema, now))
            except RedisError as error:
                logger.warning("queue of %s not measured: %s", schema, error)
        return measured

    def _read_state(self, schema: str) -> dict[str, Any] | None:
        if not self._redis_is_up:
            return None
        try:
            return live.read_state(schema)[1]
        except RedisError:
            return None

    @staticmethod
    def _heart() -> dict[str, Any]:
        return {"tick": {"t": live.now_ms(), "collector": "up"}}

    def _clean(self, now: datetime) -> None:
        if self._cleaned_at is not None and abs(now - self._cleaned_at) < RETENTION_EVERY:
            return
        self._cleaned_at = now
        for schema in self._schemas:
            with tenant_context(schema):
                services.delete_old_rows(now=now)

    def _note_database_is_back(self, now: datetime) -> None:
        if self._database_down_since is None:
            return
        logger.info("the database is back")
        for schema in self._schemas:
            with tenant_context(schema):
                record_database_outage(since=self._database_down_since, now=now)
        self._database_down_since = None

    def _say_database_is_down(self, now: datetime, error: Exception) -> None:
        # Drop the broken connection: the next tick opens another.
        connection.close()
        if self._database_down_since is None:
            self._database_down_since = now
            logger.warning("the database is away; saying so through Redis: %s", error)
        if not self._redis_is_up:
            return
        status = {
            "sentence": DATABASE_DOWN,
            "level": "critical",
            "database": "down",
            "redis": "up",
        }
        for schema in self._schemas:
            live.publish_if_possible(
                schema, {**self._heart(), "status": status, **self._database_nodes(schema, now)}
            )

    def _database_nodes(self, schema: str, now: datetime) -> dict[str, Any]:
        """Return the database's own nodes as critical: their rows cannot be read now."""
        state = self._read_state(schema) or {}
        return {
            key: {**value, "state": "critical", "latency_ms": None, "seen_t": epoch_ms(now)}
            for key, value in state.items()
            if key.startswith("node.") and value.get("kind") == Node.Kind.DATABASE
        }


def changes_between(state: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what turns the collector's part of ``state`` into ``wanted``; None removes a key."""
    changed = {key: value for key, value in wanted.items() if state.get(key) != value}
    gone = {key: None for key in state if key.startswith(OWN_KEYS) and key not in wanted}
    return {**changed, **gone}
