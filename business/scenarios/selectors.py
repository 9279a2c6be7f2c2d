"""Reads of scenarios for pages, files and the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet

from business import roi
from business.scenarios import outline
from business.scenarios.amounts import grouped
from business.scenarios.form import flatten
from business.scenarios.models import LongSimulation, RealisedSaving, ScenarioVersion, ShareLink
from business.scenarios.services import (
    LinkUnknown,
    SavingUnknown,
    ScenarioUnknown,
    SimulationUnknown,
    VersionUnknown,
)

SORTS = {
    "newest": ("-saved_at", "-pk"),
    "name": ("scenario__name", "pk"),
    "npv": ("-npv", "pk"),
}


def list_latest(*, search: str = "", sort: str = "newest") -> QuerySet[ScenarioVersion]:
    """Return the last version of each scenario whose name contains the words."""
    versions = ScenarioVersion.objects.select_related("scenario").filter(
        number=F("scenario__latest_number")
    )
    for word in search.split()[:10]:
        versions = versions.filter(scenario__name__icontains=word)
    if sort == "npv":
        # JSON numbers are compared as numbers, and null comes last from above.
        return versions.order_by(F("results__npv").desc(nulls_last=True), "pk")
    return versions.order_by(*SORTS.get(sort, SORTS["newest"]))


def get_version(scenario_id: UUID, number: int | None = None) -> ScenarioVersion:
    """Return a version, the last one without a number; raises ``ScenarioUnknown``,
    ``VersionUnknown``.
    """
    versions = ScenarioVersion.objects.select_related("scenario").filter(scenario=scenario_id)
    wanted = F("scenario__latest_number") if number is None else number
    found = versions.filter(number=wanted).first()
    if found is not None:
        return found
    if not versions.exists():
        raise ScenarioUnknown("There is no such scenario here.")
    raise VersionUnknown(f"This scenario has no version {number}.")


def list_versions(scenario_id: UUID) -> QuerySet[ScenarioVersion]:
    """Return the versions of a scenario, the newest first."""
    return ScenarioVersion.objects.select_related("scenario").filter(scenario=scenario_id)


def list_chosen(scenario_ids: Iterable[UUID]) -> list[ScenarioVersion]:
    """Return the last versions of these scenarios, in this order; raises ``ScenarioUnknown``."""
    return [get_version(scenario_id) for scenario_id in scenario_ids]


def list_links(scenario_id: UUID, at: datetime) -> list[ShareLink]:
    """Return the open links to a scenario's versions."""
    links = ShareLink.objects.select_related("version").filter(
        version__scenario=scenario_id, revoked_at=None, expires_at__gt=at
    )
    return list(links)


def get_shared(link_id: UUID, at: datetime) -> ShareLink:
    """Return an open link with its version; raises ``LinkUnknown``."""
    link = ShareLink.objects.select_related("version__scenario").filter(pk=link_id).first()
    if link is None or not link.is_open(at):
        raise LinkUnknown("This link has expired, was revoked, or never was. Ask for a new one.")
    return link


def list_simulations(version: ScenarioVersion) -> QuerySet[LongSimulation]:
    """Return the long simulations of a version, the newest first."""
    return version.simulations.all()


def get_simulation(simulation_id: UUID) -> LongSimulation:
    """Return a long simulation with its version; raises ``SimulationUnknown``."""
    simulations = LongSimulation.objects.select_related("version__scenario")
    found = simulations.filter(pk=simulation_id).first()
    if found is None:
        raise SimulationUnknown("There is no such simulation here.")
    return found


# --- what was saved ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Realised:
    """What was saved before tax in the months that have an entry, and the forecast for them."""

    amount: Decimal
    forecast: Decimal
    currency: str
    months: int

    @property
    def share(self) -> Decimal | None:
        """Realised against forecast; None where the forecast is no saving."""
        return self.amount / self.forecast if self.forecast > 0 else None


def list_savings(scenario_id: UUID) -> QuerySet[RealisedSaving]:
    """Return every entry of a scenario, corrected ones too, month by month."""
    entries = RealisedSaving.objects.select_related("version", "correction", "corrects")
    return entries.filter(version__scenario=scenario_id)


def get_saving(scenario_id: UUID, saving_id: UUID) -> RealisedSaving:
    """Return an entry of this scenario; raises ``SavingUnknown``."""
    found = list_savings(scenario_id).filter(pk=saving_id).first()
    if found is None:
        raise SavingUnknown("There is no such entry here.")
    return found


def find_realised(scenario_id: UUID | None = None) -> list[Realised]:
    """Return what the entries that stand add up to, a currency each; of all scenarios without
    one. Entries whose version has no forecast are left out.
    """
    entries = RealisedSaving.objects.select_related("version").defer("version__document")
    entries = entries.filter(correction=None)
    if scenario_id is not None:
        entries = entries.filter(version__scenario=scenario_id)
    found: dict[str, Realised] = {}
    for entry in entries:
        forecast = forecast_of(entry)
        if forecast is None:
            continue
        code = entry.version.results["currency"]
        before = found.get(code, Realised(Decimal(0), Decimal(0), code, 0))
        found[code] = Realised(
            before.amount + entry.amount,
            before.forecast + forecast,
            code,
            before.months + entry.last_month - entry.first_month + 1,
        )
    return list(found.values())


def forecast_of(entry: RealisedSaving) -> Decimal | None:
    """Return what its version forecasts for its months: benefits less running costs, a twelfth of
    their year each; None where an input is unknown.
    """
    total = Decimal(0)
    for month in range(entry.first_month, entry.last_month + 1):
        year = entry.version.results["years"][(month - 1) // 12 + 1]
        parts = [amount for key, amount in year.items() if key.startswith("benefit_")]
        if None in parts or year["running_cost"] is None:
            return None
        saved = sum((Decimal(str(part)) for part in parts), Decimal(0))
        total += (saved - Decimal(str(year["running_cost"]))) / 12
    return total


# --- inputs and their sources --------------------------------------------------------------------


@dataclass(frozen=True)
class InputRow:
    """A number of a document as tables show it."""

    path: str
    title: str
    value: str
    basis: str
    source: str
    url: str
    year: str
    note: str


def list_inputs(document: Mapping[str, Any]) -> list[InputRow]:
    """Return every number of a document with its source."""
    rows = []
    for held in outline.numbers_of(document):
        notes = {name: str(text) for name, text in outline.notes_of(held.value).items()}
        rows.append(
            InputRow(
                path=held.path,
                title=held.title,
                value=describe_number(held, str(document.get("currency", ""))),
                basis=outline.BASES.get(notes.get("basis", ""), ""),
                **{name: notes.get(name, "") for name in ("source", "url", "year", "note")},
            )
        )
    return rows


def describe_number(held: outline.Held, currency: str) -> str:
    """Return a number in words: 150 000 to 300 000 EUR a year, most likely 200 000."""
    shape = outline.shape_of(held.value)
    unit = held.place.unit.replace("{currency}", currency)
    parts = [grouped(part, percent=held.place.is_percent) for part in outline.parts_of(held.value)]
    text = _WORDS[shape].format(*parts, unit=f" {unit}" if unit else "")
    if isinstance(held.value, Mapping) and held.value.get("draw") == "yearly":
        text += ", drawn each year"
    return text


_WORDS = {
    "number": "{}{unit}",
    "unknown": "unknown",
    "pert": "{0} to {2}{unit}, most likely {1}",
    "triangular": "{0} to {2}{unit}, most likely {1} (triangular)",
    "uniform": "{0} to {1}{unit}",
    "normal": "{0} ± {1}{unit} (normal)",
    "lognormal": "{0} to {1}{unit} in nine of ten cases (lognormal)",
}


@dataclass(frozen=True)
class Change:
    """A number or text that differs between two documents."""

    title: str
    before: str
    after: str


def list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what differs between two documents, place by place."""
    old, new = _described(before), _described(after)
    return [
        Change(
            new.get(path, old.get(path, ("", "")))[0],
            old[path][1] if path in old else "",
            new[path][1] if path in new else "",
        )
        for path in dict.fromkeys([*old, *new])
        if old.get(path) != new.get(path)
    ]


def _described(document: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return a title and text for each place of a document."""
    currency = str(document.get("currency", ""))
    found = {}
    for held in outline.numbers_of(document):
        notes = "; ".join(str(text) for text in outline.notes_of(held.value).values())
        text = describe_number(held, currency)
        found[held.path] = (held.title, f"{text} ({notes})" if notes else text)
    numbers = tuple(f"{path}." for path in found)
    for name, text in flatten(document).items():
        if text and not name.startswith(numbers):
            found[name] = (name.replace("_", " ").replace(".", " "), text)
    return found


def compare_versions(versions: list[ScenarioVersion]) -> dict[str, Any]:
    """Return scenarios side by side; raises ``BadInput`` where they cannot be compared."""
    return roi.compare([roi.read_scenario(version.document) for version in versions])


def titles_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the full name of each number by its path."""
    return {held.path: held.title for held in outline.numbers_of(document)}
