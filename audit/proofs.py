"""The proof of one entry: its path to the newest signed head, and that head's to the global one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from audit import leaves, merkle, selectors
from audit.checkpoint import NoteRefused, parse_and_verify, parse_text, signed_text, verifier_key
from audit.signing import SigningKeys


@dataclass(frozen=True)
class EntryProof:
    """What a reader needs to recompute the way from an entry to the signed heads."""

    data: str
    index: int
    path: list[bytes]
    head: str
    global_index: int
    global_path: list[bytes]
    checkpoint: str
    key: str

    def as_json(self) -> dict[str, Any]:
        """Return it for a page: hashes in hex."""
        return {
            **vars(self),
            "path": [each.hex() for each in self.path],
            "global_path": [each.hex() for each in self.global_path],
        }


def find_proof(number: int, keys: SigningKeys) -> EntryProof | None:
    """Return the proof of an entry of the current schema; None while it waits for its place.

    Reads O(log n) tiles; verifies nothing, that is for whoever gets it.
    """
    index = selectors.find_place(number)
    if index is None:
        return None
    head = selectors.find_newest_head()
    checkpoint = selectors.find_newest_checkpoint()
    assert head is not None and checkpoint is not None, "a place comes with its heads"
    (placed,) = selectors.iterate_placed(index, index + 1)
    schema = str(connection.schema_name)  # type: ignore[attr-defined]
    return EntryProof(
        data=leaves.entry_data(schema, placed.row).decode(),
        index=index,
        path=merkle.inclusion_proof(index, head.size, selectors.log_tree().node),
        head=head.note,
        global_index=head.global_index,
        global_path=head_path(head.global_index, checkpoint),
        checkpoint=checkpoint,
        key=key_of(head.note, schema, keys),
    )


def head_path(global_index: int, checkpoint: str) -> list[bytes]:
    """Return the path of a tenant's head in the tree of a global head."""
    size = parse_text(signed_text(checkpoint)).size
    return merkle.inclusion_proof(global_index, size, selectors.global_tree().node)


def key_of(note: str, schema: str, keys: SigningKeys) -> str:
    """Return the key that signed a head, as verifiers write it; where none did, the newest."""
    for public in keys.keys:
        try:
            parse_and_verify(note, public.key, keys.origin(schema))
        except NoteRefused:
            continue
        return verifier_key(keys.log, public.key)
    return verifier_key(keys.log, keys.keys[-1].key)
