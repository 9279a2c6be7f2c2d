"""The form as its template shows it: each field with its label, unit, texts and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from business import roi
from business.scenarios import outline
from business.scenarios.form import ScenarioForm
from business.scenarios.outline import Place

_CHOICES = {
    "timing": (("end", "End of the year"), ("mid", "Middle of the year"), ("start", "Start")),
    "rate_kind": (("nominal", "Nominal"), ("real", "Real: amounts in prices of now")),
}
_TEXTS = (
    ("name", "Name", "", "What is decided, in a few words."),
    ("description", "Description", "", ""),
    ("industry", "Industry", "", ""),
    ("currency", "Currency", "", "Three letters, such as EUR."),
    ("horizon_years", "Horizon", "years", f"1 to {roi.HORIZON_MAX}."),
    ("timing", "A year's money counts at its", "", ""),
    ("rate_kind", "The discount rate is", "", ""),
    ("finance_rate", "MIRR: finance rate", "%", "Empty: the discount rate."),
    ("reinvest_rate", "MIRR: reinvestment rate", "%", "Empty: the discount rate."),
    ("depreciation_years", "Depreciation", "years", "Empty: costs count in their year."),
    ("report_currency.code", "Results in another currency", "", "Empty: in the currency above."),
    (
        "report_currency.rates",
        "Exchange rates",
        "",
        "Its units for one of the currency above, for each year from 0, with commas between.",
    ),
)
_REQUIRED = ("name", "currency", "horizon_years", "timing", "rate_kind")


@dataclass(frozen=True)
class Text:
    """A field with one text."""

    name: str
    label: str
    value: str
    unit: str = ""
    help: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    errors: tuple[str, ...] = ()
    is_optional: bool = False

    @property
    def key(self) -> str:
        """The name as an id."""
        return self.name.replace(".", "-")


@dataclass(frozen=True)
class Number:
    """A field for a number or a distribution, with its source."""

    name: str
    place: Place
    unit: str
    values: Mapping[str, str]
    errors: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name as an id."""
        return self.name.replace(".", "-")

    @property
    def shape(self) -> str:
        """Which distribution is chosen."""
        return self.get("shape") or "number"

    @property
    def shapes(self) -> list[tuple[str, str]]:
        """The distributions that can be chosen."""
        return [(shape, outline.SHAPE_TITLES[shape]) for shape in self.place.shapes]

    @property
    def bases(self) -> list[tuple[str, str]]:
        """What a number may rest on."""
        return list(outline.BASES.items())

    @property
    def has_draw(self) -> bool:
        """Whether it can be drawn anew each year."""
        return self.place.role != "rate"

    @property
    def source_line(self) -> str:
        """What is said about where the number comes from, on one line."""
        basis = outline.BASES.get(self.get("basis"), "") if self.get("basis") else ""
        parts = [basis, self.get("source"), self.get("year")]
        return ", ".join(part for part in parts if part) or "No source stated"

    def get(self, part: str) -> str:
        """Return one of its texts."""
        return self.values.get(f"{self.name}.{part}", "")

    @property
    def texts(self) -> dict[str, str]:
        """All its texts, for the template."""
        return {name: self.get(name) for name in ("a", "b", "c", "draw", *outline.NOTES)}


@dataclass(frozen=True)
class Entry:
    """An entry of a list."""

    index: int
    path: str
    kind: outline.Kind
    name: Text
    numbers: list[Number]
    year: Text | None


@dataclass(frozen=True)
class Group:
    """A list with its entries, and what can be added."""

    name: str
    entries: list[Entry]
    kinds: list[outline.Kind]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two correlated inputs."""

    index: int
    first: Text
    second: Text
    rank: Text


@dataclass(frozen=True)
class Page:
    """All fields, and how many of each step are wrong."""

    head: dict[str, Number]
    texts: dict[str, Text]
    groups: dict[str, Group]
    ramp: list[Number]
    pairs: list[Pair]
    wrong: int
    general: tuple[str, ...]


def lay_out(form: ScenarioForm) -> Page:
    """Return the form's fields with the problems that ``form.check`` found, if it was asked."""
    return _Layout(form).page()


class _Layout:
    def __init__(self, form: ScenarioForm) -> None:
        self.form = form
        self.values = form.values
        self.left = list(form.problems)
        self.currency = self.values.get("currency", "")

    def page(self) -> Page:
        head = {place.key: self._number(place, place.key) for place in outline.HEAD}
        texts = {name: self._text(name, *rest) for name, *rest in _TEXTS}
        groups = {group: self._group(group) for group in outline.GROUPS}
        ramp = [
            self._number(outline.RAMP, f"ramp_up.{i}") for i in range(self.form.count("ramp_up"))
        ]
        pairs = self._pairs()
        return Page(
            head=head,
            texts=texts,
            groups=groups,
            ramp=ramp,
            pairs=pairs,
            wrong=len(self.form.problems),
            general=tuple(
                f"{problem.field}: {problem.sentence}" if problem.field else problem.sentence
                for problem in self.left
            ),
        )

    def _errors(self, path: str, *, deep: bool = True) -> tuple[str, ...]:
        """Take the problems of a place, and of what lies in it, off those that are left."""
        found = [
            problem
            for problem in self.left
            if problem.field == path or (deep and problem.field.startswith(f"{path}."))
        ]
        self.left = [problem for problem in self.left if problem not in found]
        return tuple(dict.fromkeys(problem.sentence for problem in found))

    def _text(self, name: str, label: str, unit: str = "", help_text: str = "") -> Text:
        choices = _CHOICES.get(name, ())
        if name == "industry":
            titles = tuple((key, one.title) for key, one in roi.INDUSTRIES.items() if one.facts)
            choices = (("", "Not stated"), *titles)
            if self.values.get(name, "") not in dict(choices):
                choices = (*choices, (self.values[name], self.values[name]))
        return Text(
            name=name,
            label=label,
            value=self.values.get(name, ""),
            unit=unit,
            help=help_text,
            choices=choices,
            errors=self._errors(name),
            is_optional=name not in _REQUIRED and not choices,
        )

    def _number(self, place: Place, path: str) -> Number:
        unit = place.unit.replace("{currency}", self.currency).strip()
        return Number(path, place, unit, self.values, self._errors(path))

    def _group(self, name: str) -> Group:
        entries = [self._entry(name, i) for i in range(self.form.count(name))]
        kinds = [kind for kind in outline.KINDS if kind.group == name]
        return Group(name, entries, kinds, self._errors(name))

    def _entry(self, group: str, index: int) -> Entry:
        path = f"{group}.{index}"
        kind = outline.kind_named(group, self.values.get(f"{path}.kind", ""))
        return Entry(
            index=index,
            path=path,
            kind=kind,
            name=self._text(f"{path}.name", "Name"),
            numbers=[self._number(place, f"{path}.{place.key}") for place in kind.places],
            year=(
                self._text(f"{path}.year", "In year", "", "0 is now.") if kind.has_year else None
            ),
        )

    def _pairs(self) -> list[Pair]:
        document: dict[str, Any] = ScenarioForm(self.values).document()
        choices = (
            ("", "Choose"),
            *(
                (held.path, held.title)
                for held in outline.numbers_of(document)
                if outline.shape_of(held.value) not in ("number", "unknown")
            ),
        )
        pairs = []
        for index in range(self.form.count("correlations")):
            path = f"correlations.{index}"
            between = self._errors(f"{path}.between")
            first, second = (
                Text(
                    name=f"{path}.{end}",
                    label=label,
                    value=self.values.get(f"{path}.{end}", ""),
                    choices=choices,
                    errors=between if end == "first" else (),
                )
                for end, label in (("first", "Input"), ("second", "moves with"))
            )
            pairs.append(
                Pair(
                    index,
                    first,
                    second,
                    self._text(f"{path}.rank", "Rank correlation", "", "−1 to 1."),
                )
            )
        return pairs
