"""Changing the KEKs of a key file: a new one in front, and old ones taken away.

Every process reads the file again before it wraps a key, so nobody stops. Other sources are changed
where they are kept: in the environment or the vault.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from django.db import connections, transaction
from django.db.models import Count

from audit.encryption import keys
from audit.encryption.errors import KekUnusable
from audit.encryption.keyring import KEKS_MAX, FileSource, new_key_text, parse_keyring
from audit.encryption.models import DataKey

# A process reads the file, wraps and inserts within milliseconds; what it began before a new KEK
# came is in the table by then.
SETTLE_S = 60.0


class NotNow(KekUnusable):
    """The KEKs cannot be changed like this at this moment."""

    code = "kek_not_now"


def key_file() -> FileSource:
    """Return the configured key file; raise ``NotNow`` where the KEKs come from elsewhere."""
    source = keys.keyring().source
    if not isinstance(source, FileSource):
        raise NotNow("These keys are not in a file: change them where they are kept.")
    return source


def add_kek() -> str:
    """Put a new KEK in front of the key file, and return its id; the others still unwrap."""
    source = key_file()
    with _sole_writer(source), keys.hidden_frames():
        entries = source.read().replace(",", " ").split()
        if len(entries) >= KEKS_MAX:
            raise NotNow(f"The key file holds {len(entries)} keys already: drop old ones first.")
        source.write("".join(f"{entry}\n" for entry in [new_key_text(), *entries]))
    return keys.keyring().get().current.id


def drop_keks(in_use: Collection[str]) -> list[str]:
    """Take the KEKs out of the key file that are neither current nor in use; return their ids.

    Raises ``NotNow`` while the current KEK is younger than ``SETTLE_S``.
    """
    source = key_file()
    with _sole_writer(source), keys.hidden_frames():
        age_s = time.time() - source.path.stat().st_mtime
        if age_s < SETTLE_S:
            raise NotNow(
                f"The key file changed {age_s:.0f} s ago. Drop old keys after {SETTLE_S:.0f} s: a "
                "process may still be writing a key under the old one."
            )
        entries = source.read().replace(",", " ").split()
        ids = parse_keyring(" ".join(entries), "the key file").ids
        kept = [place for place, id_ in enumerate(ids) if place == 0 or id_ in in_use]
        dropped = [id_ for place, id_ in enumerate(ids) if place not in kept]
        if dropped:
            source.write("".join(f"{entries[place]}\n" for place in kept))
    return dropped


def count_by_kek(*, using: str, settled: bool = False) -> dict[str, int]:
    """Return how many living keys of this schema each KEK wraps.

    With ``settled`` waits for every transaction that is writing keys, so that none is missed.
    """
    with transaction.atomic(using=using):
        if settled:
            with connections[using].cursor() as cursor:
                cursor.execute("LOCK TABLE encryption_datakey IN SHARE MODE")
        rows = DataKey.objects.using(using).filter(destroyed_at=None).values("kek_id")
        return dict(rows.annotate(keys=Count("*")).values_list("kek_id", "keys"))


@contextmanager
def _sole_writer(source: FileSource) -> Iterator[None]:
    folder = os.open(source.path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
