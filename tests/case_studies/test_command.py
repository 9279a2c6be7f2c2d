"""``python -m case_studies.<study>``: one JSON object, other seeds, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from case_studies import diagnosis, running
from case_studies.drawing import draw
from case_studies.study import RESULTS, SLUGS, ratio_of, share_of

FIGURE = {
    "name": "x",
    "title": "A <b>title</b>",
    "x_title": "x",
    "y_title": "y",
    "curves": [{"name": "a & b", "x": [1.0, 10.0], "y": [0.0, 3.0]}],
    "limit": 1.0,
    "limit_title": "limit",
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False
    )


def test_another_seed_is_printed_and_the_kept_results_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(diagnosis, "SPLITS", 4)
    before = (RESULTS / "diagnosis.json").read_bytes()
    running.main(diagnosis.run, diagnosis.SEED, ["--seed", "7", "--out", str(tmp_path)])
    written = json.loads((tmp_path / "diagnosis.json").read_text())
    assert written["seed"] == 7
    assert (tmp_path / "diagnosis-trade.svg").read_text().startswith("<svg")
    assert (RESULTS / "diagnosis.json").read_bytes() == before


def test_one_json_object_on_standard_output(capsys, monkeypatch):
    monkeypatch.setattr(diagnosis, "SPLITS", 4)
    running.main(diagnosis.run, diagnosis.SEED, ["--seed", "7", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["slug"] == "diagnosis"
    assert printed.err == "Not written.\n"


@pytest.mark.parametrize("seed", ["-1", "1.5", "x", "", "4294967296", "٣"])
def test_a_seed_that_is_none_is_refused_in_a_sentence(seed, capsys):
    with pytest.raises(SystemExit) as left:
        running.main(diagnosis.run, diagnosis.SEED, [f"--seed={seed}"])
    assert left.value.code == 2
    assert "whole number from 0" in capsys.readouterr().err


@pytest.mark.parametrize("slug", SLUGS)
def test_help_names_the_shipped_seed(slug):
    answer = run(f"case_studies.{slug}", "--help")
    assert answer.returncode == 0
    assert f"python -m case_studies.{slug}" in answer.stdout
    assert "gives the shipped result" in answer.stdout


def test_what_is_written_into_a_figure_is_text():
    drawn = draw(FIGURE)
    assert "A &lt;b&gt;title&lt;/b&gt;" in drawn and "a &amp; b" in drawn and "<b>" not in drawn


def test_a_share_of_which_nothing_was_seen_still_has_an_interval():
    import numpy as np

    nothing = ratio_of(np.zeros(100), np.ones(100), "share", "rounds")
    assert (nothing.value, nothing.low) == (0.0, 0.0)
    assert nothing.high == pytest.approx(share_of(0, 100).high)
