"""Documents out of files that anybody may have written: refused with a sentence, or canonical."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any, Protocol

from openpyxl import load_workbook

from business import roi
from business.roi.reading import parse
from business.scenarios import tables
from business.scenarios.form import canonical

BYTES_MAX = 2 * 2**20
# What an XLSX file may be unpacked, and of how many parts it is made.
_UNPACKED_MAX = 16 * 2**20
_PARTS_MAX = 100
_SHEET = "Inputs"
# In which entities would be written in other bytes; no spreadsheet writes it.
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
ENDINGS = (".xlsx", ".csv", ".json")


class Readable(Protocol):
    """An uploaded file."""

    def read(self, num_bytes: int, /) -> bytes:
        """Return at most so many bytes."""


def read_file(name: str, file: Readable) -> dict[str, Any]:
    """Return the document of a file. Raises ``BadInput`` with all that is wrong."""
    content = file.read(BYTES_MAX + 1)
    if len(content) > BYTES_MAX:
        raise roi.BadInput(f"The file is larger than {BYTES_MAX // 2**20} MiB.")
    ending = name[name.rfind(".") :].lower()
    if ending == ".json":
        return canonical(parse(content))
    if ending == ".csv":
        return tables.from_csv(content)
    if ending == ".xlsx":
        return tables.from_cells(_read_sheet(content))
    raise roi.BadInput(f"The file's name has to end in {', '.join(ENDINGS)}.")


def _read_sheet(content: bytes) -> list[list[str]]:
    """Return the cells of the sheet of inputs as text; formulas as they are written."""
    _check_archive(content)
    try:
        with warnings.catch_warnings():
            # What the library does not read (pictures, drop-downs) is not ours.
            warnings.simplefilter("ignore")
            book = load_workbook(io.BytesIO(content), read_only=True, keep_links=False)
            if _SHEET not in book.sheetnames:
                raise roi.BadInput(f"The workbook has no sheet {_SHEET}.")
            sheet = book[_SHEET]
            # A sheet may claim any size; only its rows count.
            sheet.reset_dimensions()
            width = len(tables.COLUMNS)
            rows = sheet.iter_rows(max_row=tables.ROWS_MAX + 2, max_col=width)
            return [[_text(cell) for cell in row] for row in rows]
    except roi.BadInput:
        raise
    except Exception:  # noqa: BLE001  # The library fails in many ways on a broken file.
        raise roi.BadInput("The file is no workbook that can be read.") from None


def _check_archive(content: bytes) -> None:
    """Refuse an archive that unpacks to too much, or whose XML declares entities."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = archive.infolist()
            # The sizes that the archive states; reading beyond them fails.
            is_large = len(parts) > _PARTS_MAX or sum(p.file_size for p in parts) > _UNPACKED_MAX
            found = [] if is_large else [archive.read(part) for part in parts]
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError):
        raise roi.BadInput("The file is no workbook that can be read.") from None
    if is_large:
        raise roi.BadInput("The workbook unpacks to more than 16 MiB or 100 parts.")
    if any(b"<!DOCTYPE" in xml or b"<!ENTITY" in xml or xml[:2] in _UTF_16 for xml in found):
        raise roi.BadInput("The workbook's XML declares entities.")


def _text(cell: Any) -> str:
    """Return a cell as a CSV file would have it: a text is marked as such, a formula is not."""
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        return f"={str(value).lstrip('=')}"
    # A float by its shortest text: 0.1 is a tenth.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return tables.neutral(str(value))
