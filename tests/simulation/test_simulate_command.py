"""``manage.py simulate`` as a person or a script meets it: a process, its output, its exit code."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[2]
QUANTITY_KEYS = {
    "unit",
    "initial",
    "final",
    "max_abs_error",
    "max_rel_error",
    "limit",
    "law",
    "verdict",
}


def simulate(*arguments):
    """Run the command in a process of its own, with no database anywhere."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    }
    environment["DJANGO_SETTINGS_MODULE"] = "aii_site.settings.development"
    return subprocess.run(
        [sys.executable, "manage.py", "simulate", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_solar_system_there_and_back():
    answer = simulate("solar_system", "--steps", "20000", "--reverse", "--json")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    found = json.loads(answer.stdout)
    assert (found["scenario"], found["bodies"], found["steps"]) == ("solar_system", 9, 20000)
    assert found["digest_reversed"] == found["digest_start"] != found["digest_end"]
    assert {"dt_tu", "integrator", "seed", "wall_s"} <= found.keys()
    quantities = found["quantities"]
    assert list(quantities) == ["energy", "momentum", "angular_momentum", "mass", "information"]
    assert all(quantity.keys() >= QUANTITY_KEYS for quantity in quantities.values())
    assert quantities["momentum"]["max_abs_error"] == 0
    energy = quantities["energy"]
    assert energy["law"] == "bounded"
    assert 0 < energy["max_abs_error"] < energy["limit"]
    assert energy["max_rel_error"] < 1e-5
    units = [quantity["unit"] for quantity in quantities.values()]
    assert units == ["J", "kg·m/s", "kg·m²/s", "kg", "bits"]


def test_without_reverse_information_is_not_claimed():
    answer = simulate("plummer", "--bodies", "20", "--steps", "50", "--seed", "3", "--json")
    found = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert "digest_reversed" not in found
    assert found["quantities"]["information"]["verdict"] == "UNKNOWN"
    assert (found["bodies"], found["seed"]) == (20, 3)


def test_a_table_for_people():
    answer = simulate("figure_eight", "--steps", "100", "--dt-tu", "0.001")
    assert answer.returncode == 0
    assert "Figure eight: 3 bodies, 100 of 100 steps" in answer.stdout
    assert "momentum" in answer.stdout
    assert "CONSERVED" in answer.stdout


def test_a_violation_exits_3_and_names_the_step():
    answer = simulate("kepler", "--steps", "500", "--fault", "momentum:100", "--json")
    assert answer.returncode == 3
    found = json.loads(answer.stdout)
    assert found["steps_done"] == 99
    assert found["violation"]["step"] == 100
    assert found["quantities"]["momentum"]["verdict"] == "VIOLATED"


@pytest.mark.parametrize("arguments", [["mars"], ["kepler", "--unheard-of"]])
def test_bad_input_exits_2_with_a_sentence_and_no_output(arguments):
    answer = simulate(*arguments, "--json")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()[-1]) > 20


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["kepler", "--steps", "0"], "Steps must lie between"),
        (["kepler", "--steps", "-5"], "Steps must lie between"),
        (["kepler", "--steps", "ten"], "must be a whole number"),
        (["kepler", "--steps", "9" * 5000], "at most 18 digits"),
        (["kepler", "--dt-tu", "nan"], "The time step of kepler"),
        (["kepler", "--dt-tu", "1e999"], "The time step of kepler"),
        (["kepler", "--dt-tu", "fast"], "must be a number"),
        (["kepler", "--bodies", "2"], "always has 2 bodies"),
        (["plummer", "--bodies", "1.5"], "must be a whole number"),
        (["plummer", "--seed", "x"], "must be a whole number"),
        (["kepler", "--fault", "explosion:1"], "of kind momentum or reading"),
        (["kepler", "--fault", "momentum:x"], "must be a whole number"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, list) else "",
)
def test_each_refusal_says_what_is_wrong(arguments, sentence):
    """In this process: starting one for each costs a second."""
    output, errors = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("simulate", *arguments, "--json", stdout=output, stderr=errors)
    assert ended.value.code == 2
    assert output.getvalue() == ""
    assert sentence in errors.getvalue()
    assert len(errors.getvalue().splitlines()) == 1
