"""``manage.py roi`` as a person or a script meets it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command

from tests.business.cases import certain, full

ROOT = Path(__file__).resolve().parents[2]
FLOW_KEYS = {
    "npv",
    "irr",
    "irr_roots",
    "mirr",
    "roi",
    "bcr",
    "payback_years",
    "discounted_payback_years",
    "warnings",
}


def process(*arguments):
    """Run the command in a process of its own, with no database anywhere."""
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    environment["DJANGO_SETTINGS_MODULE"] = "aii_site.settings.development"
    return subprocess.run(
        [sys.executable, "manage.py", "roi", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


def here(*arguments):
    """Run the command in this process; return its exit code, output and errors."""
    output, errors = io.StringIO(), io.StringIO()
    code = 0
    try:
        # The parser speaks before the command has taken its stderr.
        with contextlib.redirect_stderr(errors):
            call_command("roi", *arguments, stdout=output, stderr=errors)
    except SystemExit as ended:
        code = ended.code
    return code, output.getvalue(), errors.getvalue()


def saved(tmp_path, document):
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_flows_in_a_process_of_its_own():
    answer = process("--flows=-1000,600,600,600", "--rate", "0.1", "--json")
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    found = json.loads(answer.stdout)
    assert found.keys() >= FLOW_KEYS
    assert found["npv"] == pytest.approx(492.1111945905)
    assert found["irr"] == pytest.approx(0.3630965395)
    assert found["irr_roots"] == [found["irr"]]
    assert found["roi"] == pytest.approx(0.4921111946)
    assert found["bcr"] == pytest.approx(1.4921111946)
    assert found["payback_years"] == pytest.approx(5 / 3)
    assert found["discounted_payback_years"] == pytest.approx(1.9166667)
    assert found["warnings"] == []


def test_bad_input_in_a_process_of_its_own():
    answer = process("--flows=-1000,six", "--rate", "0.1", "--json")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert answer.stderr == "The flow of year 1 must be a number, not 'six'.\n"


def test_several_roots_are_no_rate_of_return():
    code, output, errors = here("--flows=-1000,5000,-6000", "--rate", "0.1", "--json")
    found = json.loads(output)
    assert (code, errors) == (0, "")
    assert (found["irr"], found["irr_roots"]) == (None, [1, 2])
    assert found["warnings"]


def test_rates_of_the_modified_return_and_timing():
    options = ["--finance-rate", "0.10", "--reinvest-rate", "0.12", "--timing", "end", "--json"]
    _, output, _ = here("--flows=-120000,39000,30000,21000,37000,46000", "--rate", "0.1", *options)
    assert json.loads(output)["mirr"] == pytest.approx(0.126094, abs=5e-7)
    _, output, _ = here("--flows=-50,16,16,16,16,20", "--rate", "0.1", "--timing", "mid", "--json")
    assert json.loads(output)["npv"] == pytest.approx(16.2179, abs=5e-5)


def test_a_table_for_people():
    code, output, _ = here("--flows=-1000,600,600,600", "--rate", "0.1")
    assert code == 0
    assert "net present value           492.1111946" in output
    assert "36.3097 %" in output


def test_what_known_flows_do_not_have_is_none_and_not_unknown():
    _, output, _ = here("--flows=-1000,600", "--rate=0.1")
    assert "payback, years              none" in output and "unknown" not in output


def test_a_saved_scenario(tmp_path):
    code, output, errors = here(saved(tmp_path, certain()), "--json")
    assert (code, errors) == (0, "")
    found = json.loads(output)
    assert found["npv"] == 137.24
    assert found["currency"] == "USD"


def test_a_saved_scenario_simulated(tmp_path):
    path = saved(tmp_path, full())
    answers = [
        here(path, "--trials", "20000", "--seed", "4", "--threads", threads, "--json")[1]
        for threads in ("1", "2")
    ]
    assert answers[0] == answers[1]
    found = json.loads(answers[0])
    assert found["simulation"]["trials"] == 20000
    assert len(found["simulation"]["fan"]) == 6
    assert found["tornado"][0]["path"] == "benefits.0.cost_per_error"
    assert found["break_even"]
    code, output, _ = here(path, "--trials", "1000")
    assert code == 0
    assert "probability of loss" in output


def test_an_unknown_is_null_and_never_0(tmp_path):
    path = saved(tmp_path, certain(discount_rate=None))
    found = json.loads(here(path, "--json")[1])
    assert found["npv"] is None
    assert found["irr_roots"] is None
    code, output, _ = here(path)
    assert code == 0
    assert "net present value           unknown" in output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "Give a scenario's file, or --flows"),
        (["--flows=-1,2"], "--flows needs a --rate"),
        (["--flows=", "--rate", "0.1"], "at least one cash flow"),
        (["--flows", "-1000,600", "--rate", "0.1"], "Write an equals sign"),
        (["--flows=-1,nan", "--rate", "0.1"], "must be a number, not 'nan'"),
        (["--flows=-1,inf", "--rate", "0.1"], "must be a number, not 'inf'"),
        (["--flows=-1,1e400", "--rate", "0.1"], "must lie between"),
        (["--flows=-1,,2", "--rate", "0.1"], "must be a number, not ''"),
        (["--flows=" + "1," * 2000 + "1", "--rate", "0.1"], "At most 1201 cash flows"),
        (["--flows=-1,2", "--rate", "-1"], "more than -1"),
        (["--flows=-1,2", "--rate", "ten"], "--rate must be a number"),
        (["--flows=-1,2", "--rate", "0.1", "--finance-rate", "-2"], "--finance-rate must be more"),
        (["--flows=-1,2", "--rate", "0.1", "--timing", "noon"], "one of end, mid, start"),
        (["--flows=-1,2", "--rate", "0.1", "--colour"], "Unrecognized arguments"),
        (["--flows=-1,2", "--rate", "0.1", "--trials", "5000"], "for a scenario's file"),
        (["gone.json"], "'gone.json' cannot be read: No such file"),
        (["/"], "cannot be read: Is a directory"),
        (["a\0b"], "cannot be read: that is no name"),
        (["gone.json", "--rate", "0.1"], "leave out --rate"),
        (["manage.py"], "no JSON document"),
    ],
    ids=lambda value: " ".join(value)[:30].replace("\0", "") if isinstance(value, list) else "",
)
def test_each_refusal_is_one_sentence(arguments, sentence, monkeypatch):
    monkeypatch.chdir(ROOT)
    code, output, errors = here(*arguments, "--json")
    assert (code, output) == (2, "")
    assert sentence in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"horizon_years": -1}, "horizon_years"),
        ({"horizon_years": 1_000_000}, "horizon_years"),
        ({"discount_rate": -1}, "discount_rate"),
        ({"benefits": []}, "benefits"),
        ({"currency": 5}, "currency"),
    ],
)
def test_a_bad_scenario_names_the_field(tmp_path, changes, field):
    code, output, errors = here(saved(tmp_path, certain(**changes)), "--json")
    assert (code, output) == (2, "")
    assert errors.startswith(f"{field}: ")


def test_seed_without_trials_and_trials_that_are_no_number(tmp_path):
    path = saved(tmp_path, full())
    assert "give its --trials" in here(path, "--seed", "1")[2]
    assert "--trials must be a whole number" in here(path, "--trials", "1e6")[2]
    assert "Trials must lie" in here(path, "--trials", "1")[2]
