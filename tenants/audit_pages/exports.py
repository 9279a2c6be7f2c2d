"""Entries as files: CSV for a table, JSON for a program. Oldest first, contents opened."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import IO, Any

from django.db.models import QuerySet

from audit.models import Entry
from audit.reading import open_entries
from tenants.audit_pages.selectors import leaf_indexes

# Opened together: one query for their keys, one for their leaves.
BATCH = 500
COLUMNS = (
    *("index", "number", "recorded_at", "at", "kind", "action", "who_kind", "who_id", "who", "why"),
    *("ip", "user_agent", "session", "subject_type", "subject_id", "subject", "before", "after"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


# A row of these is several times cheaper to make than a model.
_READ = (
    *("number", "inserted_at", "id", "at", "kind", "action", "who_kind", "who_id"),
    *("subject_type", "subject_id", "actor", "details"),
)
# Made once: ``json.dumps`` with an option makes one each time.
_json = json.JSONEncoder(ensure_ascii=False).encode


def write_csv(file: IO[str], entries: QuerySet[Entry]) -> int:
    """Write entries as CSV and return how many. Before and after are JSON in their cells."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    count = 0
    for row in _rows(entries):
        writer.writerow([_cell(each) for each in row])
        count += 1
    return count


def write_json(file: IO[str], entries: QuerySet[Entry]) -> int:
    """Write entries as one JSON array, an entry a line, and return how many."""
    count = 0
    file.write("[")
    for row in _rows(entries):
        file.write((",\n" if count else "\n") + _json(dict(zip(COLUMNS, row, strict=True))))
        count += 1
    file.write("\n]\n")
    return count


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return safe_cell(value)
    return value if value is None or isinstance(value, int) else _json(value)


def _rows(entries: QuerySet[Entry]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of ``COLUMNS`` for each entry."""
    rest = entries.values_list(*_READ, named=True).iterator(chunk_size=BATCH)
    while batch := list(islice(rest, BATCH)):
        places = leaf_indexes(entry.number for entry in batch)
        for entry, opened in zip(batch, open_entries(batch), strict=True):
            actor = opened.actor.said if opened.actor else {}
            details = opened.details.said if opened.details else {}
            origin = actor.get("origin", {})
            yield (
                places.get(entry.number),
                entry.number,
                _time(entry.inserted_at),
                _time(entry.at),
                entry.kind,
                entry.action,
                entry.who_kind,
                entry.who_id,
                actor.get("label"),
                actor.get("why"),
                origin.get("ip"),
                origin.get("user_agent"),
                origin.get("session"),
                entry.subject_type,
                entry.subject_id,
                details.get("label"),
                details.get("before"),
                details.get("after"),
            )


def _time(at: datetime) -> str:
    # In UTC, as Django reads them; strftime takes ten times as long.
    return at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
