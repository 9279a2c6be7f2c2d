"""The outline of a scenario's document: which numbers stand where, what they are called, in which
unit. The form, the files and the differences all follow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# The names of a distribution's numbers in the document; a plain number has one.
SHAPES = {
    "number": ("value",),
    "pert": ("low", "likely", "high"),
    "triangular": ("low", "likely", "high"),
    "uniform": ("low", "high"),
    "normal": ("mean", "sd"),
    "lognormal": ("p5", "p95"),
    "unknown": (),
}
SHAPE_TITLES = {
    "number": "One number",
    "pert": "Range (PERT)",
    "triangular": "Range (triangular)",
    "uniform": "Range (uniform)",
    "normal": "Normal",
    "lognormal": "Lognormal",
    "unknown": "Unknown",
}
# What a number carries beside itself. Its unit follows from its place.
NOTES = ("basis", "source", "url", "year", "note")
BASES = {
    "": "Not stated",
    "assumption": "Assumption",
    "published": "Published",
    "measured": "Measured",
}


@dataclass(frozen=True)
class Place:
    """A number of the document. ``unit`` has ``{currency}`` where money is meant."""

    key: str
    label: str
    role: str
    unit: str
    optional: bool = False
    help: str = ""

    @property
    def is_percent(self) -> bool:
        """Whether people write it in percent."""
        return self.role in ("share", "rate")

    @property
    def shapes(self) -> tuple[str, ...]:
        """The distributions that it may have: a share and a rate have limits."""
        unbounded = ("normal", "lognormal")
        return tuple(s for s in SHAPES if not (self.is_percent and s in unbounded))


@dataclass(frozen=True)
class Kind:
    """An entry of one of the lists."""

    group: str
    name: str
    title: str
    places: tuple[Place, ...]
    has_year: bool = False


_YEARLY = "{currency} a year"
_GROWTH = Place("growth", "Growth a year", "rate", "%", optional=True, help="Empty: 0.")
HEAD = (
    Place("discount_rate", "Discount rate", "rate", "%", help="Your cost of capital."),
    Place(
        "inflation",
        "Inflation",
        "rate",
        "%",
        optional=True,
        help="Empty: amounts are taken as they are in each year.",
    ),
    Place("tax_rate", "Tax rate", "share", "%", optional=True, help="Empty: before tax."),
)
# Certain rates of MIRR: plain numbers in the document.
PLAIN_RATES = ("finance_rate", "reinvest_rate")
RAMP = Place("ramp_up", "Share of the benefits", "share", "%")
KINDS = (
    Kind(
        "current_costs",
        "current",
        "Cost of today's system",
        (
            Place("annual", "Cost a year", "money", _YEARLY),
            Place(
                "replaced_share",
                "Share that ends",
                "share",
                "%",
                optional=True,
                help="Empty: all of it.",
            ),
            _GROWTH,
        ),
    ),
    Kind(
        "one_time_costs",
        "once",
        "One-time cost",
        (Place("amount", "Amount", "money", "{currency}"),),
        has_year=True,
    ),
    Kind(
        "running_costs",
        "running",
        "Running cost",
        (Place("annual", "Cost a year", "money", _YEARLY), _GROWTH),
    ),
    Kind(
        "benefits",
        "errors",
        "Errors avoided",
        (
            Place("errors_per_year", "Errors a year today", "count", "a year"),
            Place("avoided_share", "Share avoided", "share", "%"),
            Place("cost_per_error", "Cost of one error", "money", "{currency}"),
            _GROWTH,
        ),
    ),
    Kind(
        "benefits",
        "efficiency",
        "Efficiency gain",
        (
            Place("baseline_cost", "Cost a year today", "money", _YEARLY),
            Place("gain_share", "Gain as a share of it", "share", "%"),
            _GROWTH,
        ),
    ),
    Kind(
        "benefits",
        "compliance",
        "Compliance saving",
        (Place("annual_savings", "Savings a year", "money", _YEARLY), _GROWTH),
    ),
    Kind(
        "risks",
        "events",
        "Risk, by loss events",
        (
            Place("events_per_year", "Loss events a year", "count", "a year"),
            Place("loss_per_event", "Loss of one event", "money", "{currency}"),
            Place("reduction_share", "Share removed", "share", "%"),
            _GROWTH,
        ),
    ),
    Kind(
        "risks",
        "threats",
        "Risk, by threats",
        (
            Place("threat_events_per_year", "Threat events a year", "count", "a year"),
            Place("vulnerability", "Vulnerability", "share", "%"),
            Place("loss_per_event", "Loss of one event", "money", "{currency}"),
            Place("reduction_share", "Share removed", "share", "%"),
            _GROWTH,
        ),
    ),
)
GROUPS = ("current_costs", "one_time_costs", "running_costs", "benefits", "risks")


def kind_named(group: str, name: str) -> Kind:
    """Return a kind; the group's first for a name that it does not have."""
    kinds = [kind for kind in KINDS if kind.group == group]
    return next((kind for kind in kinds if kind.name == name), kinds[0])


def kind_of(group: str, entry: Mapping[str, Any]) -> Kind:
    """Return the kind of a document's entry."""
    if group == "risks":
        return kind_named(group, "threats" if "threat_events_per_year" in entry else "events")
    return kind_named(group, str(entry.get("kind", "")))


@dataclass(frozen=True)
class Held:
    """A number of one document: where, what it is called in full, and what stands there."""

    path: str
    place: Place
    title: str
    value: Any


def numbers_of(document: Mapping[str, Any]) -> Iterator[Held]:
    """Yield the numbers that stand in a checked document, in its order."""
    for place in HEAD:
        if place.key in document:
            yield Held(place.key, place, place.label, document[place.key])
    for index, value in enumerate(document.get("ramp_up", [])):
        yield Held(f"ramp_up.{index}", RAMP, f"Ramp-up, year {index + 1}", value)
    for group in GROUPS:
        for index, entry in enumerate(document.get(group, [])):
            kind = kind_of(group, entry)
            name = entry.get("name") or kind.title
            for place in kind.places:
                if place.key in entry:
                    path = f"{group}.{index}.{place.key}"
                    title = f"{name}: {place.label[:1].lower()}{place.label[1:]}"
                    yield Held(path, place, title, entry[place.key])


def shape_of(value: Any) -> str:
    """Return which shape a number of the document has."""
    if not isinstance(value, Mapping):
        return "unknown" if value is None else "number"
    if "value" in value:
        return "unknown" if value["value"] is None else "number"
    return str(value.get("distribution", "pert"))


def notes_of(value: Any) -> dict[str, Any]:
    """Return the notes that a number carries."""
    if not isinstance(value, Mapping):
        return {}
    return {name: value[name] for name in NOTES if value.get(name) not in (None, "")}


def parts_of(value: Any) -> tuple[Any, ...]:
    """Return the numbers of a number: one, or a distribution's."""
    if not isinstance(value, Mapping):
        return () if value is None else (value,)
    return tuple(value[key] for key in SHAPES[shape_of(value)])
