"""Finding, making and unwrapping data keys in the current schema.

A key that this transaction has made or destroyed is not kept in memory before the commit: should it
roll back, the process would seal with a key that no table holds, or refuse one that lives.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.db import connections, transaction
from django.views.decorators.debug import sensitive_variables

from audit.encryption import envelope
from audit.encryption.cache import CACHE, OpenKey
from audit.encryption.errors import SealBroken, SubjectErased
from audit.encryption.keyring import Kek, LiveKeyring, configured_source, hidden_frames
from audit.encryption.models import DataKey

_SUBJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,127}\Z")
# Written out: each request's first entry waits for it, and a queryset takes twice as long.
_NEWEST = (
    "SELECT DISTINCT ON (subject_id) id, subject_id, generation, kek_id, wrapped, destroyed_at"
    " FROM encryption_datakey WHERE subject_id = ANY(%s) ORDER BY subject_id, generation DESC"
)
_lock = threading.Lock()
_keyring: LiveKeyring | None = None


def keyring() -> LiveKeyring:
    """Return this process's key ring; raise ``KekUnusable`` where none is configured."""
    global _keyring
    with _lock:
        if _keyring is None:
            with hidden_frames() as found:
                found.append(configured_source(os.environ, settings.AII_HOME))
            _keyring = LiveKeyring(found[0])
        return _keyring


def forget_everything() -> None:
    """Drop every key that this process holds; the next use reads the settings anew."""
    global _keyring
    with _lock:
        _keyring = None
    CACHE.clear()


def schema_of(using: str) -> str:
    """Return the schema that the current context works for; raise where none was chosen."""
    schema: str | None = getattr(connections[using], "schema_name", None)
    if not schema:
        raise RuntimeError("sealing needs a schema: enter a tenant's context first")
    return schema


def check_subject(subject_id: str) -> None:
    """Raise ``ValueError`` for anything but a pseudonym."""
    if not _SUBJECT.match(subject_id):
        raise ValueError("a subject id is a pseudonym like person:<uuid>, of at most 128 signs")


def key_for(subject_id: str, *, using: str) -> OpenKey:
    """Return a subject's key, made where there never was one; raise ``SubjectErased``."""
    schema = schema_of(using)
    key = CACHE.get((schema, subject_id))
    if key is None:
        check_subject(subject_id)
        read_s = time.monotonic()
        row = find_newest(subject_id, using=using) or insert(subject_id, 1, using=using)
        key = _keep(schema, row, read_s, using)
    if key.cipher is None:
        raise SubjectErased(f"The key of {subject_id} was destroyed.")
    return key


def key_by_id(key_id: UUID, *, using: str) -> OpenKey:
    """Return a key by its id; raise ``SealBroken`` where the schema has none such."""
    schema = schema_of(using)
    key = CACHE.get((schema, key_id))
    if key is None:
        read_s = time.monotonic()
        row = DataKey.objects.using(using).filter(pk=key_id).first()
        if row is None:
            raise SealBroken(f"There is no key {key_id} here.")
        key = _keep(schema, row, read_s, using)
    return key


def keys_by_ids(key_ids: Iterable[UUID], *, using: str) -> dict[UUID, OpenKey]:
    """Return those of the keys that the schema has: one query for what is not in memory."""
    schema = schema_of(using)
    found = {key_id: CACHE.get((schema, key_id)) for key_id in key_ids}
    missing = [key_id for key_id, key in found.items() if key is None]
    if missing:
        read_s = time.monotonic()
        for row in DataKey.objects.using(using).filter(pk__in=missing):
            found[row.pk] = _keep(schema, row, read_s, using)
    return {key_id: key for key_id, key in found.items() if key is not None}


def fetch(subject_ids: Iterable[str], *, using: str) -> None:
    """Keep the keys that these subjects have in memory: one query for what is not there."""
    schema = schema_of(using)
    missing = [each for each in subject_ids if CACHE.get((schema, each)) is None]
    # One alone is fetched where it is used.
    if len(missing) > 1:
        read_s = time.monotonic()
        for row in _list_newest(missing, using):
            _keep(schema, row, read_s, using)


def find_newest(subject_id: str, *, using: str) -> DataKey | None:
    """Return a subject's newest key, be it a tombstone; None where there never was one."""
    return next(iter(_list_newest([subject_id], using)), None)


def _list_newest(subject_ids: list[str], using: str) -> Iterable[DataKey]:
    return DataKey.objects.using(using).raw(_NEWEST, [subject_ids])


@sensitive_variables()
def insert(subject_id: str, generation: int, *, using: str) -> DataKey:
    """Make a key of this generation, and return it or the one that somebody made meanwhile."""
    row = DataKey(subject_id=subject_id, generation=generation)
    kek = keyring().get().current
    row.wrapped = wrap(kek, secrets.token_bytes(envelope.KEY_BYTES), row, schema_of(using))
    row.kek_id = kek.id
    DataKey.objects.using(using).bulk_create([row], ignore_conflicts=True)
    found = DataKey.objects.using(using).get(subject_id=subject_id, generation=generation)
    if found.pk == row.pk:
        changed_here(found, using=using)
    return found


def wrap(kek: Kek, data_key: bytes, row: DataKey, schema: str) -> bytes:
    """Return a data key under a KEK, bound to its row and schema."""
    return kek.wrap(data_key, _bond(kek, row, schema))


def unwrap(kek: Kek, row: DataKey, schema: str) -> bytes:
    """Return the data key of a row that is not destroyed."""
    assert row.wrapped is not None
    return kek.unwrap(bytes(row.wrapped), _bond(kek, row, schema))


def _bond(kek: Kek, row: DataKey, schema: str) -> bytes:
    return envelope.additional_data(
        "aii/data-key/1", schema, row.subject_id, row.generation, str(row.pk), kek.id
    )


@dataclass(frozen=True)
class _ForgetAtCommit:
    """Waits among a transaction's callbacks, and so vanishes with what is rolled back."""

    schema: str
    key_id: UUID
    subject_id: str

    def __call__(self) -> None:
        CACHE.forget((self.schema, self.key_id), (self.schema, self.subject_id))


def changed_here(row: DataKey, *, using: str) -> None:
    """Note that this transaction made or destroyed a key: forget it now and at the commit."""
    forget = _ForgetAtCommit(schema_of(using), row.pk, row.subject_id)
    forget()
    transaction.on_commit(forget, using=using)


def _is_changed_here(key_id: UUID, using: str) -> bool:
    waiting = (entry[1] for entry in connections[using].run_on_commit)
    return any(isinstance(f, _ForgetAtCommit) and f.key_id == key_id for f in waiting)


@sensitive_variables()
def _keep(schema: str, row: DataKey, read_s: float, using: str) -> OpenKey:
    cipher = None
    if not row.is_destroyed:
        cipher = AESGCM(unwrap(keyring().find(row.kek_id), row, schema))
    key = OpenKey(row.pk, row.subject_id, row.generation, cipher)
    if not _is_changed_here(row.pk, using):
        CACHE.put((schema, row.pk), key, read_s=read_s)
        # A key that lives is its subject's newest: another is made only after its destruction.
        if cipher is not None:
            CACHE.put((schema, row.subject_id), key, read_s=read_s)
    return key
