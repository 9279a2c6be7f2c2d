"""The roadmap as files: one row for each task and each criterion."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

COLUMNS = (
    *("phase", "phase_state", "starts_on", "ends_on", "kind", "title", "state", "owner"),
    *("due_on", "target", "measured", "note"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(rows: list[dict[str, Any]]) -> str:
    """Return the rows as CSV; an unknown value is an empty cell, and no cell is a formula."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in COLUMNS])
    return file.getvalue()


def to_json(rows: list[dict[str, Any]], measured_at: str) -> str:
    """Return the rows as one JSON object; an unknown value is null."""
    return json.dumps({"measured_at": measured_at, "rows": rows}, ensure_ascii=False, indent=1)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
