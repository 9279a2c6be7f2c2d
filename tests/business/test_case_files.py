"""A business case as PDF and Word: both hold what the document holds."""

from __future__ import annotations

import io
import re

import docx
import pypdfium2
import pytest

from audit.models import Entry
from business.cases import selectors, services
from business.cases.document import Bound, Figure, Table, bounds_in, texts_in
from business.cases.pdf_file import to_pdf, to_png
from business.cases.services import CaseInput
from business.cases.word_file import to_docx
from tests import objects
from tests.cast import NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(in_acme, acme, operator):
    case = CaseInput(
        "Better diagnoses",
        "healthcare",
        "A. Analyst",
        "The board",
        {"problem": "We asked 12 clinics."},
    )
    return services.start_case(
        acting_user=operator,
        tenant=acme,
        version=objects.save_scenario(operator),
        case=case,
        started_at=NOON,
    )


@pytest.fixture
def document(made):
    return selectors.open_document(made)


def squeezed(text: str) -> str:
    """Without spaces and the hyphens at line ends, which are the typesetter's."""
    return re.sub(r"[\s\u00ad\u2010\u0002\u200b\ufffe-]", "", text)


def said_in(document) -> list[str]:
    """Every text of the document, as its parts read."""
    words = []
    for section in document.sections:
        for text in texts_in(section):
            for part in text:
                if isinstance(part, str):
                    words.append(part)
                elif isinstance(part, Bound):
                    words.append(part.shown)
    return [word for word in words if word.strip()]


def test_the_pdf_says_every_value_and_the_same_document_gives_the_same_bytes(document, made):
    content = to_pdf(document, made.sha256)
    pdf = pypdfium2.PdfDocument(content)
    text = squeezed("".join(page.get_textpage().get_text_range() for page in pdf))
    pdf.close()
    values = {squeezed(o.shown) for s in document.sections for o in bounds_in(s)}
    assert [value for value in values if value not in text] == []
    assert squeezed("We asked 12 clinics.") in text and squeezed("A. Analyst") in text
    assert all(squeezed(one.what) in text for one in document.sources)
    assert squeezed(made.sha256) in text
    assert to_pdf(document, made.sha256) == content


def test_the_word_document_has_every_heading_table_value_and_figure(document, made):
    content = to_docx(document, made.sha256)
    word = docx.Document(io.BytesIO(content))
    headings = [p.text for p in word.paragraphs if p.style.name == "Heading 1"]
    titles = [f"{at}. {each.title}" for at, each in enumerate(document.sections, 1)]
    assert headings == [*titles, "Sources"]
    blocks = [block for section in document.sections for block in section.blocks]
    tables = [block for block in blocks if isinstance(block, Table)]
    assert len(word.tables) == len(tables) + 1
    for kept, block in zip(word.tables, tables, strict=False):
        assert tuple(cell.text for cell in kept.rows[0].cells) == block.head
        assert len(kept.rows) == len(block.rows) + 1
    figures = [block for block in blocks if isinstance(block, Figure)]
    assert len(word.inline_shapes) == len(figures) >= 4
    assert all(shape._inline.docPr.get("descr") for shape in word.inline_shapes)
    footer = word.sections[0].footer.paragraphs[0]
    assert f"version 1, made {document.made}" in footer.text
    assert [one for one in ("PAGE", "NUMPAGES") if f'instr="{one}"' not in footer._p.xml] == []
    text = squeezed(
        " ".join(p.text for p in word.paragraphs)
        + " ".join(c.text for t in word.tables for r in t.rows for c in r.cells)
    )
    assert [said for said in said_in(document) if squeezed(said) not in text] == []
    assert (word.core_properties.title, word.core_properties.author) == (
        "Better diagnoses",
        "A. Analyst",
    )
    assert to_docx(document, made.sha256) == content


def test_every_figure_is_a_picture_with_something_on_it(document):
    for section in document.sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                content = to_png(block)
                assert content.startswith(b"\x89PNG") and len(content) > 10_000, block.key


def test_taking_a_file_away_is_recorded_with_its_digest(made, client_for, auditor, acme):
    client = client_for(auditor, acme)
    for form, kind in (("pdf", "application/pdf"), ("docx", "application/vnd.openxml")):
        answer = client.get(f"/cases/{made.case_id}/case.{form}")
        assert answer["Content-Type"].startswith(kind)
        assert f"better-diagnoses-v1.{form}" in answer["Content-Disposition"]
    entries = Entry.objects.filter(action="case.exported")
    assert entries.count() == 2
    assert client.get(f"/cases/{made.case_id}/case.pdf?version=9").status_code == 404
    assert entries.count() == 2
