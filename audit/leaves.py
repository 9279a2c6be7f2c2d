"""What a leaf of the log says, byte by byte: docs/reference/audit-log.md. Pure.

Lines in place of JSON: no two texts say the same, and the checked alphabet of the values has no
line break.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from audit.merkle import leaf_hash

_TIME = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# What entry_data takes after the schema, in its order.
ENTRY_COLUMNS_SQL = (
    "kind, number, xact::text AS xact_text, "
    + _TIME.format("inserted_at")
    + ", id::text, "
    + _TIME.format("at")
    + ", action, who_kind, who_id, subject_type, subject_id,"
    " actor, details, actor_digest, details_digest"
)


def entry_data(schema: str, row: Sequence[object]) -> bytes:
    """Return the leaf's data of a row of ``ENTRY_COLUMNS_SQL``; re-hashes both sealed parts."""
    kind, number, xact, inserted, id_, at, action, who_kind, who, type_, subject, *parts = row
    actor, details, actor_digest, details_digest = parts
    return (
        f"aii/{kind}/1\n{schema}\n{number}\n{xact}\n{inserted}\n{id_}\n{at}\n{action}\n"
        f"{who_kind}\n{who}\n{type_}\n{subject}\n"
        f"{sha256(actor).hexdigest()}\n{sha256(details).hexdigest()}\n"  # type: ignore[arg-type]
        f"{actor_digest.hex()}\n{details_digest.hex()}"  # type: ignore[attr-defined]
    ).encode()


def entry_hash(schema: str, row: Sequence[object]) -> bytes:
    """Return the leaf hash of an entry's row."""
    return leaf_hash(entry_data(schema, row))


def head_data(text: str) -> bytes:
    """Return the global leaf's data of a tenant's head: the text of its note that was signed."""
    return f"aii/head/1\n{text}".encode()
