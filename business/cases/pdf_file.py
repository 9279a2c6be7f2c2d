"""A business case as a PDF, set by typst, and its figures as pictures. The same document gives the
same bytes.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import typst

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
    Table,
    Text,
    marked,
    only_source,
)

TEMPLATE = Path(__file__).with_name("case.typ")
FIGURE = Path(__file__).with_name("figure.typ")
PIXELS_PER_INCH = 200
# In characters: wider columns break their lines.
_WIDTH_MAX = 36


def to_pdf(document: Document, sha256: str) -> bytes:
    """Return the document as a tagged PDF (PDF/UA-1)."""
    plain = {
        **{name: getattr(document, name) for name in ("title", "tenant", "number", "made")},
        "sha256": sha256,
        "author": document.said.get("author", ""),
        "prepared_for": document.said.get("prepared_for", ""),
        "sections": [
            {"title": each.title, "blocks": [_block(document, one) for one in each.blocks]}
            for each in document.sections
        ],
        "sources": [vars(each) for each in document.sources],
    }
    pdf = typst.compile(
        str(TEMPLATE),
        sys_inputs={"case": json.dumps(plain, ensure_ascii=False)},
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=int(datetime.fromisoformat(document.made_at).timestamp()),
    )
    assert isinstance(pdf, bytes)
    return pdf


def to_png(figure: Figure) -> bytes:
    """Return a figure as a picture."""
    png = typst.compile(
        str(FIGURE),
        sys_inputs={"svg": figure.svg},
        ignore_system_fonts=True,
        format="png",
        ppi=PIXELS_PER_INCH,
    )
    assert isinstance(png, bytes)
    return png


def _block(document: Document, block: Block) -> dict[str, Any]:
    if isinstance(block, Paragraph):
        return {"is": "paragraph", "text": _text(document, block.text)}
    if isinstance(block, Points):
        return {"is": "points", "items": [_text(document, each) for each in block.items]}
    if isinstance(block, Note):
        lines = document.hear(block.said).split("\n")
        return {"is": "note", "lines": [line for line in lines if line.strip()]}
    if isinstance(block, Figure):
        marks = [document.number_of(each) for each in block.sources]
        return {
            "is": "figure",
            "title": block.title,
            "sentence": block.sentence,
            "svg": block.svg,
            "marks": marks,
        }
    assert isinstance(block, Table)
    source = only_source(block)
    return {
        "is": "table",
        "caption": block.caption,
        "mark": document.number_of(source) if source else None,
        "head": block.head,
        "numeric": block.numeric,
        "widths": list_widths(block),
        "rows": [[_text(document, cell, marks=not source) for cell in row] for row in block.rows],
    }


def list_widths(table: Table) -> list[int]:
    """Return how wide the columns want to be, by their longest word or cell."""
    shown = [[_length(cell) for cell in row] for row in table.rows]
    columns = zip(*shown, strict=True) if shown else ([] for _ in table.head)
    return [
        min(max([len(title) + 4, *column]), _WIDTH_MAX)
        for title, column in zip(table.head, columns, strict=True)
    ]


def _length(cell: Text) -> int:
    return sum(len(_words(part)) for part in cell)


def _words(part: Part) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, Bound):
        return part.shown
    # A person's words are taken for as long as most names.
    return part.text if isinstance(part, Name) else " " * 16


def _text(document: Document, text: Text, *, marks: bool = True) -> list[dict[str, Any]]:
    return [_part(document, part, source if marks else "") for part, source in marked(text)]


def _part(document: Document, part: Part, source: str) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    if isinstance(part, Name):
        return {"text": part.text}
    if isinstance(part, Bound):
        return {
            "text": part.shown,
            "mark": document.number_of(source) if source else None,
            "changed": part.was is not None,
        }
    return {"text": document.hear(part)}
