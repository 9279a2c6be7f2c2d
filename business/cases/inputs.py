"""Everything that a business case is made from, as plain data: no query, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from business.roi.industries import Industry


@dataclass(frozen=True)
class Priced:
    """A saved version of a scenario: what was put in, and what it gave."""

    name: str
    number: int
    saved_at: datetime
    inputs_sha256: str
    engine_version: str
    document: Mapping[str, Any]
    results: Mapping[str, Any]
    url: str = ""


@dataclass(frozen=True)
class Figure:
    """A figure of the platform in words, or why there is none. ``since``: the first record."""

    key: str
    label: str
    text: str
    source: str
    why: str = ""


@dataclass(frozen=True)
class Month:
    """Runs that ended in a month: those that kept every law, those that broke one, drills apart."""

    first_day: date
    kept: int
    broken: int


@dataclass(frozen=True)
class Record:
    """A source of measured figures: which records, and how they are counted."""

    key: str
    what: str
    detail: str


@dataclass(frozen=True)
class Measured:
    """What the platform recorded for the tenant, counted at one time."""

    figures: tuple[Figure, ...]
    realised: Figure
    records: tuple[Record, ...]
    months: tuple[Month, ...] = ()


@dataclass(frozen=True)
class PlannedTask:
    """A task of the roadmap; the owner's name is kept beside."""

    title: str
    state: str
    due_on: date | None
    owner: str


@dataclass(frozen=True)
class PlannedCriterion:
    """An exit criterion: its target, what was found, and what became of it."""

    measure: str
    title: str
    target: str
    value: str
    why: str
    status: str


@dataclass(frozen=True)
class PlannedPhase:
    """A phase of the roadmap, or of the plan that AII proposes (then without days)."""

    key: str
    title: str
    starts_on: date | None
    ends_on: date | None
    days: int
    state: str
    tasks: tuple[PlannedTask, ...]
    criteria: tuple[PlannedCriterion, ...]


@dataclass(frozen=True)
class Plan:
    """The tenant's roadmap, or what is proposed where there is none."""

    is_own: bool
    phases: tuple[PlannedPhase, ...]


@dataclass(frozen=True)
class JudgedRisk:
    """A row of the register. Likelihood and impact are judgements from 1 to 5."""

    title: str
    likelihood: int
    impact: int
    mitigation: str
    owner: str
    judged_on: date


@dataclass(frozen=True)
class Inputs:
    """All of it, at ``made_at``. ``words`` are the author, for whom, and the notes by section."""

    title: str
    tenant: str
    made_at: datetime
    priced: Priced
    industry: Industry | None
    industries_on: str
    measured: Measured
    plan: Plan
    risks: tuple[JudgedRisk, ...]
    author: str = ""
    prepared_for: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
