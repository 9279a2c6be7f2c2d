"""Bodies as text: one row a body, in and out."""

from __future__ import annotations

import csv
import io

import numpy as np

from simulation.engine.errors import BadRequest
from simulation.engine.scenarios import Bodies

COLUMNS = ("body", "mass", "x", "y", "z", "vx", "vy", "vz")
RADIUS = "radius"
BODIES_MAX = 100_000
_NAME_MAX = 80
_SENTENCES_MAX = 20


class BadRows(BadRequest):
    """Rows that will not do: ``sentences`` says of the first ones why, by line."""

    def __init__(self, sentences: list[str]) -> None:
        """Keep the first sentences; the message is the first and how many more there are."""
        more = len(sentences) - 1
        rest = f" {more} more {'rows' if more > 1 else 'row'} will not do." if more else ""
        super().__init__(sentences[0] + rest)
        self.sentences = tuple(sentences[:_SENTENCES_MAX])
        self.count = len(sentences)


def read_bodies(text: str, *, bodies_max: int = BODIES_MAX) -> Bodies:
    """Return the bodies of CSV text with the columns body, mass, x, y, z, vx, vy, vz; radius may be
    one more, for collisions.

    Columns in any order, in units of the caller's (``units.convert_bodies``); a column may name its
    own (``x_au``), which is not looked at. Lines that start with # are left out. Raises
    ``BadRequest``, and ``BadRows`` with a sentence for each line that will not do.
    """
    head, rows = _rows(text, bodies_max)
    columns = COLUMNS + ((RADIUS,) if _fits(head, RADIUS) else ())
    places = _places(head, columns)
    names, numbers, wrong = [], np.empty((len(rows), len(columns) - 1)), []
    for i, (line, row) in enumerate(rows):
        try:
            if len(row) != len(head):
                raise BadRequest(f"Line {line} has {len(row)} columns, the first line {len(head)}.")
            names.append(_name(row[places[0]], line))
            numbers[i] = [_number(row[places[k]], columns[k], line) for k in range(1, len(columns))]
        except BadRequest as refusal:
            wrong.append(str(refusal))
    if wrong:
        raise BadRows(wrong)
    _check_names(names, [line for line, _ in rows])
    return Bodies(
        tuple(names),
        np.ascontiguousarray(numbers[:, 0]),
        np.ascontiguousarray(numbers[:, 1:4]),
        np.ascontiguousarray(numbers[:, 4:7]),
        np.ascontiguousarray(numbers[:, 7]) if len(columns) > len(COLUMNS) else None,
    )


def _rows(text: str, bodies_max: int) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and each row with its line."""
    lines = [
        (number, line)
        for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise BadRequest("There is no body: the file is empty.")
    if len(lines) == 1:
        raise BadRequest("There is no body: the file holds the names of its columns alone.")
    if len(lines) - 1 > bodies_max:
        raise BadRequest(f"A file may hold {bodies_max} bodies, not {len(lines) - 1}.")
    reader, rows = csv.reader([f"{line}\n" for _, line in lines], strict=True), []
    try:
        # What is quoted may go on over several lines: a row is found by its last.
        rows = [(lines[reader.line_num - 1][0], row) for row in reader]
    except csv.Error as error:
        line = lines[min(reader.line_num, len(lines)) - 1][0]
        raise BadRequest(f"The file is no CSV: {error} in line {line}.") from None
    return rows[0][1], rows[1:]


def write_bodies(bodies: Bodies) -> str:
    """Return what ``read_bodies`` reads; each number is written to give the same bits back."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    radii = [] if bodies.radius is None else [bodies.radius]
    writer.writerow([*COLUMNS, *(RADIUS for _ in radii)])
    table = np.column_stack([bodies.mass, bodies.position, bodies.velocity, *radii])
    for name, row in zip(bodies.names, table.tolist(), strict=True):
        writer.writerow([name, *map(repr, row)])
    return file.getvalue()


def _fits(head: list[str], column: str) -> list[int]:
    """Return where a column stands."""
    plain = [cell.strip().lower() for cell in head]
    return [i for i, cell in enumerate(plain) if cell == column or _is_with_unit(cell, column)]


def _places(head: list[str], columns: tuple[str, ...]) -> list[int]:
    """Return where each of the columns stands."""
    places = []
    for column in columns:
        fits = _fits(head, column)
        if len(fits) != 1:
            raise BadRequest(
                f"The first line names the columns {', '.join(columns)}, each once; "
                f"{column} is there {len(fits)} times."
            )
        places.append(fits[0])
    return places


def _is_with_unit(cell: str, column: str) -> bool:
    return column != "body" and cell.startswith(f"{column}_")


def _name(cell: str, line: int) -> str:
    name = cell.strip()
    if not name or len(name) > _NAME_MAX or not name.isprintable():
        raise BadRequest(f"The body of line {line} needs a name of 1 to {_NAME_MAX} characters.")
    return name


def _number(cell: str, column: str, line: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise BadRequest(f"{column} in line {line} must be a number, not {cell[:40]!r}.") from None
    if not np.isfinite(value):
        raise BadRequest(f"{column} in line {line} must be finite, not {cell[:40]!r}.")
    if column in ("mass", RADIUS) and value < 0.0:
        raise BadRequest(f"The {column} in line {line} must not be negative, not {cell[:40]!r}.")
    return value


def _check_names(names: list[str], lines: list[int]) -> None:
    seen: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if name in seen:
            raise BadRequest(
                f"Two bodies are called {name!r}, in lines {seen[name]} and {line}; give each a "
                "name of its own."
            )
        seen[name] = line
