"""A study as a PDF: its page's words, set by typst. The same result gives the same bytes."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import typst

TEMPLATE = Path(__file__).with_name("report.typ")


def to_pdf(study: dict[str, Any]) -> bytes:
    """Return the study as a tagged PDF (PDF/UA-1)."""
    pdf = typst.compile(
        str(TEMPLATE),
        sys_inputs={"study": json.dumps(study, ensure_ascii=False)},
        ignore_system_fonts=True,
        pdf_standards=["ua-1"],
        timestamp=int(datetime.fromisoformat(study["made_at"]).timestamp()),
    )
    assert isinstance(pdf, bytes)
    return pdf
