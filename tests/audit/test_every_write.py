"""Every function that writes leaves an entry, or says in docs/reference/audit-log.md why not.

The code is read, not run: a function writes when it calls the ORM's writing methods or executes
INSERT, UPDATE or DELETE; it leaves an entry when it reaches ``note`` or ``record`` through what it
calls, or when every function that calls it does so itself.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("tenants", "monitoring", "simulation", "business", "compliance", "aii_site", "audit")
WRITES = {"save", "create", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}
WRITES |= {"create_user", "adelete", "asave"}
# These are also methods of dictionaries, hashes and sets: only on a query they write.
WRITES_ON_A_QUERY = {"update", "delete", "raw_delete"}
QUERY = re.compile(r"objects|filter\(|exclude\(|queryset|_default_manager|\bwaiting\b|\brows\b")
SQL = re.compile(r"^\s*(INSERT INTO|UPDATE \w|DELETE FROM|TRUNCATE|COPY )")
NOTES = {"note", "record", "note_in_log"}


class Function:
    def __init__(self, name: str, node: ast.AST) -> None:
        self.name = name
        self.calls: set[str] = set()
        self.writes = False
        for each in ast.walk(node):
            if isinstance(each, ast.Call):
                self._see(each)
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                self.writes |= bool(SQL.match(each.value))

    def _see(self, call: ast.Call) -> None:
        function = call.func
        if isinstance(function, ast.Name):
            self.calls.add(function.id)
        elif isinstance(function, ast.Attribute):
            self.calls.add(function.attr)
            on = ast.unparse(function.value)
            self.writes |= function.attr in WRITES
            self.writes |= function.attr in WRITES_ON_A_QUERY and bool(QUERY.search(on))
        # partial(function, …) and on_commit(function) call it, too.
        for argument in call.args:
            if isinstance(argument, ast.Name):
                self.calls.add(argument.id)


def read_functions(files: dict[str, str]) -> list[Function]:
    found = []
    for module, source in files.items():
        for node in ast.walk(ast.parse(source)):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                    owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
                    found.append(Function(f"{module}.{owner}{child.name}", child))
    return found


def silent_writers(functions: list[Function]) -> set[str]:
    """Return the names of functions that write without an entry."""
    by_name = defaultdict(list)
    for function in functions:
        by_name[function.name.rsplit(".", 1)[1]].append(function)

    def reaches_note(function: Function, seen: frozenset[str]) -> bool:
        if function.calls & NOTES:
            return True
        return any(
            reaches_note(called, seen | {function.name})
            for name in function.calls
            for called in by_name.get(name, [])
            # A name that many things bear says nothing.
            if called.name not in seen and len(by_name[name]) == 1
        )

    def is_told_by_callers(function: Function, depth: int = 0) -> bool:
        own = function.name.rsplit(".", 1)[1]
        callers = [each for each in functions if own in each.calls and each is not function]
        return bool(callers) and all(
            each.calls & NOTES or (depth < 2 and is_told_by_callers(each, depth + 1))
            for each in callers
        )

    return {
        function.name
        for function in functions
        if function.writes
        and not reaches_note(function, frozenset())
        and not is_told_by_callers(function)
    }


def sources() -> dict[str, str]:
    files = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            relative = path.relative_to(ROOT)
            if {"migrations", "engine", "embedded"} & set(relative.parts):
                continue
            files[".".join(relative.with_suffix("").parts)] = path.read_text()
    return files


def exceptions() -> dict[str, str]:
    """Return the table of the documentation: function -> reason."""
    text = (ROOT / "docs" / "reference" / "audit-log.md").read_text()
    table = text.partition("## What leaves no entry")[2]
    rows = re.findall(r"^\| `([\w.]+)` \| (.+) \|$", table, re.MULTILINE)
    return dict(rows)


def test_every_write_leaves_an_entry_or_is_listed_with_its_reason():
    found = silent_writers(read_functions(sources()))
    listed = exceptions()
    assert sorted(found - set(listed)) == [], "these write and leave no entry"
    assert sorted(set(listed) - found) == [], "these are listed and leave one, or are gone"
    assert all(len(reason.split()) >= 3 for reason in listed.values())


@pytest.mark.parametrize(
    ("body", "is_silent"),
    [
        ("Thing.objects.create(name=1)", True),
        ("thing.save()", True),
        ("Thing.objects.filter(pk=1).update(name=2)", True),
        ("cursor.execute('UPDATE thing SET name = 1')", True),
        ("digest.update(b'')", False),
        ("thing.save()\n    note(who=1)", False),
        ("thing.save()\n    tell()", False),
        ("return 1", False),
    ],
)
def test_the_check_can_fail(body, is_silent):
    source = f"def write():\n    {body}\n\ndef tell():\n    note(who=1)\n"
    found = silent_writers(read_functions({"room.module": source}))
    assert found == ({"room.module.write"} if is_silent else set())
