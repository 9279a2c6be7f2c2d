"""Writing a bundle: all entries of a window, and the proof that they are all.

docs/reference/audit-log.md has the layout, ``audit/verify_bundle.py`` reads it alone.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import IO, Any

from django.db import connection

from audit import merkle, selectors
from audit.checkpoint import verifier_key
from audit.models import Entry
from audit.proofs import head_path
from audit.reading import Opened, Part, open_entries
from audit.selectors import Head, PlacedEntry
from audit.signing import SigningKeys

BATCH = 500
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
# The values of a row in the order of leaves.ENTRY_COLUMNS_SQL, before the two parts.
_NAMES = (
    *("kind", "number", "xact", "inserted_at", "id", "at", "action"),
    *("who_kind", "who_id", "subject_type", "subject_id"),
)


class NothingSigned(Exception):
    """The log has no signed head yet."""


@dataclass(frozen=True)
class Window:
    """A time of integration, and the two heads that cover it; no ``start``: from the beginning."""

    since: datetime | None
    until: datetime
    start: Head | None
    end: Head

    @property
    def first(self) -> int:
        """The place of the first entry."""
        return self.start.size if self.start else 0

    @property
    def count(self) -> int:
        """How many entries there are between the heads."""
        return self.end.size - self.first

    @property
    def covered_to(self) -> datetime:
        """Until when the window is covered: there may be no later head yet."""
        return min(self.until, self.end.made_at)


def find_window(since: datetime | None, until: datetime) -> Window:
    """Return the window of the current schema's log. Raises ``NothingSigned``."""
    end = selectors.find_head_at_or_after(until) or selectors.find_newest_head()
    if end is None:
        raise NothingSigned("Nothing is signed yet in this log.")
    start = selectors.find_head_at_or_before(since) if since else None
    return Window(since, until, start, end)


def write_bundle(
    file: IO[str],
    keys: SigningKeys,
    window: Window,
    *,
    shows: Callable[[Entry], bool] = lambda entry: True,
) -> None:
    """Write the bundle of a window as one JSON object.

    Every entry between the two heads is written; the contents of those for which ``shows`` is
    false are withheld. O(entries); keeps a batch of them in memory.
    """
    checkpoint = selectors.find_newest_checkpoint()
    assert checkpoint is not None, "a head comes with its global head"
    start, end, node = window.start, window.end, selectors.log_tree().node
    head = {
        "format": "aii-bundle/1",
        "log": keys.log,
        "tenant": str(connection.schema_name),  # type: ignore[attr-defined]
        "window": {
            "from": stamp(window.since or BEGINNING),
            "to": stamp(window.until),
            "covered_to": stamp(window.covered_to),
        },
        "keys": [verifier_key(keys.log, each.key) for each in keys.keys],
        "start": {"size": window.first, "note": start.note if start else None},
        "end": {"size": end.size, "note": end.note, "global_index": end.global_index},
        "checkpoint": checkpoint,
        "proofs": {
            "head_inclusion": _texts(head_path(end.global_index, checkpoint)),
            "consistency": _texts(merkle.consistency_proof(window.first, end.size, node)),
            "range": _texts(merkle.range_proof(window.first, end.size, end.size, node)),
        },
    }
    file.write(json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}"))
    file.write(',\n "entries": [')
    for count, entry in enumerate(_entries(window, shows)):
        file.write(",\n" if count else "\n")
        file.write(json.dumps(entry, ensure_ascii=False))
    file.write("\n]}\n")


def stamp(at: datetime) -> str:
    """Return a time as the log writes it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _entries(window: Window, shows: Callable[[Entry], bool]) -> Iterator[dict[str, Any]]:
    rest = selectors.iterate_placed(window.first, window.end.size)
    while batch := list(islice(rest, BATCH)):
        rows = [_row(placed) for placed in batch]
        shown = [row for row in rows if shows(row)]
        opened = dict(zip((row.number for row in shown), open_entries(shown), strict=True))
        for placed, row in zip(batch, rows, strict=True):
            yield _entry(placed, row, opened.get(row.number))


def _row(placed: PlacedEntry) -> Entry:
    """Return the entry as the model has it, its times left as text."""
    values = dict(zip(_NAMES, placed.row, strict=False))
    actor, details, actor_digest, details_digest = map(bytes, placed.row[len(_NAMES) :])
    return Entry(
        **values,
        actor=actor,
        details=details,
        actor_digest=actor_digest,
        details_digest=details_digest,
    )


def _entry(placed: PlacedEntry, row: Entry, opened: Opened | None) -> dict[str, Any]:
    parts = {name: _withheld(row, name) for name in ("actor", "details")}
    if opened is not None:
        parts = {
            "actor": _shown(row, "actor", opened.actor),
            "details": _shown(row, "details", opened.details),
        }
    return {
        "index": placed.index,
        **{name: getattr(row, name) for name in _NAMES},
        "leaf": placed.hash.hex(),
        **parts,
    }


def _shown(row: Entry, name: str, part: Part | None) -> dict[str, Any]:
    return {
        "sealed": base64.b64encode(getattr(row, name)).decode(),
        "digest": getattr(row, f"{name}_digest").hex(),
        "opened": {"salt": part.salt, "text": part.text} if part else None,
    }


def _withheld(row: Entry, name: str) -> dict[str, Any]:
    return {
        "sealed_digest": sha256(getattr(row, name)).hexdigest(),
        "digest": getattr(row, f"{name}_digest").hex(),
        "opened": None,
    }


def _texts(hashes: list[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]
