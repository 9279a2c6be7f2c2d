"""What an entry changed, value by value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """One value before and after; ``kind`` is added, removed, changed or same."""

    name: str
    before: str
    after: str
    kind: str


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return each value of either side by its dotted name; the changed ones first."""
    old, new = dict(_flat(before)), dict(_flat(after))
    names = [*old, *(name for name in new if name not in old)]
    found = [_change(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in names]
    return sorted(found, key=lambda change: change.kind == "same")


def _change(name: str, before: Any, after: Any) -> Change:
    if before is _ABSENT:
        return Change(name, "", _text(after), "added")
    if after is _ABSENT:
        return Change(name, _text(before), "", "removed")
    kind = "same" if before == after and type(before) is type(after) else "changed"
    return Change(name, _text(before), _text(after), kind)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
