"""The shipped results are what the shipped code finds, and they say what they should."""

from __future__ import annotations

import re

import pytest

from case_studies.drawing import draw
from case_studies.study import RESULTS, SLUGS, load_kept
from tests.case_studies.rerun import run_again


@pytest.mark.parametrize("slug", SLUGS)
class TestStudy:
    def test_a_run_with_the_shipped_seed_gives_the_kept_result(self, slug):
        kept = load_kept(slug)
        del kept["made"]
        assert run_again(slug) == kept

    def test_the_figures_are_drawn_from_the_result(self, slug):
        for figure in run_again(slug)["figures"]:
            kept = (RESULTS / f"{slug}-{figure['name']}.svg").read_text()
            assert draw(figure) == kept

    def test_promises_are_not_broken_and_their_breaking_is_shown(self, slug):
        study = run_again(slug)
        assert {each["verdict"] for each in study["promises"]} <= {"KEPT", "CONSISTENT"}
        assert "KEPT" in {each["verdict"] for each in study["promises"]}
        assert {each["promise"]["verdict"] for each in study["breaks"]} == {"BROKEN"}

    def test_what_notices_the_break_is_seldom_wrong(self, slug):
        noticed = [each for each in run_again(slug)["breaks"] if each["noticed"]]
        assert noticed
        for each in noticed:
            assert each["noticed"]["low"] > each["false_notice"]["high"]

    def test_evidence_raises_fewer_false_alarms_or_misses_fewer_than_the_usual_threshold(
        self, slug
    ):
        study = run_again(slug)
        usual = [each for each in study["policies"] if each["is_baseline"]]
        ours = [each for each in study["policies"] if not each["is_baseline"]]
        key = {"fraud": "false_share", "diagnosis": "missed", "quality": "false"}[slug]
        best = min(each["measures"][key]["high"] for each in ours)
        assert best < max(each["measures"][key]["low"] for each in usual)

    def test_every_value_lies_in_its_interval_and_every_policy_has_every_measure(self, slug):
        study = run_again(slug)
        for policy in study["policies"]:
            assert list(policy["measures"]) == [each["key"] for each in study["columns"]]
            for measured in policy["measures"].values():
                assert measured["low"] <= measured["value"] <= measured["high"]

    def test_the_sentence_says_numbers_of_the_table(self, slug):
        study = run_again(slug)
        values = {
            f"{measured['value'] * 100:.2g}"
            for policy in study["policies"]
            for measured in policy["measures"].values()
            if measured["unit"] == "share"
        }
        first = re.search(r"([\d.]+) %", study["answer"])
        assert first and first[1] in values
