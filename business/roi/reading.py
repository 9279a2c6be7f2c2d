"""Read a scenario from JSON: everything that is wrong is collected, each with its field.

A number is 12, "12.50", null (unknown), or an object: {"value": 12, "source": …, "year": …,
"basis": …} or a distribution with the same notes:

- {"low", "likely", "high"}: PERT; with "distribution": "triangular" straight lines
- {"distribution": "uniform", "low", "high"}
- {"distribution": "normal", "mean", "sd"}
- {"distribution": "lognormal", "p5", "p95"}

"draw": "yearly" draws it anew for each year, "once" (which it is without) for all years together.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from business.roi.amounts import MONEY_MAX, NotANumber, read_number, read_rate, shown
from business.roi.distributions import (
    Distribution,
    Lognormal,
    Normal,
    Pert,
    Triangular,
    Uniform,
)
from business.roi.errors import BadInput, Problem
from business.roi.scenario import ITEMS_MAX, Input

TEXT_BYTES_MAX = 2**20
BASES = ("measured", "published", "assumption")
_TEXT_MAX = 300
_NOTES = ("unit", "source", "url", "year", "basis", "note")
_SHAPES = {
    "pert": ("low", "likely", "high"),
    "triangular": ("low", "likely", "high"),
    "uniform": ("low", "high"),
    "normal": ("mean", "sd"),
    "lognormal": ("p5", "p95"),
}
_COUNT_MAX = Decimal(10) ** 12


def parse(text: str | bytes) -> Any:
    """Return the JSON document with its numbers as Decimals. Raises ``BadInput``."""
    if len(text) > TEXT_BYTES_MAX:
        raise BadInput(f"A scenario has at most {TEXT_BYTES_MAX} bytes.")
    try:
        return json.loads(
            text,
            parse_float=_long_number,
            parse_int=_long_number,
            parse_constant=_no_constant,
            object_pairs_hook=_no_twins,
        )
    except BadInput:
        raise
    except (ValueError, RecursionError) as wrong:
        where = f" (line {wrong.lineno})" if isinstance(wrong, json.JSONDecodeError) else ""
        raise BadInput(f"The file is no JSON document{where}.") from None


def digest(document: Any) -> str:
    """Return the SHA-256 of the inputs, whatever the order of keys and the spaces."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _long_number(text: str) -> Decimal:
    if len(text) > 60:
        raise BadInput("A number of the file has more than 60 characters.")
    return Decimal(text)


def _no_constant(name: str) -> Any:
    raise BadInput(f"{name} is no number; write null for what is unknown.")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, _ in pairs if [k for k, _ in pairs].count(key) > 1)
        raise BadInput(f"{shown(twice)} stands twice in one object.")
    return found


class Reader:
    """Reads parts of a document and collects the problems; ``finish`` raises them."""

    def __init__(self) -> None:
        """Begin without a problem."""
        self.problems: list[Problem] = []

    def wrong(self, path: str, sentence: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(path, sentence))

    def finish(self) -> None:
        """Raise ``BadInput`` when there was any."""
        if self.problems:
            raise BadInput(self.problems)

    def keys(self, part: Any, path: str, allowed: Iterable[str]) -> dict[str, Any]:
        """Return the object, noting keys that nothing reads; empty when it is none."""
        if not isinstance(part, Mapping):
            self.wrong(path, f"This must be an object, not {shown(part)}.")
            return {}
        known = list(allowed)
        for key in part:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f" Did you mean {near[0]}?" if near else ""
                self.wrong(_join(path, str(key)[:40]), f"Nothing reads this.{hint}")
        return dict(part)

    def items(self, part: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
        """Return the entries of a list with their paths; none when it is missing."""
        found = part.get(key)
        if found is None:
            return []
        if not isinstance(found, list):
            self.wrong(key, f"This must be a list, not {shown(found)}.")
            return []
        if len(found) > ITEMS_MAX:
            self.wrong(key, f"At most {ITEMS_MAX} entries, not {len(found)}.")
            return []
        return [(f"{key}.{index}", entry) for index, entry in enumerate(found)]

    def text(self, part: Mapping[str, Any], key: str, path: str, default: str = "") -> str:
        """Return a short text on one line."""
        found = part.get(key, default)
        if not isinstance(found, str) or len(found) > _TEXT_MAX or not found.isprintable():
            self.wrong(_join(path, key), f"This must be a text of at most {_TEXT_MAX} characters.")
            return default
        return found

    def choice(self, part: Mapping[str, Any], key: str, options: tuple[str, ...]) -> str:
        """Return one of the options, the first when nothing is said."""
        found = part.get(key, options[0])
        if found not in options:
            self.wrong(key, f"This is one of {', '.join(options)}, not {shown(found)}.")
            return options[0]
        return str(found)

    def currency(self, value: Any, path: str) -> str:
        """Return a currency's code."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Z]{3}", value, re.ASCII):
            self.wrong(path, f"A currency is a code such as EUR, not {shown(value)}.")
            return "XXX"  # ISO 4217 for none: only until the reader refuses all of it.
        return value

    def whole(self, value: Any, path: str, name: str, low: int, high: int) -> int:
        """Return a whole number within limits."""
        try:
            number = read_number(value, low=-MONEY_MAX, high=MONEY_MAX)
        except NotANumber:
            number = Decimal("0.5")
        if number % 1 or not low <= number <= high:
            self.wrong(
                path, f"{name} is a whole number between {low} and {high}, not {shown(value)}."
            )
            return low
        return int(number)

    def rate(self, part: Mapping[str, Any], key: str) -> Decimal | None:
        """Return a certain rate, or None when it is not given."""
        if part.get(key) is None:
            return None
        try:
            return read_rate(part[key])
        except NotANumber as wrong:
            self.wrong(key, f"This {wrong}")
            return None

    def number(
        self,
        part: Mapping[str, Any],
        key: str,
        path: str,
        role: str,
        default: Decimal | None = None,
    ) -> Input:
        """Return an input; ``default`` when the key is missing, and a problem without one."""
        place = _join(path, key)
        if key not in part:
            if default is None:
                self.wrong(place, "This is missing; write null for what is unknown.")
            return Input(place, default, role)
        return self.value(part[key], place, role)

    def value(self, found: Any, place: str, role: str) -> Input:
        """Return an input from whatever form it has."""
        if not isinstance(found, Mapping):
            return Input(place, self._certain(found, place, role), role)
        notes = self._notes(found, place)
        if "value" in found:
            self.keys(found, place, ("value", *_NOTES))
            return Input(place, self._certain(found["value"], place, role), role, **notes)
        yearly = found.get("draw", "once")
        if yearly not in ("once", "yearly"):
            self.wrong(f"{place}.draw", f"This is once or yearly, not {shown(yearly)}.")
        if yearly == "yearly" and role == "rate":
            self.wrong(f"{place}.draw", "A rate is drawn once, for all years together.")
        shape = self._distribution(found, place, role)
        is_uncertain = isinstance(shape, Distribution)
        return Input(place, shape, role, yearly=is_uncertain and yearly == "yearly", **notes)

    def _certain(self, found: Any, place: str, role: str) -> Decimal | None:
        if found is None:
            return None
        try:
            return _by_role(found, role)
        except NotANumber as wrong:
            self.wrong(place, f"This {wrong}")
            return Decimal(0)

    def _notes(self, found: Mapping[str, Any], place: str) -> dict[str, Any]:
        basis = found.get("basis", "")
        if basis not in ("", *BASES):
            self.wrong(f"{place}.basis", f"The basis is one of {', '.join(BASES)}.")
            basis = ""
        for name in ("unit", "url", "note"):
            self.text(found, name, place)
        year = found.get("year")
        if year is not None:
            year = self.whole(year, f"{place}.year", "A source's year", 1900, 2200)
        return {
            "basis": basis,
            "source": self.text(found, "source", place),
            "source_year": year,
        }

    def _distribution(
        self, found: Mapping[str, Any], place: str, role: str
    ) -> Distribution | Decimal:
        kind = found.get("distribution", "pert")
        if kind not in _SHAPES:
            self.wrong(place, f"A distribution is one of {', '.join(_SHAPES)}, not {shown(kind)}.")
            return Decimal(0)
        if kind in ("normal", "lognormal") and role in ("share", "rate"):
            self.wrong(place, f"A {role} has limits: give a pert, triangular or uniform range.")
            return Decimal(0)
        self.keys(found, place, ("distribution", "draw", *_SHAPES[kind], *_NOTES))
        numbers = []
        for name in _SHAPES[kind]:
            try:
                numbers.append(_by_role(found.get(name), role))
            except NotANumber as wrong:
                self.wrong(f"{place}.{name}", f"This {wrong}")
                return Decimal(0)
        return self._shape(kind, numbers, place)

    def _shape(self, kind: str, numbers: list[Decimal], place: str) -> Distribution | Decimal:
        if kind == "normal":
            return Normal(*numbers) if numbers[1] else numbers[0]
        if numbers != sorted(numbers):
            self.wrong(place, f"{', '.join(_SHAPES[kind])} must rise, in this order.")
            return Decimal(0)
        low, high = numbers[0], numbers[-1]
        if kind == "lognormal" and low <= 0:
            self.wrong(place, "The quantiles of a lognormal lie above 0.")
            return Decimal(0)
        if low == high:
            # A range without width is a number.
            return low
        if kind == "lognormal":
            return Lognormal(low, high)
        if kind == "uniform":
            return Uniform(low, high)
        return (Pert if kind == "pert" else Triangular)(low, high, numbers[1])


def _by_role(value: Any, role: str) -> Decimal:
    if role == "rate":
        return read_rate(value)
    limit = {"money": MONEY_MAX, "count": _COUNT_MAX, "share": Decimal(1)}[role]
    return read_number(value, low=0, high=limit)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
