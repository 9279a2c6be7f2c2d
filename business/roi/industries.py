"""Starting points by industry, from ``industries.json``: every number says whether it is published
(by whom, when, where) or an assumption to be replaced. None of them is a measurement of AII.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

from business.roi.reading import parse


@dataclass(frozen=True)
class Fact:
    """A published figure to compare one's own with; ``low`` and ``high`` None: no range is."""

    label: str
    value: float
    low: float | None
    high: float | None
    unit: str
    year: int
    basis: str
    source: str
    url: str
    note: str


@dataclass(frozen=True)
class Industry:
    """``document`` is a scenario as ``read_scenario`` takes it, to be edited."""

    key: str
    title: str
    facts: tuple[Fact, ...]
    document: dict[str, Any]


def _read() -> tuple[dict[str, Industry], str]:
    text = resources.files("business.roi").joinpath("industries.json").read_text("utf-8")
    kept = parse(text)
    industries = {
        entry["key"]: Industry(
            key=entry["key"],
            title=entry["title"],
            facts=tuple(_fact(fact) for fact in entry["facts"]),
            document=entry["scenario"],
        )
        for entry in kept["industries"]
    }
    return industries, kept["as_of"]


def _fact(entry: dict[str, Any]) -> Fact:
    numbers = {
        name: None if entry[name] is None else float(entry[name])
        for name in ("value", "low", "high")
    }
    return Fact(**{**entry, **numbers, "year": int(entry["year"])})


# The day on which the figures were taken over.
INDUSTRIES, INDUSTRIES_AS_OF = _read()
