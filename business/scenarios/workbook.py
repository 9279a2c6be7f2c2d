"""A version as an XLSX workbook that computes by itself.

*Inputs* is the table of ``tables`` with each number's base case; *Years* has a row for each step of
``business.roi.model`` with formulas that refer to it; *Results* has the measures, beside what AII
gave. Whoever checks it changes an input and sees every later number follow. A test evaluates the
formulas and compares them with the calculator.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import xlsxwriter
from xlsxwriter.utility import xl_rowcol_to_cell as cell_at
from xlsxwriter.worksheet import Worksheet

from business import roi
from business.roi.scenario import Input, Scenario
from business.scenarios.models import ScenarioVersion
from business.scenarios.tables import COLUMNS, rows_of
from business.scenarios.workbook_terms import Term, term
from business.scenarios.workbook_years import Years

_Z95 = "1.6448536269514722"
# The mean of each shape, of the cells First, Second, Third.
_MEANS = {
    "number": "={0}",
    "unknown": "=NA()",
    "pert": "=({0}+4*{1}+{2})/6",
    "triangular": "=({0}+{1}+{2})/3",
    "uniform": "=({0}+{1})/2",
    "normal": "={0}",
    "lognormal": f"=EXP((LN({{0}})+LN({{1}}))/2+((LN({{1}})-LN({{0}}))/(2*{_Z95}))^2/2)",
}
_BASE = len(COLUMNS)
_A4 = 9
_YEARS_A_PAGE = 15
_TWO_LINES = 30


def to_xlsx(version: ScenarioVersion) -> bytes:
    """Return the workbook of a version."""
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"in_memory": True, "strings_to_formulas": False})
    book.set_properties({"title": str(version), "created": version.saved_at.replace(tzinfo=None)})
    _Book(book, version).write()
    book.close()
    return file.getvalue()


class _Book:
    def __init__(self, book: xlsxwriter.Workbook, version: ScenarioVersion) -> None:
        self.version = version
        self.scenario: Scenario = roi.read_scenario(version.document)
        self.head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True})
        self.bold = book.add_format({"bold": True})
        self.input = book.add_format({"font_color": "#0B5FCC"})
        self.money = book.add_format({"num_format": "#,##0.00"})
        self.percent = book.add_format({"num_format": "0.00%"})
        self.number = book.add_format({"num_format": "0.0000"})
        self.middle = book.add_format({"text_wrap": True})
        self.beside = book.add_format({"text_wrap": True, "indent": 1})
        for shape in (self.middle, self.beside, self.money, self.percent, self.number):
            shape.set_align("vcenter")
        self.results = book.add_worksheet("Results")
        self.inputs = book.add_worksheet("Inputs")
        self.years = book.add_worksheet("Years")
        self.refs: dict[str, str] = {}

    def write(self) -> None:
        """Fill the sheets; inputs first, since the others point there."""
        self._write_inputs()
        years = Years(self.scenario, self._ref)
        years.build()
        self._write_years(years)
        self._write_results(years)
        for sheet in (self.results, self.inputs, self.years):
            self._lay_out(sheet)

    def _lay_out(self, sheet: Worksheet) -> None:
        """Set how a sheet is printed: a page wide, as far as that can be read."""
        sheet.set_landscape()
        sheet.set_paper(_A4)
        sheet.repeat_columns(0)
        if sheet is not self.years or self.scenario.horizon_years <= _YEARS_A_PAGE:
            sheet.fit_to_pages(1, 0)
        if sheet is not self.results:
            sheet.repeat_rows(0)
        title = str(self.version)[:100].replace("&", "&&")
        sheet.set_footer(f"&L{title}&C&A&R&P / &N")

    def _ref(self, entry: Input) -> Term:
        """Return the cell of an input; its number where none stands in the document."""
        value = math.nan if entry.central is None else float(entry.central)
        cell = self.refs.get(entry.path)
        return Term(cell, value) if cell else term(value)

    def _write_inputs(self) -> None:
        sheet = self.inputs
        for column, title in enumerate((*COLUMNS, "Base case")):
            sheet.write_string(0, column, title, self.head)
        for index, row in enumerate(rows_of(self.version.document), 1):
            for column, text in enumerate(row.texts):
                # First to third of a number; everything else is text, whatever it looks like.
                if row.kind != "text" and 4 <= column <= 6 and text:
                    sheet.write_number(index, column, float(text), self.input)
                elif text:
                    sheet.write_string(index, column, text)
            if row.kind != "text":
                parts = [cell_at(index, column) for column in (4, 5, 6)]
                shape = self.number if row.unit == "share" else self.money
                sheet.write_formula(
                    index, _BASE, _MEANS[row.kind].format(*parts), shape, self._base(row.path)
                )
                self.refs[row.path] = f"Inputs!{cell_at(index, _BASE, True, True)}"
        sheet.set_column(0, 0, 28)
        sheet.set_column(1, 1, 40)
        sheet.set_column(2, _BASE, 14)
        sheet.freeze_panes(1, 2)

    def _base(self, path: str) -> float | str:
        entry = self.scenario.input_at(path)
        return "#N/A" if entry is None or entry.central is None else float(entry.central)

    def _write_years(self, years: Years) -> None:
        sheet = self.years
        for index, line in enumerate(years.lines):
            sheet.write_string(index, 0, line.title, self.bold if line.is_sum else None)
            for column, cell in enumerate(line.cells, 1):
                shape = self.number if line.is_factor else self.money
                if cell.is_number:
                    sheet.write_number(index, column, cell.value, None if index == 0 else shape)
                else:
                    value = cell.value if math.isfinite(cell.value) else line.unknown
                    sheet.write_formula(index, column, f"={cell.text}", shape, value)
        sheet.set_column(0, 0, 44)
        sheet.set_column(1, self.scenario.horizon_years + 1, 14)
        sheet.freeze_panes(1, 1)

    def _write_results(self, years: Years) -> None:
        sheet, version = self.results, self.version
        facts = (
            ("Scenario", version.scenario.name),
            ("Version", f"{version.number}, saved {version.saved_at:%Y-%m-%d %H:%M} UTC"),
            ("Currency", self.scenario.reported_currency),
            ("Inputs SHA-256", version.inputs_sha256),
            ("Engine", version.engine_version),
        )
        for index, (name, text) in enumerate(facts):
            sheet.write_string(index, 0, name, self.bold)
            sheet.write_string(index, 1, text)
        top = len(facts) + 1
        titles = ("Measure", "This workbook", "AII when saved", "Difference", "Formula", "Source")
        for column, title in enumerate(titles):
            sheet.write_string(top, column, title, self.head)
        for index, (key, title, formula) in enumerate(_measures(self.scenario, years), top + 1):
            self._write_measure(sheet, index, (key, title, formula))
        below = top + 14
        for index, sentence in enumerate(version.results["assumptions"], below):
            sheet.write_string(index, 0, sentence)
        sheet.set_column(0, 0, 34)
        sheet.set_column(1, 3, 18)
        sheet.set_column(4, 4, 50)
        sheet.set_column(5, 5, 75)

    def _write_measure(self, sheet: Worksheet, index: int, measure: tuple[str, str, str]) -> None:
        key, title, formula = measure
        found = _SAVED.get(key, lambda answer: answer[key])(self.version.results)
        shape = {"irr": self.percent, "mirr": self.percent, "roi": self.percent}.get(
            key, self.number if key in ("bcr", "payback_years") else self.money
        )
        sheet.set_row(index, _TWO_LINES)
        sheet.write_string(index, 0, title, self.middle)
        sheet.write_formula(index, 1, formula, shape, "" if found is None else found)
        if found is None:
            sheet.write_string(index, 2, "none", self.middle)
        else:
            sheet.write_number(index, 2, found, shape)
            difference = f"={cell_at(index, 1)}-{cell_at(index, 2)}"
            sheet.write_formula(index, 3, difference, shape, 0)
        for formula_of in roi.FORMULAS:
            if formula_of.key == key.removesuffix("_years"):
                sheet.write_string(index, 4, formula_of.text, self.beside)
                sheet.write_string(index, 5, formula_of.source, self.beside)


_SAVED: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "tco_current": lambda answer: answer["tco_current"]["total"],
    "tco_proposed": lambda answer: answer["tco_proposed"]["total"],
}


def _measures(scenario: Scenario, years: Years) -> list[tuple[str, str, str]]:
    """Return key, title and formula of each measure."""
    row = years.row
    gain = f"SUMPRODUCT({row('taxed_benefit')},{row('factor')})"
    cost = f"SUMPRODUCT({row('taxed_cost')},{row('factor')})"
    flow = row("flow")
    found = [
        ("npv", "Net present value", f"=SUM({row('present_value')})"),
        ("roi", "Return on investment", f"=({gain}-{cost})/{cost}"),
        ("bcr", "Benefit-cost ratio", f"={gain}/{cost}"),
        (
            "payback_years",
            "Payback, years",
            f'=IF(OR({years.last("cumulative")}<0,COUNT({row("paid_back")})=0),"not reached",'
            f"MAX({row('paid_back')}))",
        ),
        (
            "annual_savings",
            "Saved a year, before tax",
            f"=(SUM({row('benefit')})-SUM({row('running')}))/{scenario.horizon_years}",
        ),
        ("tco_current", "Cost of ownership today", f"=SUM({row('current')})"),
        (
            "tco_proposed",
            "Cost of ownership proposed",
            f"=SUM({row('one_time')})+SUM({row('running')})+SUM({row('current')})"
            f"-SUM({row('replaced')})",
        ),
    ]
    if scenario.timing == "end":
        # A spreadsheet's IRR and MIRR know no other timing, and one root alone.
        rate = years.rate.text
        finance = rate if scenario.finance_rate is None else str(scenario.finance_rate)
        reinvest = rate if scenario.reinvest_rate is None else str(scenario.reinvest_rate)
        found += [
            ("irr", "Internal rate of return", f"=IRR({flow})"),
            ("mirr", "Modified internal rate of return", f"=MIRR({flow},{finance},{reinvest})"),
        ]
    return found
