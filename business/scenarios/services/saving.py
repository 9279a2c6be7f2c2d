"""Saving a version, copying one, deleting a scenario, taking a file away."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from business import roi
from business.roi.reading import digest
from business.scenarios import results
from business.scenarios.form import canonical
from business.scenarios.models import Scenario, ScenarioVersion
from business.scenarios.services.errors import (
    BadScenario,
    NotConfirmed,
    NothingChanged,
    ReasonMissing,
    SavedMeanwhile,
    ScenarioUnknown,
    TooMany,
)
from tenants.journal import Subject, note
from tenants.models import User

SCENARIOS_MAX = 1000
VERSIONS_MAX = 1000
NAME_MAX = 300
REASON_MAX = 500


def save_scenario(
    *,
    acting_user: User,
    document: Mapping[str, Any],
    reason: str,
    saved_at: datetime,
    scenario_id: UUID | None = None,
    seen_number: int | None = None,
) -> ScenarioVersion:
    """Save the first version of a scenario, or the next one of ``scenario_id``, with its results.

    ``seen_number`` is the version that the form was filled from. Raises ``BadScenario``,
    ``ReasonMissing``, ``ScenarioUnknown``, ``NothingChanged``, ``SavedMeanwhile`` and ``TooMany``.
    Computes up to half a second before its transaction.
    """
    reason = reason.strip()[:REASON_MAX]
    if not reason:
        raise ReasonMissing("Say in a few words what this version is.")
    try:
        kept = canonical(document)
        found = results.compute(kept)
    except roi.BadInput as refusal:
        raise BadScenario(refusal) from None
    with transaction.atomic():
        scenario = _lock(scenario_id, seen_number, digest(kept))
        before = scenario.latest_number if scenario else None
        if scenario is None:
            scenario = Scenario.objects.create(name=kept["name"])
        else:
            scenario.name = kept["name"]
            scenario.latest_number += 1
            scenario.save()
        version = ScenarioVersion.objects.create(
            scenario=scenario,
            number=scenario.latest_number,
            document=kept,
            inputs_sha256=digest(kept),
            results=found,
            engine_version=roi.VERSION,
            saved_at=saved_at,
            saved_by_id=acting_user.pk,
            saved_by_email=acting_user.email,
            reason=reason,
        )
        note(
            who=acting_user,
            action="scenario.saved",
            subject=Subject("scenario", str(scenario.pk), scenario.name),
            at=saved_at,
            before={"version": before} if before else None,
            after={"version": version.number, "inputs_sha256": version.inputs_sha256},
            why=reason,
        )
    return version


def _lock(scenario_id: UUID | None, seen_number: int | None, sha256: str) -> Scenario | None:
    if scenario_id is None:
        if Scenario.objects.count() >= SCENARIOS_MAX:
            raise TooMany(f"There are {SCENARIOS_MAX} scenarios. Delete one that nobody needs.")
        return None
    scenario = Scenario.objects.select_for_update().filter(pk=scenario_id).first()
    if scenario is None:
        raise ScenarioUnknown("There is no such scenario here.")
    if seen_number is not None and seen_number != scenario.latest_number:
        raise SavedMeanwhile(
            f"Version {scenario.latest_number} was saved since you opened version {seen_number}."
            " Open it in another window, and bring your changes together."
        )
    latest = scenario.versions.get(number=scenario.latest_number)
    if latest.inputs_sha256 == sha256:
        raise NothingChanged(f"Nothing differs from version {latest.number}.")
    if scenario.latest_number >= VERSIONS_MAX:
        raise TooMany(f"This scenario has {VERSIONS_MAX} versions. Go on with a copy of it.")
    return scenario


def duplicate_version(
    *, acting_user: User, version: ScenarioVersion, duplicated_at: datetime
) -> ScenarioVersion:
    """Save a version as the first one of a new scenario. Raises ``TooMany``."""
    name = f"{version.document['name'][: NAME_MAX - 10]} (copy)"
    return save_scenario(
        acting_user=acting_user,
        document={**version.document, "name": name},
        reason=f"A copy of {version}"[:REASON_MAX],
        saved_at=duplicated_at,
    )


@transaction.atomic
def delete_scenario(
    *, acting_user: User, scenario_id: UUID, confirmation: str, deleted_at: datetime
) -> str:
    """Delete a scenario with its versions, links and simulations; return its name.

    Raises ``ScenarioUnknown``, and ``NotConfirmed`` unless its name was typed.
    """
    scenario = Scenario.objects.select_for_update().filter(pk=scenario_id).first()
    if scenario is None:
        raise ScenarioUnknown("There is no such scenario here.")
    if confirmation.strip() != scenario.name:
        raise NotConfirmed("Nothing was deleted: what was typed is not the scenario's name.")
    digests = scenario.versions.values_list("number", "inputs_sha256")
    note(
        who=acting_user,
        action="scenario.deleted",
        subject=Subject("scenario", str(scenario.pk), scenario.name),
        at=deleted_at,
        before={"versions": {str(number): sha256 for number, sha256 in digests}},
    )
    Scenario.objects.filter(pk=scenario.pk).delete()
    return scenario.name


@transaction.atomic
def record_download(
    *, acting_user: User, version: ScenarioVersion, form: str, downloaded_at: datetime
) -> None:
    """Record that this person takes a version away as ``xlsx``, ``csv`` or ``json``."""
    note(
        who=acting_user,
        action="scenario.exported",
        subject=Subject("scenario", str(version.scenario_id), version.scenario.name),
        at=downloaded_at,
        after={
            "format": form,
            "version": version.number,
            "inputs_sha256": version.inputs_sha256,
        },
    )
