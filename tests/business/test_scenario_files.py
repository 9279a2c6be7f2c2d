"""Scenarios as files: the workbook computes the calculator's numbers by formulas of its own; what
is exported can be imported; what is hostile is refused with a sentence.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from openpyxl import load_workbook

from business import roi
from business.scenarios import importing, tables, workbook
from business.scenarios.form import canonical
from tests import objects
from tests.business.cases import certain, full
from tests.business.formulas import Book
from tests.business.test_scenarios import DOCUMENTS, save

pytestmark = pytest.mark.django_db

MORE = {
    "start": full(timing="start", ramp_up=None, correlations=None),
    "real and written off": full(rate_kind="real", depreciation_years=2, horizon_years=3),
    "no tax": full(tax_rate=None, depreciation_years=None, inflation=None),
    "never pays back": certain(benefits=[], current_costs=[{"name": "old", "annual": 10}]),
}


def computed(content: bytes) -> tuple[dict[str, float], Book]:
    """Return the measures as the formulas give them."""
    book = Book(load_workbook(io.BytesIO(content)))
    rows = book.book["Results"].iter_rows(min_row=8, max_col=2)
    titles = {row[0].value: row[1].coordinate for row in rows if row[1].value is not None}
    return {title: book.value("Results", cell) for title, cell in titles.items()}, book


def check_cached(content: bytes, book: Book) -> None:
    """Check that a viewer that does not calculate shows what the formulas give."""
    shown = load_workbook(io.BytesIO(content), data_only=True)
    for sheet in ("Inputs", "Years"):
        for row in book.book[sheet].iter_rows():
            for cell in row:
                if str(cell.value).startswith("="):
                    value = shown[sheet][cell.coordinate].value
                    expected = book.value(sheet, cell.coordinate)
                    if expected == "":
                        assert value in ("", None), cell
                    else:
                        assert value == pytest.approx(expected, rel=1e-9, abs=1e-6), cell


@pytest.mark.parametrize("name", [*DOCUMENTS, *MORE])
def test_the_workbooks_formulas_give_the_calculators_numbers(name, in_acme, operator):
    document = {**DOCUMENTS, **MORE}[name]
    version = save(operator, document)
    content = workbook.to_xlsx(version)
    found, book = computed(content)
    valued = roi.value_scenario(roi.read_scenario(document))
    expected = {
        "Net present value": valued.measures.npv,
        "Return on investment": valued.measures.roi,
        "Benefit-cost ratio": valued.measures.bcr,
        "Saved a year, before tax": valued.annual_savings,
        "Cost of ownership today": valued.tco_current.total,
        "Cost of ownership proposed": valued.tco_proposed.total,
        "Payback, years": valued.measures.payback_years or "not reached",
    }
    if valued.scenario.timing == "end" and valued.measures.irr is not None:
        expected["Internal rate of return"] = valued.measures.irr
        expected["Modified internal rate of return"] = valued.measures.mirr
    for title, value in expected.items():
        if isinstance(value, str):
            assert found[title] == value
        else:
            assert found[title] == pytest.approx(float(value), rel=1e-9, abs=1e-6), title
    check_cached(content, book)
    assert all(sheet.page_setup.fitToHeight == 0 for sheet in book.book), "printed a page wide"
    # Every cell of the years is a formula that can be followed, or a constant of no input.
    years = book.book["Years"]
    formulas = [c.value for row in years.iter_rows() for c in row if str(c.value).startswith("=")]
    assert sum("Inputs!" in formula for formula in formulas) > 10


def test_a_changed_input_moves_the_workbooks_result(in_acme, operator):
    loaded = load_workbook(io.BytesIO(workbook.to_xlsx(save(operator, certain()))))
    cell = next(row[4] for row in loaded["Inputs"].iter_rows() if row[0].value == "discount_rate")
    assert cell.value == 0.1
    cell.value = 0.2
    file = io.BytesIO()
    loaded.save(file)
    found, _ = computed(file.getvalue())
    expected = roi.value_scenario(roi.read_scenario(certain(discount_rate="0.2"))).measures.npv
    assert found["Net present value"] == pytest.approx(float(expected), abs=1e-9)


EVIL = '=HYPERLINK("http://evil.example")'


@pytest.mark.parametrize("ending", ["json", "csv", "xlsx"])
@pytest.mark.parametrize("name", [*DOCUMENTS, "evil"])
def test_what_is_exported_is_imported_as_it_was(name, ending, in_acme, operator, client_for):
    document = {**DOCUMENTS, "evil": certain(name=EVIL, description="+1", industry="@x")}[name]
    version = save(operator, document)
    client = client_for(operator, "acme")
    sent = client.get(f"/roi/{version.scenario_id}/scenario.{ending}")
    assert sent["Content-Disposition"].endswith(f'-v1.{ending}"')
    found = importing.read_file(f"x.{ending}", io.BytesIO(sent.content))
    assert roi.read_scenario(found).inputs() == roi.read_scenario(version.document).inputs()
    assert {**found, "name": ""} == {**version.document, "name": ""}
    page = client.post("/roi/import/", {"file": SimpleUploadedFile(f"a.{ending}", sent.content)})
    assert page.status_code == 200
    assert b"Save the scenario" in page.content


def test_no_cell_of_the_files_is_a_formula_of_somebody_elses(in_acme, operator):
    version = save(operator, certain(name=EVIL, description="-cmd", industry="@SUM(A1)"))
    cells = [c for row in csv.reader(io.StringIO(tables.to_csv(version.document))) for c in row]
    assert f"'{EVIL}" in cells
    assert not [c for c in cells if c.startswith(("=", "+", "@", "-")) and not c[1:2].isdigit()]
    book = load_workbook(io.BytesIO(workbook.to_xlsx(version)))
    found = [c for sheet in book for row in sheet.iter_rows() for c in row if c.value == EVIL]
    assert found
    assert all(cell.data_type == "s" or cell.quotePrefix for cell in found)


# --- hostile files -------------------------------------------------------------------------------


def table(*rows: str) -> bytes:
    return "\r\n".join([",".join(tables.COLUMNS), *rows]).encode()


def archive(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        for name, content in parts.items():
            book.writestr(name.replace("__", "/") + ".xml", content)
    return file.getvalue()


ENTITY = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
HOSTILE = {
    "empty.json": (b"", "no JSON"),
    "deep.json": (b"[" * 100_000, "no JSON"),
    "huge.json": (b" " * (2 * 2**20 + 1), "larger than 2 MiB"),
    "wrong.json": (json.dumps(full(horizon_years=-1)).encode(), "between 1 and 50"),
    "list.json": (b"[]", "is an object"),
    "bomb.xlsx": (archive(xl__workbook=b"\0" * (17 * 2**20)), "unpacks to more"),
    "parts.xlsx": (archive(**{f"p{i}": b"" for i in range(101)}), "unpacks to more"),
    "entity.xlsx": (archive(xl__workbook=ENTITY), "declares entities"),
    "utf16.xlsx": (archive(xl__workbook=ENTITY.decode().encode("utf-16")), "declares entities"),
    "text.xlsx": (b"PK\x03\x04nonsense", "no workbook"),
    "other.xlsx": (archive(a=b"<a/>"), "no workbook"),
    "latin.csv": ("na\xefve".encode("latin-1"), "not UTF-8"),
    "heading.csv": (b"a,b\r\n1,2", "first row must be"),
    "formula.csv": (table("name,,,text,=1+1"), "has a formula"),
    "twice.csv": (table("name,,,text,a", "name,,,text,b"), "stands twice"),
    "long.csv": (table(f"name,,,text,{'x' * 500}"), "more than 400 characters"),
    "rows.csv": (table(*["x,,,text,y"] * 5001), "more than 5000 rows"),
    "short.csv": (table("name,,,text,a"), "horizon"),
    "number.csv": (table("discount_rate,,,number,1e999999"), "must be a fraction"),
    "percent.csv": (table("discount_rate,,,number,10%"), "must be a fraction"),
    "macro.xlsm": (b"PK", "has to end in"),
    "none": (b"", "has to end in"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_with_a_sentence(name, acme, operator, client_for):
    content, sentence = HOSTILE[name]
    before = objects.fingerprint("acme")
    file = SimpleUploadedFile(name, content or b"\n")
    page = client_for(operator, "acme").post("/roi/import/", {"file": file})
    assert page.status_code == 422
    assert sentence in page.content.decode().partition("Nothing was imported")[2]
    assert objects.fingerprint("acme") == before


def test_a_formula_in_the_workbook_is_refused(in_acme, operator):
    loaded = load_workbook(io.BytesIO(workbook.to_xlsx(save(operator, certain()))))
    cell = next(row[4] for row in loaded["Inputs"].iter_rows() if row[0].value == "discount_rate")
    cell.value = "=0.05*2"
    file = io.BytesIO()
    loaded.save(file)
    with pytest.raises(roi.BadInput, match="has a formula"):
        importing.read_file("a.xlsx", io.BytesIO(file.getvalue()))


@pytest.mark.parametrize("text", ["0.1", "1E-1", "1e-01", "'0.1"])
def test_a_fraction_is_a_fraction_however_a_spreadsheet_writes_it(text):
    lines = tables.to_csv(canonical(certain())).replace(",number,0.1,", f",number,{text},")
    if text.startswith("'"):
        with pytest.raises(roi.BadInput, match="fraction"):
            tables.from_csv(lines.encode())
    else:
        assert tables.from_csv(lines.encode())["discount_rate"] == "0.1"
