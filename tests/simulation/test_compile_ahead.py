"""Compiling ahead: every stage, in a process of its own, with its progress reported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aii_site.embedded.home import Home
from aii_site.kernels import KernelCompiler
from simulation import compile_ahead, engine
from simulation.engine import fmm


def test_every_method_that_is_offered_is_compiled(monkeypatch):
    seen, accuracies = set(), []

    def note(state, steps, **options):
        seen.add((state.request.integrator, state.request.force))

    monkeypatch.setattr(engine, "advance", note)
    monkeypatch.setattr(fmm, "compile_ahead", accuracies.append)
    said: list[str] = []
    stepped_back: list[str] = []
    assert compile_ahead.main(said.append, stepped_back.append) == 0
    assert stepped_back == list(compile_ahead.STAGES)
    assert accuracies == list(engine.ACCURACIES)
    assert {integrator for integrator, _ in seen} == set(engine.INTEGRATORS)
    assert {force for _, force in seen} == set(engine.FORCES)
    assert said[-1].startswith("All kernels of the engine are ready")


NOTHING_LEFT_TO_COMPILE = """
from numba.core import event
from simulation import compile_ahead, engine
options = dict(steps=2, **{options})
compile_ahead.compile_leapfrog()
compile_ahead.compile_for(engine.check_request({scenario!r}, **options))
with event.install_recorder("numba:compile") as seen:
    state = engine.prepare({scenario!r}, **options)
    engine.advance(state, 2, retrace=state.is_reversible)
    engine.retrace(state, 0) if state.is_reversible else None
print([found.data["dispatcher"].__name__ for _, found in seen.buffer if found.is_start])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("solar_system", {"integrator": "wisdom_holman"}),
        ("plummer", {"bodies": 300}),
        ("plummer", {"bodies": 3000, "force": "fmm"}),
        ("plummer", {"bodies": 64, "collisions": "bounce", "radius": 1e-4}),
        ("plummer", {"bodies": 64, "boundary": "periodic", "box": 128.0}),
    ],
    ids=["integrator", "many", "fmm", "collisions", "box"],
)
def test_what_a_run_needs_is_compiled_before_it_is_claimed(scenario, options, tmp_path):
    code = NOTHING_LEFT_TO_COMPILE.format(scenario=scenario, options=options)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[-2] == "[]"


def test_the_default_comes_first():
    assert next(iter(compile_ahead.STAGES)) == "leapfrog"


def test_a_worker_waits_for_no_process_that_is_nicer():
    code = (
        "import os; from simulation.compile_ahead import STAGES, step_back\n"
        "for title in STAGES: step_back(title); print(os.nice(0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before = os.nice(0)
    assert [int(line) for line in done.stdout.split()] == [
        before,
        *[max(before, 10)] * (len(compile_ahead.STAGES) - 1),
    ]


@pytest.fixture
def home(tmp_path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


def wait_for(condition, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", **more}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_process_of_its_own_says_when_all_is_ready(home):
    said: list[str] = []
    compiler = KernelCompiler(home, environment(), said.append)
    compiler.start()
    try:
        wait_for(lambda: any("All kernels" in line for line in said), 170)
    finally:
        compiler.stop()
    assert not any("could not" in line for line in said)


def test_a_failure_is_a_sentence_and_no_more(home, tmp_path):
    broken = tmp_path / "broken" / "numba"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no compiler here')\n")
    said: list[str] = []
    compiler = KernelCompiler(home, environment(PYTHONPATH=str(broken.parent)), said.append)
    compiler.start()
    wait_for(lambda: said, 60)
    assert "could not be compiled ahead" in said[0]
    assert "no compiler here" in Path(home.logs / "kernels.log").read_text()


def test_stopping_it_is_no_failure(home):
    said: list[str] = []
    compiler = KernelCompiler(home, environment(), said.append)
    compiler.start()
    process = compiler._process
    assert process is not None
    compiler.stop()
    assert process.poll() is not None
    time.sleep(0.2)
    assert not any("could not" in line for line in said)
