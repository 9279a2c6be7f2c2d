"""The form of a scenario: a document as flat texts, and back.

Every field is named by its place in the document (``benefits.0.gain_share.a``), so what the
calculator says about a place is shown beside its field. A number has up to three texts a, b, c, by
its shape. The calculator is the only judge of the whole; only percentages are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from business import roi
from business.roi.scenario import ITEMS_MAX
from business.scenarios import outline
from business.scenarios.amounts import NotANumber, from_text, to_text
from business.scenarios.outline import Kind, Place

# Of a form as it is sent; a page of more fields is no page (the settings allow 1000).
FIELDS_MAX = 900
_PARTS = {1: ("a",), 2: ("a", "b"), 3: ("a", "b", "c"), 0: ()}
_TEXTS = ("name", "description", "industry", "currency", "timing", "rate_kind")
_WHOLES = ("horizon_years", "depreciation_years")

BLANK: dict[str, Any] = {
    "name": "",
    "currency": "EUR",
    "horizon_years": "5",
    "timing": "end",
    "rate_kind": "nominal",
    "discount_rate": "",
    "one_time_costs": [{"name": "", "amount": "", "year": "0"}],
    "running_costs": [{"name": "", "annual": ""}],
    "benefits": [
        {
            "kind": "errors",
            "name": "",
            "errors_per_year": "",
            "avoided_share": "",
            "cost_per_error": "",
        }
    ],
}


class ScenarioForm:
    """Texts by name, and what is wrong with them by place."""

    def __init__(self, values: Mapping[str, str]) -> None:
        """Take the texts of a sent form, or of ``flatten``."""
        self.values = {name: value.strip() for name, value in values.items()}
        self.problems: list[roi.Problem] = []

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ScenarioForm:
        """Return the form that shows a document."""
        return cls(flatten(document))

    # -- reading ---------------------------------------------------------------------------------

    def check(self) -> dict[str, Any] | None:
        """Return the document when the calculator takes it; else None: see ``problems``."""
        document = self.document()
        found = list(self.problems)
        try:
            roi.read_scenario(document)
        except roi.BadInput as refusal:
            spoken_for = {problem.field for problem in found}
            found += [each for each in refusal.problems if each.field not in spoken_for]
        self.problems = found
        return None if found else document

    def document(self) -> dict[str, Any]:
        """Return the document that the texts describe, checked or not."""
        self.problems = []
        document: dict[str, Any] = {}
        for name in (*_TEXTS, *_WHOLES):
            if value := self.values.get(name, ""):
                document[name] = value
        for place in outline.HEAD:
            self._put(document, place, place.key)
        for name in outline.PLAIN_RATES:
            if text := self.values.get(name, ""):
                document[name] = self._amount(text, "rate", name)
        ramp = [self._number(outline.RAMP, f"ramp_up.{i}") for i in range(self.count("ramp_up"))]
        if ramp:
            document["ramp_up"] = ramp
        for group in outline.GROUPS:
            entries = [self._entry(group, i) for i in range(self.count(group))]
            if entries:
                document[group] = entries
        self._put_correlations(document)
        self._put_exchange(document)
        return document

    def count(self, group: str) -> int:
        """Return how many entries of a list were sent."""
        key = {"ramp_up": "shape", "correlations": "rank"}.get(group, "kind")
        index = 0
        while index < ITEMS_MAX and f"{group}.{index}.{key}" in self.values:
            index += 1
        return index

    def _entry(self, group: str, index: int) -> dict[str, Any]:
        path = f"{group}.{index}"
        kind = outline.kind_named(group, self.values.get(f"{path}.kind", ""))
        entry: dict[str, Any] = {"kind": kind.name} if group == "benefits" else {}
        entry["name"] = self.values.get(f"{path}.name", "")
        for place in kind.places:
            self._put(entry, place, f"{path}.{place.key}")
        if kind.has_year:
            entry["year"] = self.values.get(f"{path}.year") or "0"
        return entry

    def _put(self, part: dict[str, Any], place: Place, path: str) -> None:
        is_left_out = (
            place.optional
            and self.values.get(f"{path}.shape", "number") == "number"
            and not self.values.get(f"{path}.a")
        )
        if not is_left_out:
            part[place.key] = self._number(place, path)

    def _number(self, place: Place, path: str) -> Any:
        get = self.values.get
        shape = get(f"{path}.shape") or "number"
        notes = {name: text for name in outline.NOTES if (text := get(f"{path}.{name}", ""))}
        if shape == "unknown":
            return {"value": None, **notes} if notes else None
        keys = outline.SHAPES.get(shape)
        if keys is None:
            return {"distribution": shape, **notes}
        parts = [
            self._amount(get(f"{path}.{part}", ""), place.role, path) for part in _PARTS[len(keys)]
        ]
        if shape == "number":
            return {"value": parts[0], **notes} if notes else parts[0]
        found = {"distribution": shape, **dict(zip(keys, parts, strict=True)), **notes}
        if get(f"{path}.draw") == "yearly":
            found["draw"] = "yearly"
        return found

    def _amount(self, text: str, role: str, path: str) -> Any:
        if not text:
            self._wrong(path, "Enter a number, or choose Unknown.")
            return None
        try:
            return from_text(text, role)
        except NotANumber as wrong:
            self._wrong(path, f"This {wrong}")
            return None

    def _wrong(self, path: str, sentence: str) -> None:
        if not any(problem.field == path for problem in self.problems):
            self.problems.append(roi.Problem(path, sentence))

    def _put_correlations(self, document: dict[str, Any]) -> None:
        found = []
        for index in range(self.count("correlations")):
            pair, rank = (
                [self.values.get(f"correlations.{index}.{end}", "") for end in ("first", "second")],
                self.values.get(f"correlations.{index}.rank", ""),
            )
            if any(pair) or rank:
                found.append({"between": pair, "rank": rank})
        if found:
            document["correlations"] = found

    def _put_exchange(self, document: dict[str, Any]) -> None:
        code, rates = (self.values.get(f"report_currency.{key}", "") for key in ("code", "rates"))
        if code or rates:
            listed = [rate.strip() for rate in rates.replace(";", ",").split(",")]
            document["report_currency"] = {"code": code, "rates": listed if rates else []}

    # -- changing ----------------------------------------------------------------------------------

    def act(self, act: str) -> str:
        """Add or remove an entry as ``add:<group>:<kind>`` or ``remove:<group>:<index>`` says;
        return the group, empty for anything else.
        """
        verb, _, rest = act.partition(":")
        group, _, what = rest.partition(":")
        known = (*outline.GROUPS, "ramp_up", "correlations")
        if verb not in ("add", "remove") or group not in known:
            return ""
        if verb == "add":
            self._add(group, what)
        elif what.isascii() and what.isdigit() and int(what[:4]) < self.count(group):
            self._remove(group, int(what[:4]))
        return group

    def _add(self, group: str, what: str) -> None:
        index = self.count(group)
        if index == ITEMS_MAX:
            return
        if group == "ramp_up":
            self.values[f"ramp_up.{index}.shape"] = "number"
        elif group == "correlations":
            self.values[f"correlations.{index}.rank"] = ""
        else:
            self.values[f"{group}.{index}.kind"] = outline.kind_named(group, what).name

    def _remove(self, group: str, index: int) -> None:
        """Take an entry out and move the later ones up, in correlations' paths as well."""
        moved: dict[str, str] = {}
        for name, value in self.values.items():
            new = _moved(name, group, index)
            if new is not None:
                moved[new] = value
        for name, value in list(moved.items()):
            if name.startswith("correlations.") and name.endswith((".first", ".second")):
                moved[name] = _moved(value, group, index) or ""
        self.values = moved


def _moved(name: str, group: str, index: int) -> str | None:
    """Return a name after the removal of an entry; None for a name of the entry itself."""
    head, _, rest = name.partition(".")
    number, dot, tail = rest.partition(".")
    if head != group or not (number.isascii() and number.isdigit()):
        return name
    at = int(number[:6])
    if at == index:
        return None
    return f"{group}.{at - 1}{dot}{tail}" if at > index else name


def flatten(document: Mapping[str, Any]) -> dict[str, str]:
    """Return a document as the texts of its form."""
    values = {
        name: str(document[name])
        for name in (*_TEXTS, *_WHOLES)
        if document.get(name) not in (None, "")
    }
    for place in outline.HEAD:
        _flatten_number(values, place, place.key, document.get(place.key, ""))
    for name in outline.PLAIN_RATES:
        values[name] = to_text(document.get(name), percent=True)
    for index, value in enumerate(document.get("ramp_up") or []):
        _flatten_number(values, outline.RAMP, f"ramp_up.{index}", value)
    for group in outline.GROUPS:
        for index, entry in enumerate(document.get(group) or []):
            _flatten_entry(values, outline.kind_of(group, entry), f"{group}.{index}", entry)
    for index, entry in enumerate(document.get("correlations") or []):
        path = f"correlations.{index}"
        values[f"{path}.first"], values[f"{path}.second"] = entry["between"]
        values[f"{path}.rank"] = to_text(entry["rank"])
    if exchange := document.get("report_currency"):
        values["report_currency.code"] = exchange["code"]
        values["report_currency.rates"] = ", ".join(map(to_text, exchange["rates"]))
    return values


def _flatten_entry(values: dict[str, str], kind: Kind, path: str, entry: Mapping[str, Any]) -> None:
    values[f"{path}.kind"] = kind.name
    values[f"{path}.name"] = str(entry.get("name", ""))
    for place in kind.places:
        _flatten_number(values, place, f"{path}.{place.key}", entry.get(place.key, ""))
    if kind.has_year:
        values[f"{path}.year"] = to_text(entry.get("year", 0))


def _flatten_number(values: dict[str, str], place: Place, path: str, value: Any) -> None:
    shape = outline.shape_of(value)
    values[f"{path}.shape"] = shape
    parts = outline.parts_of(value)
    for name, part in zip(_PARTS[len(parts)], parts, strict=True):
        values[f"{path}.{name}"] = to_text(part, percent=place.is_percent)
    for name, note in outline.notes_of(value).items():
        values[f"{path}.{name}"] = str(note)
    if isinstance(value, Mapping) and value.get("draw") == "yearly":
        values[f"{path}.draw"] = "yearly"


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in the one form in which it is kept: numbers as text, shapes named.

    Raises ``BadInput`` with all that is wrong with it.
    """
    roi.read_scenario(document)
    form = ScenarioForm.of(deepcopy(dict(document)))
    found = form.check()
    if found is None:
        raise roi.BadInput(form.problems)
    return found
