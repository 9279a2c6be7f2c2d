"""Sealing content for a subject, opening it, and destroying the key so that nobody can again.

All work in the current schema, in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from audit.encryption import envelope, keys
from audit.encryption.cache import OpenKey
from audit.encryption.errors import SealBroken, SubjectErased, SubjectUnknown
from audit.encryption.models import DataKey

CONTEXT_LENGTH_MAX = 300
BATCH = 500


@sensitive_variables()
def seal(subject_id: str, plaintext: bytes, *, context: str, using: str = "default") -> bytes:
    """Return the content under the subject's key, bound to this schema, subject and context.

    ``context`` names the place, such as ``monitoring_alert|acknowledged_note``. A subject without
    a key gets one, in the current transaction. Raises ``SubjectErased`` and ``KekUnusable``. No
    query while the key is in memory (``cache.KEEP_S``), else one.
    """
    key = keys.key_for(subject_id, using=using)
    assert key.cipher is not None
    bond = _bond(keys.schema_of(using), context, subject_id, key.generation)
    return envelope.seal(key.cipher, key.id, plaintext, bond)


def fetch_keys(subject_ids: Iterable[str], *, using: str = "default") -> None:
    """Fetch the keys of several subjects, about whom something is sealed next, with one query."""
    keys.fetch(subject_ids, using=using)


@sensitive_variables()
def open_sealed(
    sealed: bytes, *, context: str, subject_id: str | None = None, using: str = "default"
) -> bytes | None:
    """Return the content, or None once the key is destroyed.

    Raises ``SealBroken`` for anything altered, moved or unknown. Only with ``subject_id`` is
    content of another subject refused: without it the key's own subject is taken.
    """
    parts = envelope.take_apart(bytes(sealed))
    key = keys.key_by_id(parts.key_id, using=using)
    if subject_id is not None and subject_id != key.subject_id:
        raise SealBroken("The content was sealed for another subject.")
    return _open(parts, key, keys.schema_of(using), context)


@sensitive_variables()
def open_many(
    pieces: Iterable[tuple[bytes, str]], *, using: str = "default"
) -> list[bytes | SealBroken | None]:
    """Return what ``open_sealed`` says of each (sealed, context): one query at most for all keys.

    A ``SealBroken`` stands in the place of what does not open, and stops nothing else.
    """
    asked, schema = list(pieces), keys.schema_of(using)
    found = keys.keys_by_ids(envelope.key_ids(sealed for sealed, _ in asked), using=using)
    opened: list[bytes | SealBroken | None] = []
    for sealed, context in asked:
        try:
            parts = envelope.take_apart(sealed)
            key = found.get(parts.key_id)
            if key is None:
                raise SealBroken(f"There is no key {parts.key_id} here.")
            opened.append(_open(parts, key, schema, context))
        except SealBroken as problem:
            opened.append(problem)
    return opened


def subject_of(sealed: bytes, *, using: str = "default") -> str:
    """Return whose content it is; raise ``SealBroken`` where the key is unknown."""
    return keys.key_by_id(envelope.take_apart(bytes(sealed)).key_id, using=using).subject_id


def ensure_key(subject_id: str, *, renew: bool = False, using: str = "default") -> UUID:
    """Return the id of the subject's key, made where there never was one.

    After a destruction raises ``SubjectErased``; with ``renew`` makes a new key, which opens
    nothing of what the old one sealed.
    """
    if not renew:
        return keys.key_for(subject_id, using=using).id
    keys.check_subject(subject_id)
    newest = keys.find_newest(subject_id, using=using)
    if newest is not None and not newest.is_destroyed:
        return newest.pk
    generation = 1 if newest is None else newest.generation + 1
    row = keys.insert(subject_id, generation, using=using)
    if row.is_destroyed:
        raise SubjectErased(f"The key of {subject_id} was destroyed at this moment.")
    return row.pk


def destroy_key(
    subject_id: str, *, destroyed_by: str, reason: str, at: datetime, using: str = "default"
) -> DataKey:
    """Destroy the subject's key, and return the tombstone; a second time changes nothing.

    Raises ``SubjectUnknown`` for a subject that never had a key. Locks the key's row. Other
    processes stop within ``cache.KEEP_S`` of the commit. What is left of the wrapped key in old
    pages, in the write-ahead log and in backups: docs/explanation/encryption.md.
    """
    keys.check_subject(subject_id)
    if not destroyed_by:
        raise ValueError("say who destroys the key")
    with transaction.atomic(using=using):
        rows = DataKey.objects.using(using).select_for_update().filter(subject_id=subject_id)
        row = rows.order_by("-generation").first()
        if row is None:
            raise SubjectUnknown(f"{subject_id} never had a key.")
        if not row.is_destroyed:
            row.wrapped, row.destroyed_at = None, at
            row.destroyed_by, row.reason = destroyed_by, reason
            row.save(using=using)
            keys.changed_here(row, using=using)
    return row


def rotate_kek(
    *,
    using: str = "default",
    batch: int = BATCH,
    report: Callable[[int], None] | None = None,
) -> int:
    """Wrap every data key of this schema under the current KEK, and return how many were.

    A batch is one transaction, and what is left to do stands in the rows: a rotation that was
    killed goes on where it stopped, and two at once do no harm. Content stays as it is. Raises
    ``KekUnusable`` where a row's KEK is not configured.
    """
    done = 0
    while count := _rewrap_batch(batch, using):
        done += count
        if report:
            report(done)
    return done


@sensitive_variables()
def _rewrap_batch(batch: int, using: str) -> int:
    schema, ring = keys.schema_of(using), keys.keyring()
    kek = ring.get().current
    with transaction.atomic(using=using):
        stale = DataKey.objects.using(using).filter(destroyed_at=None).exclude(kek_id=kek.id)
        rows = list(stale.select_for_update().order_by("pk")[:batch])
        for row in rows:
            old = ring.find(row.kek_id)
            # Nested: no variable holds the data key.
            row.wrapped = keys.wrap(kek, keys.unwrap(old, row, schema), row, schema)
            row.kek_id = kek.id
        DataKey.objects.using(using).bulk_update(rows, ["wrapped", "kek_id"])
    return len(rows)


def _open(parts: envelope.Parts, key: OpenKey, schema: str, context: str) -> bytes | None:
    if key.cipher is None:
        return None
    bond = _bond(schema, context, key.subject_id, key.generation)
    return envelope.open_parts(key.cipher, parts, bond)


def _bond(schema: str, context: str, subject_id: str, generation: int) -> bytes:
    if not 0 < len(context) <= CONTEXT_LENGTH_MAX:
        raise ValueError(f"a context has 1 to {CONTEXT_LENGTH_MAX} signs")
    return envelope.additional_data("aii/sealed/1", schema, context, subject_id, generation)
