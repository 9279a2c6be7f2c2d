"""A business case as a Word document, with its figures as pictures. The same document gives the
same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import docx
from docx.enum.text import WD_ALIGN_PARAGRAPH, WD_COLOR_INDEX, WD_TAB_ALIGNMENT
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor

from business.cases.document import (
    Block,
    Bound,
    Document,
    Figure,
    Name,
    Note,
    Paragraph,
    Part,
    Points,
    Source,
    Table,
    Text,
    marked,
    only_source,
)
from business.cases.pdf_file import list_widths, to_png

_MUTED = RGBColor(0x50, 0x5A, 0x68)
_LINE = "C9D0D9"
_TEXT_CM = 16.2
# A table with at most so many rows stays on one page.
_ROWS_TOGETHER = 8
# What the margins of a cell take, in characters.
_CELL_MARGINS = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)


def to_docx(document: Document, sha256: str) -> bytes:
    """Return the document as .docx."""
    file = _Writer(document)
    file.write_head()
    for at, section in enumerate(document.sections, 1):
        file.word.add_heading(f"{at}. {section.title}", 1)
        for block in section.blocks:
            file.write_block(block)
    file.write_sources(sha256)
    return file.to_bytes()


class _Writer:
    """Puts the blocks of a document into a Word document, from above to below."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.word = docx.Document()
        self.tables = self.figures = 0
        page = self.word.sections[0]
        page.page_width, page.page_height = Cm(21), Cm(29.7)
        page.left_margin = page.right_margin = Cm(2.4)
        normal = self.word.styles["Normal"]
        normal.font.name, normal.font.size = "Calibri", Pt(10.5)
        about = self.word.core_properties
        about.title, about.author = document.title, document.said.get("author", "")
        about.comments, about.language = f"Business case of {document.tenant}", "en"
        about.created = about.modified = datetime.fromisoformat(document.made_at)
        self._write_footer(page.footer)

    def write_head(self) -> None:
        """Title, for whom, by whom, which version."""
        document = self.document
        self._muted(f"Business case · {document.tenant}")
        self.word.add_heading(document.title, 0)
        for key, title in (("prepared_for", "Prepared for"), ("author", "Author")):
            if key in document.said:
                self.word.add_paragraph(f"{title}: {document.said[key]}")
        self.word.add_paragraph(f"Version {document.number}, made {document.made}")
        self._muted(
            "Each value names its source by a raised number; the sources stand at the end with"
            " their dates. What differs from the version before is marked and listed at the end of"
            " its section."
        )

    def write_block(self, block: Block) -> None:
        """Add one block."""
        if isinstance(block, Paragraph):
            self._text(self.word.add_paragraph(), block.text)
        elif isinstance(block, Points):
            for item in block.items:
                self._text(self.word.add_paragraph(style="List Bullet"), item)
        elif isinstance(block, Note):
            self._muted("Note of the author").paragraph_format.keep_with_next = True
            for line in self.document.hear(block.said).split("\n"):
                if line.strip():
                    self.word.add_paragraph(line, style="Quote")
        elif isinstance(block, Figure):
            self._figure(block)
        else:
            self._table(block)

    def write_sources(self, sha256: str) -> None:
        """The sources by their numbers, and the digest."""
        self.word.add_heading("Sources", 1)
        head = ("No.", "Source", "Date", "Detail")
        rows = [
            [str(at), one.what, one.at, _detail(one)]
            for at, one in enumerate(self.document.sources, 1)
        ]
        grid = self._grid(head, len(rows), (4, 30, 10, 34))
        for kept, row in zip(grid.rows[1:], rows, strict=True):
            for cell, words in zip(kept.cells, row, strict=True):
                self._run(cell.paragraphs[0], words)
        self._muted(
            f"SHA-256 of this version: {sha256}. It stands in the audit log of"
            f" {self.document.tenant}."
        )

    def to_bytes(self) -> bytes:
        """Return the file; its parts bear no time, so that it is the same each time."""
        first, last = io.BytesIO(), io.BytesIO()
        self.word.save(first)
        with ZipFile(first) as parts, ZipFile(last, "w", ZIP_DEFLATED) as kept:
            for name in parts.namelist():
                kept.writestr(ZipInfo(name, _EPOCH), parts.read(name), ZIP_DEFLATED)
        return last.getvalue()

    def _figure(self, figure: Figure) -> None:
        self.figures += 1
        picture = self.word.add_picture(io.BytesIO(to_png(figure)), width=Cm(15.5))
        self.word.paragraphs[-1].paragraph_format.keep_with_next = True
        about = picture._inline.docPr
        about.set("descr", f"{figure.title}. {figure.sentence}")
        caption = self._muted(f"Figure {self.figures}: {figure.title}. {figure.sentence}")
        for source in figure.sources:
            self._mark(caption, source)

    def _table(self, table: Table) -> None:
        self.tables += 1
        source = only_source(table)
        caption = self._muted(f"Table {self.tables}: {table.caption}")
        caption.paragraph_format.keep_with_next = True
        self._mark(caption, source)
        grid = self._grid(table.head, len(table.rows), list_widths(table))
        for kept, row in zip(grid.rows[1:], table.rows, strict=True):
            for cell, text in zip(kept.cells, row, strict=True):
                self._text(cell.paragraphs[0], text, marks=not source, size=Pt(9))
        for row in grid.rows:
            for column in table.numeric:
                row.cells[column].paragraphs[0].alignment = WD_ALIGN_PARAGRAPH.RIGHT
        self.word.add_paragraph()

    def _grid(self, head: Sequence[str], rows: int, widths: Sequence[int]) -> Any:
        grid = self.word.add_table(rows=rows + 1, cols=len(head))
        grid.autofit = False
        _rule(grid)
        wanted = [width + _CELL_MARGINS for width in widths]
        for column, width in zip(grid.columns, wanted, strict=True):
            column.width = Cm(_TEXT_CM * width / sum(wanted))
            for cell in column.cells:
                cell.width = column.width
        for cell, words in zip(grid.rows[0].cells, head, strict=True):
            self._run(cell.paragraphs[0], words).bold = True
        # Word repeats this row on each page, and screen readers know it for what it is.
        grid.rows[0]._tr.get_or_add_trPr().append(_element("w:tblHeader", val="true"))
        together = grid.rows[:-1] if rows <= _ROWS_TOGETHER else grid.rows[:2]
        for row in grid.rows:
            row._tr.get_or_add_trPr().insert(0, _element("w:cantSplit", val="true"))
            for cell in row.cells:
                shape = cell.paragraphs[0].paragraph_format
                shape.space_before = shape.space_after = Pt(2)
                shape.line_spacing = 1
        for row in together:
            for cell in row.cells:
                cell.paragraphs[0].paragraph_format.keep_with_next = True
        return grid

    def _write_footer(self, footer: Any) -> None:
        document, line = self.document, footer.paragraphs[0]
        style = line.style
        style.font.size, style.font.color.rgb = Pt(8), _MUTED
        style.paragraph_format.tab_stops.clear_all()
        style.paragraph_format.tab_stops.add_tab_stop(Cm(_TEXT_CM), WD_TAB_ALIGNMENT.RIGHT)
        line.add_run(f"{document.title}, version {document.number}, made {document.made}\t")
        for before, counter in (("", "PAGE"), (" / ", "NUMPAGES")):
            line.add_run(before)
            field = _element("w:fldSimple", instr=counter)
            field.append(line.add_run("1")._r)
            line._p.append(field)

    def _text(self, paragraph: Any, text: Text, *, marks: bool = True, size: Any = None) -> None:
        for part, source in marked(text):
            run = paragraph.add_run(self._words(part))
            run.font.size = size
            if isinstance(part, Bound) and part.was is not None:
                run.font.highlight_color = WD_COLOR_INDEX.YELLOW
            if marks:
                self._mark(paragraph, source)

    def _words(self, part: Part) -> str:
        if isinstance(part, str):
            return part
        if isinstance(part, Bound):
            return part.shown
        return part.text if isinstance(part, Name) else self.document.hear(part)

    def _mark(self, paragraph: Any, source: str) -> None:
        if source:
            run = paragraph.add_run(f"[{self.document.number_of(source)}]")
            run.font.superscript = True

    def _muted(self, words: str) -> Any:
        paragraph = self.word.add_paragraph()
        self._run(paragraph, words).font.color.rgb = _MUTED
        return paragraph

    @staticmethod
    def _run(paragraph: Any, words: str) -> Any:
        run = paragraph.add_run(words)
        run.font.size = Pt(9)
        return run


def _element(name: str, **attributes: str) -> Any:
    made = OxmlElement(name)
    for key, value in attributes.items():
        made.set(qn(f"w:{key}"), value)
    return made


def _rule(grid: Any) -> None:
    """Give a table thin lines between its rows, as on paper."""
    borders = _element("w:tblBorders")
    for side in ("top", "bottom", "insideH"):
        borders.append(_element(f"w:{side}", val="single", sz="4", space="0", color=_LINE))
    # The schema wants them here.
    grid._tbl.tblPr.find(qn("w:tblLayout")).addprevious(borders)


def _detail(source: Source) -> str:
    is_web = source.url.startswith(("https://", "http://"))
    return f"{source.detail} {source.url}".strip() if is_web else source.detail
