"""Keys of every schema: counting, rotating, erasing a subject and replaying erasures.

For commands, as the owner. ``audit.encryption`` works in one schema at a time and knows no tenants.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import Count, Max, Min, Q
from psycopg import sql

from audit.encryption import erasures, keys, rotation
from audit.encryption import services as encryption
from audit.encryption.keyring import FileSource
from audit.encryption.models import DataKey
from tenants.context import PUBLIC_SCHEMA, public_context, tenant_context
from tenants.errors import NotFound
from tenants.journal import Subject, note, process
from tenants.owner import OWNER_ALIAS
from tenants.selectors import list_schemas

Report = Callable[[str], None]


class NobodyKnown(NotFound):
    """No schema has a key of this subject."""

    code = "subject_unknown"


def list_all_schemas() -> list[str]:
    """Return the shared schema and each tenant's."""
    return [PUBLIC_SCHEMA, *list_schemas()]


def entered(schema: str) -> AbstractContextManager[None]:
    """Work in a tenant's schema or in the shared one."""
    return public_context() if schema == PUBLIC_SCHEMA else tenant_context(schema)


def erasure_list() -> Path:
    """Return the file that the list of erasures is kept in."""
    return Path(settings.AII_ERASURE_LIST)


def describe_keys() -> dict[str, Any]:
    """Return the KEKs, how many data keys each wraps, and what each schema holds."""
    ring = keys.keyring().get()
    by_kek = dict.fromkeys(ring.ids, 0)
    schemas, tombstones = {}, []
    for schema in list_all_schemas():
        with entered(schema):
            for kek_id, count in rotation.count_by_kek(using=OWNER_ALIAS).items():
                by_kek[kek_id] = by_kek.get(kek_id, 0) + count
            schemas[schema] = DataKey.objects.using(OWNER_ALIAS).aggregate(
                live=Count("pk", filter=Q(destroyed_at=None)),
                destroyed=Count("pk", filter=Q(destroyed_at__isnull=False)),
                oldest_at=Min("created_at", filter=Q(destroyed_at=None)),
                newest_at=Max("created_at", filter=Q(destroyed_at=None)),
            )
            tombstones += erasures.list_tombstones(schema, using=OWNER_ALIAS)
    listed = {erasure.key for erasure in erasures.read_list(erasure_list())}
    return {
        "keks": [
            {
                "id": kek_id,
                "is_current": kek_id == ring.current.id,
                "is_configured": kek_id in ring.ids,
                "data_keys": count,
            }
            for kek_id, count in by_kek.items()
        ],
        "changed_at": _changed_at(),
        "to_rewrap": sum(n for kek_id, n in by_kek.items() if kek_id != ring.current.id),
        "schemas": schemas,
        "erasures": {
            "listed": len(listed),
            "missing": sum(erasure.key not in listed for erasure in tombstones),
        },
    }


def _changed_at() -> datetime | None:
    source = keys.keyring().source
    if not isinstance(source, FileSource):
        return None
    return datetime.fromtimestamp(source.path.stat().st_mtime, tz=UTC)


def rewrap_everywhere(*, batch: int, report: Report) -> dict[str, int]:
    """Wrap every data key under the current KEK, and return how many in each schema."""
    done = {}
    for schema in list_all_schemas():
        with entered(schema):
            done[schema] = encryption.rotate_kek(
                using=OWNER_ALIAS, batch=batch, report=partial(_report_count, report, schema)
            )
    return done


def _report_count(report: Report, schema: str, count: int) -> None:
    report(f"{schema}: {count} keys")


def drop_old_keks() -> list[str]:
    """Take every KEK out of the key file that wraps nothing, and return their ids."""
    in_use: set[str] = set()
    for schema in list_all_schemas():
        with entered(schema):
            in_use |= set(rotation.count_by_kek(using=OWNER_ALIAS, settled=True))
    return rotation.drop_keks(in_use)


def find_subject(subject_id: str, schemas: list[str]) -> dict[str, DataKey]:
    """Return the newest key of a subject in each schema that has one."""
    keys.check_subject(subject_id)
    found = {}
    for schema in schemas:
        with entered(schema):
            row = keys.find_newest(subject_id, using=OWNER_ALIAS)
            if row is not None:
                found[schema] = row
    return found


def erase_subject(
    subject_id: str, *, schemas: list[str], erased_by: str, reason: str, erased_at: datetime
) -> dict[str, Any]:
    """Destroy the subject's keys in these schemas, note it in their logs and in the list.

    Raises ``NobodyKnown`` where none of them has a key. Each schema is a transaction of its own;
    running it again finishes what a crash left.
    """
    found = find_subject(subject_id, schemas)
    if not found:
        raise NobodyKnown(f"No tenant has a key of {subject_id}.")
    outcome: dict[str, Any] = {}
    for schema, before in found.items():
        with entered(schema), transaction.atomic(using=OWNER_ALIAS):
            row = encryption.destroy_key(
                subject_id, destroyed_by=erased_by, reason=reason, at=erased_at, using=OWNER_ALIAS
            )
            if not before.is_destroyed:
                _note_erasure(subject_id, reason, erased_at)
        outcome[schema] = {
            "destroyed_at": row.destroyed_at,
            "was_destroyed_before": before.is_destroyed,
            "is_compacted": compact(schema),
        }
    return {"schemas": outcome, "listed": sync_erasure_list(schemas)}


def _note_erasure(subject_id: str, reason: str, at: datetime) -> None:
    kind, _, id_ = subject_id.partition(":")
    note(
        who=process("erase_subject"),
        action="subject.erased",
        subject=Subject(kind, id_) if id_ else Subject("subject", kind),
        at=at,
        why=reason,
        using=OWNER_ALIAS,
    )


def sync_erasure_list(schemas: list[str]) -> int:
    """Add to the list each destroyed key that it lacks, and return how many."""
    tombstones = []
    for schema in schemas:
        with entered(schema):
            tombstones += erasures.list_tombstones(schema, using=OWNER_ALIAS)
    return erasures.write_missing(erasure_list(), tombstones)


def compact(schema: str) -> bool:
    """Rewrite the table of keys, so that its file holds no destroyed one; tell whether it was.

    Takes an exclusive lock for as long as that takes; gives up after five seconds of waiting.
    """
    table = sql.Identifier(schema, DataKey._meta.db_table)
    try:
        with entered(schema), connections[OWNER_ALIAS].cursor() as cursor:
            cursor.execute("SET lock_timeout = '5s'")
            try:
                cursor.execute(sql.SQL("VACUUM (FULL) {}").format(table))
            finally:
                cursor.execute("SET lock_timeout = DEFAULT")
    except DatabaseError:
        return False
    return True


def plan_replay(listed: list[erasures.Erasure]) -> dict[str, list[erasures.Erasure]]:
    """Return the erasures of the list by schema, those of schemas that are not here left out."""
    plan: dict[str, list[erasures.Erasure]] = {schema: [] for schema in list_all_schemas()}
    for erasure in listed:
        if erasure.schema in plan:
            plan[erasure.schema].append(erasure)
    return {schema: found for schema, found in plan.items() if found}


def replay_erasures(
    plan: dict[str, list[erasures.Erasure]], *, replayed_at: datetime
) -> dict[str, erasures.Replay]:
    """Destroy again what a restored backup brought back, and note it in each schema's log."""
    outcome = {}
    for schema, found in plan.items():
        with entered(schema), transaction.atomic(using=OWNER_ALIAS):
            done = erasures.replay(found, using=OWNER_ALIAS)
            if done.destroyed or done.tombstones_made:
                note(
                    who=process("replay_erasures"),
                    action="erasures.replayed",
                    subject=Subject("schema", schema),
                    at=replayed_at,
                    after={"destroyed": done.destroyed, "tombstones": done.tombstones_made},
                    using=OWNER_ALIAS,
                )
        if done.destroyed:
            compact(schema)
        outcome[schema] = done
    return outcome
