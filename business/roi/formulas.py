"""Every formula of the calculator, in words and signs, with its source: for pages and the docs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True)
class Formula:
    """``text`` is plain text; ``note`` says which convention is taken where several are in use."""

    key: str
    title: str
    text: str
    note: str
    source: str


def _read() -> tuple[Formula, ...]:
    text = resources.files("business.roi").joinpath("formulas.json").read_text("utf-8")
    return tuple(Formula(**entry) for entry in json.loads(text))


FORMULAS = _read()
