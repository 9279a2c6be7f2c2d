"""Every write of business cases, each with its entry in the audit log.

What persons say is sealed and stays out of the log: an entry names the fields that changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from business.cases.building import SECTIONS, build
from business.cases.document import Document, digest, is_alike, read
from business.cases.gathering import gather, said_in, words_of
from business.cases.models import BusinessCase, CaseVersion, Risk
from business.cases.proposals import RISKS
from business.scenarios.models import ScenarioVersion
from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.models import Tenant, User

CASES_MAX = 500
VERSIONS_MAX = 500
RISKS_MAX = 40
TITLE_MAX = 200
PERSON_MAX = 200
NOTE_MAX = 4000


class CaseUnknown(NotFound):
    """There is no such case here."""

    code = "case_unknown"


class CaseVersionUnknown(NotFound):
    """The case has no such version."""

    code = "case_version_unknown"


class ScenarioGone(Conflict):
    """The scenario of the case was deleted."""

    code = "case_scenario_gone"


class NothingChanged(Conflict):
    """A new document would say what the last one says."""

    code = "case_unchanged"


class TooMany(Conflict):
    """More than anybody looks through."""

    code = "too_many_cases"


class NotConfirmed(Invalid):
    """What was typed is not the title."""

    code = "case_not_confirmed"


@dataclass(frozen=True)
class CaseInput:
    """What a person says about a case."""

    title: str
    industry: str
    author: str = ""
    prepared_for: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RiskInput:
    """What a person says about a risk. Levels are 1 to 5."""

    title: str
    likelihood: int
    impact: int
    mitigation: str = ""
    owner: str = ""


@transaction.atomic
def start_case(
    *,
    acting_user: User,
    tenant: Tenant,
    version: ScenarioVersion,
    case: CaseInput,
    started_at: datetime,
) -> CaseVersion:
    """Make a case with the proposed risks, and its first version. Raises ``TooMany``."""
    if BusinessCase.objects.count() >= CASES_MAX:
        raise TooMany(f"There are {CASES_MAX} business cases. Delete one that nobody needs.")
    made = BusinessCase.objects.create(
        title=case.title,
        scenario=version.scenario,
        industry=case.industry,
        changed_at=started_at,
        changed_by=acting_user,
        words=_words(case),
    )
    proposed = [
        RiskInput(each.title, each.likelihood, each.impact, each.mitigation) for each in RISKS
    ]
    _put_risks(made, proposed, acting_user, started_at, {})
    note(
        who=acting_user,
        action="case.started",
        subject=_subject(made),
        at=started_at,
        after=_terms(made, case),
    )
    return _make_version(acting_user, tenant, made, version, started_at)


@transaction.atomic
def change_case(
    *, acting_user: User, case_id: UUID, case: CaseInput, changed_at: datetime
) -> BusinessCase:
    """Change the title, the industry and the words; nothing is written when nothing differs.

    Raises ``CaseUnknown``.
    """
    found = _lock(case_id)
    words = words_of(found)
    before = {"title": found.title, "industry": found.industry}
    changed = [name for name, value in _words(case).items() if words.get(name) != value]
    after = {"title": case.title, "industry": case.industry}
    if not changed and after == before:
        return found
    found.title, found.industry, found.words = case.title, case.industry, _words(case)
    found.changed_at, found.changed_by = changed_at, acting_user
    found.save()
    note(
        who=acting_user,
        action="case.changed",
        subject=_subject(found),
        at=changed_at,
        before=before,
        after={**after, "words": sorted(changed)},
    )
    return found


@transaction.atomic
def change_risks(
    *, acting_user: User, case_id: UUID, risks: Sequence[RiskInput], changed_at: datetime
) -> BusinessCase:
    """Put other rows in the register; nothing is written when nothing differs.

    Raises ``CaseUnknown`` and ``TooMany``.
    """
    found = _lock(case_id)
    if len(risks) > RISKS_MAX:
        raise TooMany(f"A register has at most {RISKS_MAX} risks.")
    rows = list(found.risks.select_related("judged_by"))
    if [_row(each) for each in rows] == list(risks):
        return found
    before, after = [_judgement(each) for each in rows], [_judgement(each) for each in risks]
    # Who judged a row that stays, and when, stays with it.
    judged = {_row(each): (each.judged_by, each.judged_at) for each in rows}
    found.risks.all().delete()
    _put_risks(found, risks, acting_user, changed_at, judged)
    note(
        who=acting_user,
        action="case.risks_changed",
        subject=_subject(found),
        at=changed_at,
        before={"risks": before},
        after={"risks": after},
    )
    return found


@transaction.atomic
def make_version(
    *,
    acting_user: User,
    tenant: Tenant,
    case_id: UUID,
    made_at: datetime,
    scenario_number: int | None = None,
) -> CaseVersion:
    """Make the document anew from a version of the scenario, the last one without a number.

    Raises ``CaseUnknown``, ``ScenarioGone``, ``NothingChanged`` and ``TooMany``. Locks the case.
    """
    case = _lock(case_id)
    version = find_scenario_version(case, scenario_number)
    if case.latest_number >= VERSIONS_MAX:
        raise TooMany(f"This case has {VERSIONS_MAX} versions. Start another one.")
    return _make_version(acting_user, tenant, case, version, made_at)


def find_scenario_version(case: BusinessCase, number: int | None = None) -> ScenarioVersion:
    """Return a version of the case's scenario, the last one without a number; raises
    ``ScenarioGone``.
    """
    wanted = F("scenario__latest_number") if number is None else number
    versions = ScenarioVersion.objects.select_related("scenario")
    found = versions.filter(scenario=case.scenario_id, number=wanted).first()
    if found is None:
        raise ScenarioGone(
            "The scenario of this case, or that version of it, is no longer there. What was made"
            " stays; start another case to go on."
        )
    return found


def _make_version(
    acting_user: User,
    tenant: Tenant,
    case: BusinessCase,
    version: ScenarioVersion,
    made_at: datetime,
) -> CaseVersion:
    last = case.versions.filter(number=case.latest_number).first()
    before = read(last.document, said_in(last)) if last else None
    inputs = gather(case=case, version=version, tenant=tenant, now=made_at)
    document = build(inputs, number=case.latest_number + 1, before=before)
    if before is not None and is_alike(before, document):
        raise NothingChanged(
            f"Nothing differs from version {before.number}, so no other one was made."
        )
    return _keep(acting_user, case, version, document, made_at)


def _keep(
    acting_user: User,
    case: BusinessCase,
    version: ScenarioVersion,
    document: Document,
    made_at: datetime,
) -> CaseVersion:
    plain = document.to_json()
    made = CaseVersion.objects.create(
        case=case,
        number=document.number,
        document=plain,
        sha256=digest(plain),
        scenario_number=version.number,
        made_at=made_at,
        made_by=acting_user,
        made_by_email=acting_user.email,
        said=dict(document.said),
    )
    case.latest_number = made.number
    case.save(update_fields=["latest_number"])
    note(
        who=acting_user,
        action="case.made",
        subject=_subject(case),
        at=made_at,
        after={
            "version": made.number,
            "sha256": made.sha256,
            "scenario": str(version.scenario_id),
            "scenario_version": version.number,
            "inputs_sha256": version.inputs_sha256,
        },
    )
    return made


@transaction.atomic
def delete_case(
    *, acting_user: User, case_id: UUID, confirmation: str, deleted_at: datetime
) -> str:
    """Delete a case with its versions; return its title.

    Raises ``CaseUnknown``, and ``NotConfirmed`` unless its title was typed.
    """
    case = _lock(case_id)
    if confirmation.strip() != case.title.strip():
        raise NotConfirmed("Nothing was deleted: what was typed is not the title of the case.")
    digests = {str(each.number): each.sha256 for each in case.versions.all()}
    note(
        who=acting_user,
        action="case.deleted",
        subject=_subject(case),
        at=deleted_at,
        before={"versions": digests},
    )
    BusinessCase.objects.filter(pk=case.pk).delete()
    return case.title


@transaction.atomic
def record_export(
    *, acting_user: User, version: CaseVersion, form: str, exported_at: datetime
) -> None:
    """Record that this person takes a version away as ``pdf`` or ``docx``."""
    note(
        who=acting_user,
        action="case.exported",
        subject=_subject(version.case),
        at=exported_at,
        after={"format": form, "version": version.number, "sha256": version.sha256},
    )


def _lock(case_id: UUID) -> BusinessCase:
    case = BusinessCase.objects.select_for_update().filter(pk=case_id).first()
    if case is None:
        raise CaseUnknown("There is no such business case here.")
    return case


def _words(case: CaseInput) -> dict[str, str]:
    notes = {f"note.{key}": case.notes.get(key, "") for key in SECTIONS}
    return {"author": case.author, "prepared_for": case.prepared_for, **notes}


def _put_risks(
    case: BusinessCase,
    risks: Sequence[RiskInput],
    acting_user: User,
    at: datetime,
    judged: Mapping[RiskInput, tuple[User, datetime]],
) -> None:
    for position, each in enumerate(risks):
        judged_by, judged_at = judged.get(each, (acting_user, at))
        Risk.objects.create(
            case=case, position=position, judged_by=judged_by, judged_at=judged_at, **vars(each)
        )


def _row(risk: Risk) -> RiskInput:
    return RiskInput(
        risk.title, risk.likelihood, risk.impact, risk.mitigation, str(risk.owner or "")
    )


def _judgement(risk: Risk | RiskInput) -> list[object]:
    return [risk.title, risk.likelihood, risk.impact, risk.mitigation]


def _terms(case: BusinessCase, said: CaseInput) -> dict[str, object]:
    words = sorted(name for name, value in _words(said).items() if value)
    return {"title": case.title, "industry": case.industry, "words": words}


def _subject(case: BusinessCase) -> Subject:
    return Subject("business_case", str(case.pk), case.title)
