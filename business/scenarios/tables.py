"""A document as a table, a row a place: the CSV file, and the first sheet of the workbook.

Numbers stand as the document has them, rates and shares as fractions. Reading goes through the
form's texts, so a table is judged by the same sentences.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from business import roi
from business.roi.amounts import shown
from business.scenarios import outline
from business.scenarios.amounts import to_text
from business.scenarios.form import ScenarioForm, flatten

COLUMNS = (
    *("Path", "Input", "Unit", "Kind", "First", "Second", "Third", "Drawn"),
    *("Rests on", "Source", "Year", "Address", "Note"),
)
ROWS_MAX = 5000
_TEXT_MAX = 400
# What a spreadsheet would take for a formula.
_RISKY = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?", re.ASCII)
_PLACES = {
    place.key: place
    for place in (*outline.HEAD, outline.RAMP, *(p for k in outline.KINDS for p in k.places))
} | {name: outline.Place(name, "", "rate", "%") for name in outline.PLAIN_RATES}


@dataclass(frozen=True)
class Row:
    """One place of a document. ``kind`` is text, or the shape of a number."""

    path: str
    title: str = ""
    unit: str = ""
    kind: str = "text"
    first: str = ""
    second: str = ""
    third: str = ""
    drawn: str = ""
    basis: str = ""
    source: str = ""
    year: str = ""
    url: str = ""
    note: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """Its cells, in the order of ``COLUMNS``."""
        return tuple(getattr(self, field.name) for field in fields(self))


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """Return a checked document as rows: its texts, then its numbers."""
    held = {each.path: each for each in outline.numbers_of(document)}
    numbers = tuple(f"{path}." for path in (*held, *(place.key for place in outline.HEAD)))
    places = tuple(f".{place.key}.shape" for kind in outline.KINDS for place in kind.places)
    rows = [
        Row(path, first=to_text(document[path]) if path in outline.PLAIN_RATES else text)
        for path, text in flatten(document).items()
        if text and not path.startswith(numbers) and not path.endswith(places)
    ]
    return rows + [_number_row(each, str(document["currency"])) for each in held.values()]


def _number_row(held: outline.Held, currency: str) -> Row:
    notes = {name: str(text) for name, text in outline.notes_of(held.value).items()}
    parts = [to_text(part) for part in outline.parts_of(held.value)]
    is_yearly = isinstance(held.value, Mapping) and held.value.get("draw") == "yearly"
    unit = held.place.unit.replace("{currency}", currency)
    return Row(
        path=held.path,
        title=held.title,
        unit="share" if held.place.is_percent else unit,
        kind=outline.shape_of(held.value),
        **dict(zip(("first", "second", "third"), parts, strict=False)),
        drawn="yearly" if is_yearly else "",
        **notes,
    )


def document_of(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the document that rows describe. Raises ``BadInput`` with all that is wrong."""
    values: dict[str, str] = {}
    for row in rows:
        if row.path in values or f"{row.path}.shape" in values:
            raise roi.BadInput(f"{shown(row.path)} stands twice in the table.")
        values |= _values(row)
    form = ScenarioForm(values)
    document = form.check()
    if document is None:
        raise roi.BadInput(form.problems)
    return document


def _values(row: Row) -> dict[str, str]:
    key = row.path.rpartition(".")[2]
    head = row.path.partition(".")[0]
    place = _PLACES.get(head if head in _PLACES else key)
    percent = place is not None and place.is_percent
    if row.kind == "text":
        return {row.path: _percent(row.path, row.first) if percent else row.first}
    values = {f"{row.path}.shape": row.kind}
    for part, text in zip("abc", (row.first, row.second, row.third), strict=True):
        values[f"{row.path}.{part}"] = _percent(row.path, text) if percent else text
    values[f"{row.path}.draw"] = row.drawn
    for name in ("basis", "source", "year", "url", "note"):
        values[f"{row.path}.{name}"] = getattr(row, name)
    return values


def _percent(path: str, text: str) -> str:
    """Return a fraction in percent, as the form has it."""
    if text and not _NUMBER.fullmatch(text):
        sentence = f"This must be a fraction, as 0.1 for 10 %, not {shown(text)}."
        raise roi.BadInput([roi.Problem(path, sentence)])
    return to_text(text, percent=True)


# --- CSV -----------------------------------------------------------------------------------------


def to_csv(document: Mapping[str, Any]) -> str:
    """Return the table as CSV; no cell is one that a spreadsheet computes."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows_of(document):
        writer.writerow([neutral(text) for text in row.texts])
    return file.getvalue()


def neutral(text: str) -> str:
    """Return a cell with an apostrophe before what would be computed; numbers stay."""
    return f"'{text}" if text.startswith(_RISKY) and not _NUMBER.fullmatch(text) else text


def from_csv(content: bytes) -> dict[str, Any]:
    """Return the document of a CSV file. Raises ``BadInput``."""
    try:
        text = content.decode("utf-8-sig")
        # A semicolon, where Excel writes one in its own language.
        delimiter = ";" if text.partition("\n")[0].count(";") > 3 else ","
        lines = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except UnicodeDecodeError:
        raise roi.BadInput("The file is not UTF-8. Save it as CSV UTF-8.") from None
    except csv.Error:
        raise roi.BadInput("The file is no CSV table.") from None
    return from_cells(lines)


def from_cells(lines: list[list[str]]) -> dict[str, Any]:
    """Return the document of a table's cells, its heading included. Raises ``BadInput``."""
    if len(lines) > ROWS_MAX:
        raise roi.BadInput(f"The table has more than {ROWS_MAX} rows.")
    heading = [cell.strip() for cell in lines[0]] if lines else []
    if heading[: len(COLUMNS)] != list(COLUMNS):
        raise roi.BadInput(f"The table's first row must be: {', '.join(COLUMNS)}.")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        cells = [cell.strip() for cell in line[: len(COLUMNS)]]
        if not any(cells):
            continue
        if any(len(cell) > _TEXT_MAX for cell in cells):
            raise roi.BadInput(f"A cell of row {number} has more than {_TEXT_MAX} characters.")
        rows.append(_row([_plain(cell, number) for cell in cells]))
    return document_of(rows)


def _plain(cell: str, number: int) -> str:
    """Return a cell without the apostrophe of ``neutral``; refuse a formula."""
    if cell.startswith("'") and cell[1:].startswith(_RISKY):
        return cell[1:]
    if cell.startswith("="):
        raise roi.BadInput(f"Row {number} has a formula, {shown(cell)}: put its value there.")
    return cell


def _row(cells: list[str]) -> Row:
    cells += [""] * (len(COLUMNS) - len(cells))
    # Written by hand, "Published" is what we call published.
    cells[3], cells[8] = cells[3].lower() or "text", cells[8].lower()
    return Row(*cells)
