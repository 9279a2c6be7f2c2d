"""What a change saved, as members record it beside a forecast. Nothing is overwritten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from business.scenarios.models import RealisedSaving, Scenario, ScenarioVersion
from business.scenarios.services.errors import (
    AlreadyCorrected,
    MonthsOutside,
    MonthsTaken,
    SavingUnknown,
    TooMany,
)
from tenants.journal import Subject, note
from tenants.models import User

SAVINGS_MAX = 1000


@dataclass(frozen=True)
class SavingInput:
    """What a person says was saved, in which months, and where that stands."""

    amount: Decimal
    first_month: int
    last_month: int
    source: str


@transaction.atomic
def record_saving(
    *,
    acting_user: User,
    version: ScenarioVersion,
    saving: SavingInput,
    recorded_at: datetime,
    corrects_id: UUID | None = None,
) -> RealisedSaving:
    """Add an entry, or one that takes the place of ``corrects_id``. Locks the scenario.

    Raises ``MonthsOutside``, ``MonthsTaken``, ``SavingUnknown``, ``AlreadyCorrected``, ``TooMany``.
    """
    # The lock makes the checks below true until we commit.
    scenario = Scenario.objects.select_for_update().get(pk=version.scenario_id)
    entries = RealisedSaving.objects.filter(version__scenario=scenario)
    if entries.count() >= SAVINGS_MAX:
        raise TooMany(f"This scenario has {SAVINGS_MAX} entries. Go on with a copy of it.")
    corrected = None if corrects_id is None else _find(entries.filter(pk=corrects_id))
    _check_months(version, saving)
    standing = entries.filter(correction=None, last_month__gte=saving.first_month)
    overlapping = standing.filter(first_month__lte=saving.last_month)
    taken = next((each for each in overlapping if each != corrected), None)
    if taken is not None:
        raise MonthsTaken(f"There is an entry for {taken.months} already. Correct that one.")
    made = RealisedSaving.objects.create(
        version=version,
        **vars(saving),
        corrects=corrected,
        recorded_at=recorded_at,
        recorded_by=acting_user,
        recorded_by_email=acting_user.email,
    )
    note(
        who=acting_user,
        action="scenario.saving_recorded",
        subject=Subject("scenario", str(scenario.pk), scenario.name),
        at=recorded_at,
        before=None if corrected is None else _terms(corrected),
        after=_terms(made),
    )
    return made


def _find(entries: QuerySet[RealisedSaving]) -> RealisedSaving:
    found = entries.select_related("correction").first()
    if found is None:
        raise SavingUnknown("There is no such entry here.")
    if hasattr(found, "correction"):
        raise AlreadyCorrected("That entry was corrected already. Correct the one in its place.")
    return found


def _check_months(version: ScenarioVersion, saving: SavingInput) -> None:
    most = 12 * version.results["horizon_years"]
    if not 1 <= saving.first_month <= saving.last_month <= most:
        raise MonthsOutside(
            f"The scenario has months 1 to {most}, and the last one is not before the first one."
        )


def _terms(saving: RealisedSaving) -> dict[str, object]:
    # What it rests on may name persons: it stays sealed beside the entry.
    return {
        "entry": str(saving.pk),
        "version": saving.version.number,
        "months": [saving.first_month, saving.last_month],
        "amount": str(saving.amount),
    }
