"""The case studies as pages, PDF and JSON: all three say what the kept result says."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest

from business.studies.report import to_pdf
from business.studies.selectors import get_study
from case_studies.study import RESULTS, SLUGS, describe, load_kept

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(client_for, viewer, acme):
    return client_for(viewer, acme)


def words(response) -> str:
    text = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", unescape(text))


def test_the_list_gives_every_answer(client):
    page = words(client.get("/case-studies/"))
    page = page.replace("\u00a0", " ")
    assert all(load_kept(slug)["answer"] in page for slug in SLUGS)


@pytest.mark.parametrize("slug", SLUGS)
class TestStudy:
    def test_the_page_says_every_number_with_its_interval_and_what_is_not_promised(
        self, client, slug
    ):
        kept = load_kept(slug)
        page = words(client.get(f"/case-studies/{slug}/"))
        for policy in kept["policies"]:
            for measured in policy["measures"].values():
                value, _, rest = describe(measured).partition(" (")
                assert value in page and rest.partition(")")[0] in page
        for promise in [*kept["promises"], *(each["promise"] for each in kept["breaks"])]:
            assert f"measured {describe(promise['measured'])}" in page
        said = [*kept["not_promised"], *kept["assumptions"], *kept["sources"]]
        assert [each for each in said if each not in page] == []

    def test_the_file_is_the_kept_result(self, client, slug):
        answer = client.get(f"/case-studies/{slug}/result.json")
        assert answer.json() == json.loads((RESULTS / f"{slug}.json").read_text())
        assert f"aii-case-study-{slug}.json" in answer["Content-Disposition"]

    def test_the_pdf_is_made_from_the_result_alone(self, client, slug):
        answer = client.get(f"/case-studies/{slug}/study.pdf")
        assert answer["Content-Type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-")
        study = get_study(slug)
        assert to_pdf(study) == answer.content
        assert to_pdf({**study, "answer": "Another answer."}) != answer.content


def test_a_study_that_there_is_not_is_not_found(client):
    assert client.get("/case-studies/astrology/").status_code == 404
