"""Reads of business cases for pages and files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import F, QuerySet

from business.cases.building import build
from business.cases.document import Change, Document, digest, is_alike, list_changes, read
from business.cases.gathering import gather, said_in
from business.cases.models import BusinessCase, CaseVersion
from business.cases.services import (
    CaseUnknown,
    CaseVersionUnknown,
    ScenarioGone,
    find_scenario_version,
)
from tenants.models import Tenant


def list_latest(search: str = "") -> QuerySet[CaseVersion]:
    """Return the last version of each case whose title contains the words, newest first."""
    versions = CaseVersion.objects.select_related("case", "case__scenario").defer("document")
    versions = versions.filter(number=F("case__latest_number"))
    for word in search.split()[:10]:
        versions = versions.filter(case__title__icontains=word)
    return versions.order_by("-made_at", "pk")


def get_case(case_id: UUID) -> BusinessCase:
    """Return a case; raises ``CaseUnknown``."""
    found = BusinessCase.objects.select_related("scenario").filter(pk=case_id).first()
    if found is None:
        raise CaseUnknown("There is no such business case here.")
    return found


def get_version(case_id: UUID, number: int | None = None) -> CaseVersion:
    """Return a version, the last one without a number; raises ``CaseUnknown``,
    ``CaseVersionUnknown``.
    """
    case = get_case(case_id)
    wanted = case.latest_number if number is None else number
    found = case.versions.filter(number=wanted).first()
    if found is None:
        raise CaseVersionUnknown(f"This case has no version {wanted}.")
    found.case = case
    return found


def list_versions(case: BusinessCase) -> QuerySet[CaseVersion]:
    """Return the versions of a case, the newest first."""
    return case.versions.defer("document", "said")


def open_document(version: CaseVersion) -> Document:
    """Return the document of a version."""
    return read(version.document, said_in(version))


def is_intact(version: CaseVersion) -> bool:
    """Tell whether the document still has the digest that it was kept with."""
    return digest(version.document) == version.sha256


@dataclass(frozen=True)
class Drift:
    """What a document made now would say otherwise than the last one."""

    changes: list[Change]
    is_alike: bool
    scenario_number: int | None

    @property
    def differing(self) -> list[Change]:
        """The values that the last one has, too."""
        return [one for one in self.changes if not one.is_new]

    @property
    def new(self) -> int:
        """How many values the last one does not have."""
        return len(self.changes) - len(self.differing)

    @property
    def is_gone(self) -> bool:
        """Whether the scenario is no longer there."""
        return self.scenario_number is None


def find_drift(version: CaseVersion, tenant: Tenant, now: datetime) -> Drift:
    """Compare a version with what would be made now from the scenario's last version."""
    try:
        newest = find_scenario_version(version.case)
    except ScenarioGone:
        return Drift([], True, None)
    document = open_document(version)
    inputs = gather(case=version.case, version=newest, tenant=tenant, now=now)
    now_said = build(inputs, number=version.number)
    return Drift(list_changes(document, now_said), is_alike(document, now_said), newest.number)
