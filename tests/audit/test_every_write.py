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
    """One function: whether it writes, and what it calls.

    Calls are by full name where the module's imports tell it (``a.b.c``), else ``.name``: a method
    of something.
    """

    def __init__(self, name: str, node: ast.AST, known: dict[str, str], *, is_method: bool) -> None:
        self.name, self.is_method = name, is_method
        self.calls: set[str] = set()
        self.writes = False
        self._known = known
        for each in ast.walk(node):
            if isinstance(each, ast.Call):
                self._see(each)
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                self.writes |= bool(SQL.match(each.value))

    @property
    def own(self) -> str:
        return self.name.rsplit(".", 1)[1]

    @property
    def notes(self) -> bool:
        return any(call.rsplit(".", 1)[1] in NOTES for call in self.calls)

    def reaches(self, other: Function) -> bool:
        return other.name in self.calls or (other.is_method and f".{other.own}" in self.calls)

    def _see(self, call: ast.Call) -> None:
        self.calls.add(self._full(call.func))
        if isinstance(call.func, ast.Attribute):
            on = ast.unparse(call.func.value)
            self.writes |= call.func.attr in WRITES
            self.writes |= call.func.attr in WRITES_ON_A_QUERY and bool(QUERY.search(on))
        # partial(function, …) and on_commit(function) call it, too.
        for argument in call.args:
            if not (full := self._full(argument)).startswith(".") or self._is_own(argument):
                self.calls.add(full)

    def _full(self, called: ast.expr) -> str:
        if isinstance(called, ast.Name):
            return self._known.get(called.id, f"builtins.{called.id}")
        if not isinstance(called, ast.Attribute):
            return "."
        first, _, rest = ast.unparse(called.value).partition(".")
        if first in self._known and re.fullmatch(r"[\w.]*", rest):
            return ".".join(filter(None, (self._known[first], rest, called.attr)))
        return f".{called.attr}"

    @staticmethod
    def _is_own(called: ast.expr) -> bool:
        return isinstance(called, ast.Attribute) and ast.unparse(called.value) in ("self", "cls")


def names_of(module: str, tree: ast.Module) -> dict[str, str]:
    """Return what each name of a module stands for, in full."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            known |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            known |= {each.asname: each.name for each in node.names if each.asname}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            known[node.name] = f"{module}.{node.name}"
    return known


def read_functions(files: dict[str, str]) -> list[Function]:
    found, handed_on = [], {}
    for module, source in files.items():
        tree = ast.parse(source)
        known = names_of(module, tree)
        if module.endswith(".__init__"):
            package = module.removesuffix(".__init__")
            handed_on |= {f"{package}.{name}": full for name, full in known.items()}
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                    owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
                    found.append(
                        Function(
                            f"{module}.{owner}{child.name}", child, known, is_method=bool(owner)
                        )
                    )
    for function in found:
        function.calls = {handed_on.get(call, call) for call in function.calls}
    return found


def silent_writers(functions: list[Function]) -> set[str]:
    """Return the names of functions that write without an entry."""
    by_name, methods = {each.name: each for each in functions}, defaultdict(list)
    for each in functions:
        if each.is_method:
            methods[f".{each.own}"].append(each)

    def find(call: str) -> Function | None:
        # A method that several classes have, or every model, says nothing.
        if call[1:] in WRITES | WRITES_ON_A_QUERY:
            return None
        several = methods.get(call, [])
        return several[0] if len(several) == 1 else by_name.get(call)

    def reaches_note(function: Function, seen: frozenset[str]) -> bool:
        if function.notes:
            return True
        called = [each for each in map(find, function.calls) if each and each.name not in seen]
        return any(reaches_note(each, seen | {function.name}) for each in called)

    def is_told_by_callers(function: Function, depth: int = 0) -> bool:
        callers = [each for each in functions if each.reaches(function) and each is not function]
        return bool(callers) and all(
            each.notes or (depth < 2 and is_told_by_callers(each, depth + 1)) for each in callers
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


def test_a_name_that_others_bear_hides_nothing():
    files = {
        "room.views": "from room import services\ndef delete():\n    note()\n    services.delete()",
        "room.services": "def delete():\n    thing.save()",
        "other.services": "def delete():\n    thing.save()\ndef clean():\n    rows.delete()",
    }
    assert silent_writers(read_functions(files)) == {
        "other.services.delete",
        "other.services.clean",
    }


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
