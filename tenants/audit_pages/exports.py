"""Entries as files: CSV for a table, JSON for a program. Oldest first, contents opened."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any

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


def write_csv(file: IO[str], entries: Iterable[Entry]) -> int:
    """Write entries as CSV and return how many. Before and after are JSON in their cells."""
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    count = 0
    for row in _rows(entries):
        writer.writerow([safe_cell(_text(row[name])) for name in COLUMNS])
        count += 1
    return count


def write_json(file: IO[str], entries: Iterable[Entry]) -> int:
    """Write entries as one JSON array, an entry a line, and return how many."""
    count = 0
    file.write("[")
    for row in _rows(entries):
        file.write(",\n" if count else "\n")
        file.write(json.dumps(row, ensure_ascii=False))
        count += 1
    file.write("\n]\n")
    return count


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rows(entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
    rest = iter(entries)
    while batch := list(islice(rest, BATCH)):
        places = leaf_indexes(entry.number for entry in batch)
        for entry, opened in zip(batch, open_entries(batch), strict=True):
            actor = opened.actor.said if opened.actor else {}
            details = opened.details.said if opened.details else {}
            origin = actor.get("origin", {})
            yield {
                "index": places.get(entry.number),
                "number": entry.number,
                "recorded_at": f"{entry.inserted_at:%Y-%m-%dT%H:%M:%S.%fZ}",
                "at": f"{entry.at:%Y-%m-%dT%H:%M:%S.%fZ}",
                "kind": entry.kind,
                "action": entry.action,
                "who_kind": entry.who_kind,
                "who_id": entry.who_id,
                "who": actor.get("label"),
                "why": actor.get("why"),
                **{name: origin.get(name) for name in ("ip", "user_agent", "session")},
                "subject_type": entry.subject_type,
                "subject_id": entry.subject_id,
                "subject": details.get("label"),
                "before": details.get("before"),
                "after": details.get("after"),
            }
