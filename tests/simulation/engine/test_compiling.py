"""Compiled kernels are kept, and never kept longer than what they were made of."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simulation.engine import compiling

ENGINE = Path(compiling.__file__).parent
ROOT = ENGINE.parent.parent
MODULES = sorted(path for path in ENGINE.rglob("*.py") if "__pycache__" not in path.parts)
KERNEL_MODULES = [path for path in MODULES if "@kernel" in path.read_text(encoding="utf-8")]


def imported(path):
    """Return the engine's modules that a file imports, by Python's own grammar."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names = [module, *(f"{module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            place = ROOT.joinpath(*name.split("."))
            for file in (place.with_suffix(".py"), place / "__init__.py"):
                if file.is_file() and file.is_relative_to(ENGINE):
                    found.add(file)
    return found


def everything_imported(path):
    seen, waiting = set(), [path]
    while waiting:
        here = waiting.pop()
        if here not in seen:
            seen.add(here)
            waiting += imported(here)
    return seen


def test_there_are_kernels_in_several_files():
    assert len(KERNEL_MODULES) > 5


@pytest.mark.parametrize("path", KERNEL_MODULES, ids=lambda path: path.stem)
def test_every_module_that_a_kernel_may_call_is_part_of_its_folders_name(path):
    """Against the syntax tree: an import that the pattern misses would keep old machine code."""
    assert everything_imported(path) <= compiling._sources(path)


@pytest.fixture
def small_engine(tmp_path, monkeypatch):
    """An engine of three modules: ``caller`` calls ``callee``, ``stranger`` nobody."""
    root = tmp_path / "simulation" / "engine"
    root.mkdir(parents=True)
    (root.parent / "__init__.py").write_text("")
    (root / "__init__.py").write_text("")
    shutil.copy(ENGINE / "compiling.py", root)
    head = "from simulation.engine.compiling import kernel\n"
    (root / "callee.py").write_text(f"{head}@kernel\ndef value():\n    return 2.0\n")
    (root / "stranger.py").write_text(f"{head}@kernel\ndef other():\n    return 5.0\n")
    (root / "caller.py").write_text(
        f"{head}from simulation.engine.callee import value\n"
        "@kernel\ndef twice():\n    return 2.0 * value()\n"
    )
    return root


def folder(root, name, monkeypatch, chosen=""):
    monkeypatch.setattr(compiling, "_ENGINE", root)
    return compiling._folder.__wrapped__(root / f"{name}.py", chosen)


class TestFolder:
    def test_changes_with_the_module_and_with_what_it_calls_alone(self, small_engine, monkeypatch):
        def folders():
            return {
                name: folder(small_engine, name, monkeypatch)
                for name in ("caller", "callee", "stranger")
            }

        before = folders()
        assert len(set(before.values())) == 3
        assert folders() == before

        callee = small_engine / "callee.py"
        callee.write_text(callee.read_text().replace("2.0", "2.002"))
        after = folders()
        assert after["caller"] != before["caller"]
        assert after["callee"] != before["callee"]
        assert after["stranger"] == before["stranger"]

        callee.write_text(callee.read_text().replace("2.002", "2.0"))
        assert folders() == before

    def test_lies_beside_the_modules_or_where_the_user_chose(
        self, small_engine, tmp_path, monkeypatch
    ):
        beside = Path(folder(small_engine, "caller", monkeypatch))
        assert beside.parent == small_engine / "__pycache__" and beside.is_dir()
        chosen = Path(folder(small_engine, "caller", monkeypatch, str(tmp_path / "chosen")))
        assert chosen.parent == tmp_path / "chosen" and chosen.is_dir()
        assert chosen.name == beside.name

    def test_falls_back_where_it_cannot_be_made(self, small_engine, tmp_path, monkeypatch):
        """A file in its place: even the superuser, who may write anywhere, cannot make it."""
        (small_engine / "__pycache__").write_text("in the way")
        assert folder(small_engine, "caller", monkeypatch) == ""
        blocked = tmp_path / "blocked"
        blocked.write_text("in the way")
        assert folder(small_engine, "caller", monkeypatch, str(blocked)) == str(blocked)

    def test_is_numbas_choice_for_a_kernel_of_somebody_elses(self, tmp_path):
        assert compiling._folder(tmp_path / "notebook.py", "") == ""
        assert compiling._folder(tmp_path / "notebook.py", "/chosen") == "/chosen"

    def test_leaves_numbas_settings_as_they_were(self, tmp_path, small_engine, monkeypatch):
        before = str(tmp_path / "before")
        monkeypatch.setattr(compiling.config, "CACHE_DIR", before)

        @compiling.kernel
        def three():
            return 3.0

        assert before == compiling.config.CACHE_DIR


def run_in(root, code, **environment):
    """Run code against the small engine in a process of its own; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    answer = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=root.parents[1],
        env={**kept, "PYTHONPATH": str(root.parents[1]), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.split()


CODE = (
    "from simulation.engine.caller import twice;"
    "print(twice(), sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))"
)


def test_a_kernel_follows_its_callee(small_engine):
    """Numba alone would go on answering 4.0: it looks at the caller's file only."""
    assert run_in(small_engine, CODE) == ["4.0", "0", "1"]
    callee = small_engine / "callee.py"
    callee.write_text(callee.read_text().replace("2.0", "2.002"))
    assert run_in(small_engine, CODE) == ["4.004", "0", "1"]


def test_where_nothing_can_be_kept_beside_the_modules_it_still_runs(small_engine, tmp_path):
    (small_engine / "__pycache__").write_text("in the way")
    home = tmp_path / "home"
    home.mkdir()
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    assert run_in(small_engine, CODE, **own) == ["4.0", "0", "1"]
    # Kept in the user's own folder instead, and found there.
    assert run_in(small_engine, CODE, **own) == ["4.0", "1", "0"]
    assert any((home / "cache").rglob("*.nbc"))


class TestKernel:
    def test_adds_up_in_the_order_written(self):
        """With fastmath the small numbers would survive, in an order that the processor chooses."""

        @compiling.kernel
        def total(values):
            found = 0.0
            for value in values:
                found += value
            return found

        values = np.array([1e16] + [1.0] * 1000 + [-1e16])
        assert total(values) == 0.0

    def test_divides_by_zero_as_ieee_754_does(self):
        @compiling.kernel
        def divide(a, b):
            return a / b

        assert divide(1.0, 0.0) == np.inf
        assert np.isnan(divide(0.0, 0.0))

    def test_fma_rounds_once_and_bits_are_those_of_the_double(self):
        from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma

        @compiling.kernel
        def both(a, b, c):
            return fma(a, b, c), bits_of(fma(a, b, c))

        a = 1.0 + 2.0**-30
        # a * a = 1 + 2^-29 + 2^-60, whose last bit a product of doubles loses.
        assert both(a, a, -(1.0 + 2.0**-29))[0] == 2.0**-60
        for value in (0.5, 1.5, -0.5, -1.5, 2.5, 1e15 + 0.3, -(2.0**50)):
            rounded = both(value, 1.0, ROUNDER)[1] - ROUNDER_BITS
            assert rounded == round(value)  # Python, too, rounds half to even
            assert both(-value, 1.0, ROUNDER)[1] - ROUNDER_BITS == -rounded
