"""Reads everything that a document is made from: the scenario, the platform, the roadmap, words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from business import roi
from business.cases.building import SECTIONS
from business.cases.inputs import (
    Inputs,
    JudgedRisk,
    Plan,
    PlannedCriterion,
    PlannedPhase,
    PlannedTask,
    Priced,
)
from business.cases.measuring import measure
from business.cases.models import BusinessCase, CaseVersion
from business.roadmap.criteria import describe_target, describe_value
from business.roadmap.plan import DEFAULT_PLAN
from business.roadmap.selectors import PhaseStanding, list_standings
from business.scenarios.models import ScenarioVersion
from tenants.models import Tenant


def gather(
    *, case: BusinessCase, version: ScenarioVersion, tenant: Tenant, now: datetime
) -> Inputs:
    """Return the inputs of a case as they are now. Some twenty queries."""
    words = words_of(case)
    return Inputs(
        title=case.title,
        tenant=tenant.name,
        made_at=now,
        priced=_priced(version),
        industry=roi.INDUSTRIES.get(case.industry),
        industries_on=roi.INDUSTRIES_AS_OF,
        measured=measure(now, version.scenario_id),
        plan=_plan(list_standings(tenant, now)),
        risks=tuple(
            JudgedRisk(
                each.title,
                each.likelihood,
                each.impact,
                each.mitigation,
                str(each.owner or ""),
                each.judged_at.date(),
            )
            for each in case.risks.all()
        ),
        author=words.get("author", ""),
        prepared_for=words.get("prepared_for", ""),
        notes={key: words.get(f"note.{key}", "") for key in SECTIONS},
    )


def words_of(case: BusinessCase) -> dict[str, str]:
    """Return the words of a case; none after they were erased."""
    return _words(case.words)


def said_in(version: CaseVersion) -> dict[str, str]:
    """Return the words in a version; none after they were erased."""
    return _words(version.said)


def _words(sealed: Any) -> dict[str, str]:
    return dict(sealed) if isinstance(sealed, dict) else {}


def _priced(version: ScenarioVersion) -> Priced:
    return Priced(
        name=version.document["name"],
        number=version.number,
        saved_at=version.saved_at,
        inputs_sha256=version.inputs_sha256,
        engine_version=version.engine_version,
        document=version.document,
        results=version.results,
        url=version.get_absolute_url(),
    )


def _plan(standings: list[PhaseStanding]) -> Plan:
    if standings:
        return Plan(True, tuple(_own_phase(each) for each in standings))
    return Plan(False, tuple(_proposed_phases()))


def _own_phase(standing: PhaseStanding) -> PlannedPhase:
    phase = standing.phase
    return PlannedPhase(
        key=phase.anchor,
        title=str(phase),
        starts_on=phase.starts_on,
        ends_on=phase.ends_on,
        days=(phase.ends_on - phase.starts_on).days + 1,
        state=standing.state,
        tasks=tuple(
            PlannedTask(
                task.title,
                task.get_state_display(),
                task.due_on,
                task.owner.email if task.owner else "",
            )
            for task in standing.tasks
        ),
        criteria=tuple(
            PlannedCriterion(
                one.criterion.measure,
                one.criterion.get_measure_display(),
                describe_target(one.criterion.measure, one.criterion.target),
                describe_value(one.criterion.measure, one.found.value),
                _inside(one.found.sentence) if one.found.value is None else "",
                one.status,
            )
            for one in standing.judged
        ),
    )


def _inside(sentence: str) -> str:
    """Return a sentence as it stands inside another one."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _proposed_phases() -> list[PlannedPhase]:
    return [
        PlannedPhase(
            key=planned.kind.partition("_")[2].lower(),
            title=str(planned.kind.label),
            starts_on=None,
            ends_on=None,
            days=7 * planned.weeks,
            state="PLANNED",
            tasks=tuple(PlannedTask(title, "To do", None, "") for title in planned.tasks),
            criteria=tuple(
                PlannedCriterion(
                    measure, str(measure.label), describe_target(measure, target), "", "", "PLANNED"
                )
                for measure, target in planned.targets.items()
            ),
        )
        for planned in DEFAULT_PLAN
    ]
