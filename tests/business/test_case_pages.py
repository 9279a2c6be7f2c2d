"""The pages of business cases: from a scenario to the case, its words, its risks, its end."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from audit.models import Entry
from business.cases import services
from business.cases.models import BusinessCase, CaseVersion
from business.cases.services import RiskInput
from tests import objects
from tests.cast import NOON

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


class TestWords:
    def fields(self, **changed) -> dict[str, str]:
        return {"title": "Better diagnoses", "industry": "healthcare", **changed}

    def test_notes_are_escaped_kept_on_record_and_enter_the_next_version(
        self, made, acme, operator, client_for
    ):
        client = client_for(operator, acme)
        note = "<b>We</b> asked 12 clinics.\r\nAll agreed."
        answer = client.post(
            f"/cases/{made.case_id}/edit/",
            self.fields(note_problem=note, author="B. Author", prepared_for="The board"),
        )
        assert answer.status_code == 302
        client.post(f"/cases/{made.case_id}/make/")
        page = client.get(f"/cases/{made.case_id}/").content.decode()
        assert "&lt;b&gt;We&lt;/b&gt; asked 12 clinics.<br>All agreed." in page
        assert "B. Author" in page
        entries = list(Entry.objects.order_by("number"))
        assert [e.action for e in entries][-2:] == ["case.changed", "case.made"]
        # The words of a person are sealed: neither the document nor the log has them in plain.
        assert "clinics" not in str([made.document, [vars(e) for e in entries]])

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("title", ""),
            ("title", "x" * 201),
            ("title", "a\x00b"),
            ("industry", "astrology"),
            ("author", "x" * 201),
            ("note_risks", "x" * 4001),
        ],
    )
    def test_bad_input_is_refused_beside_its_field(
        self, made, client_for, operator, acme, field, value
    ):
        before = objects.fingerprint("acme")
        answer = client_for(operator, acme).post(
            f"/cases/{made.case_id}/edit/", self.fields(**{field: value})
        )
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
        assert objects.fingerprint("acme") == before


class TestRisks:
    def rows(self, *rows, **changed) -> dict[str, str]:
        fields = {"risk-TOTAL_FORMS": str(len(rows)), "risk-INITIAL_FORMS": "0", **changed}
        for at, row in enumerate(rows):
            for name, value in row.items():
                fields[f"risk-{at}-{name}"] = value
        return fields

    def row(self, **changed) -> dict[str, str]:
        return {"title": "Nobody reads it", "likelihood": "4", "impact": "5", **changed}

    def test_rows_are_judged_removed_and_left_empty_on_record(
        self, made, client_for, operator, acme
    ):
        address = f"/cases/{made.case_id}/risks/"
        client = client_for(operator, acme)
        assert "Building it costs more" in client.get(address).content.decode()
        removed = self.row(title="Gone", DELETE="on")
        empty = self.row(title="", likelihood="3", impact="3")
        rows = self.rows(self.row(owner="C. Careful", mitigation="Send it"), removed, empty)
        assert client.post(address, rows).status_code == 302
        kept = BusinessCase.objects.get().risks.get()
        assert (kept.title, kept.likelihood, kept.impact) == ("Nobody reads it", 4, 5)
        client.post(f"/cases/{made.case_id}/make/")
        page = client.get(f"/cases/{made.case_id}/").content.decode()
        assert "20, high" in page and "C. Careful" in page
        assert Entry.objects.filter(action="case.risks_changed").count() == 1

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("likelihood", "6"),
            ("impact", "0"),
            ("likelihood", "high"),
            ("title", "x" * 201),
            ("mitigation", "x" * 501),
        ],
    )
    def test_bad_rows_are_refused_beside_their_field(
        self, made, client_for, operator, acme, field, value
    ):
        before = objects.fingerprint("acme")
        answer = client_for(operator, acme).post(
            f"/cases/{made.case_id}/risks/", self.rows(self.row(**{field: value}))
        )
        assert answer.status_code == 422
        assert f'id="id_risk-0-{field}_error"' in answer.content.decode()
        assert objects.fingerprint("acme") == before

    def test_a_row_that_stays_keeps_who_judged_it_and_when(self, made, owner):
        first = made.case.risks.all()[0]
        row = RiskInput(first.title, first.likelihood, first.impact, first.mitigation)
        services.change_risks(
            acting_user=owner,
            case_id=made.case_id,
            risks=[RiskInput("Another", 1, 1), row],
            changed_at=NOON + MONTH,
        )
        another, same = made.case.risks.all()
        assert (same.judged_by, same.judged_at) == (first.judged_by, first.judged_at)
        assert (another.judged_by, another.judged_at) == (owner, NOON + MONTH)


class TestPages:
    def test_from_the_scenario_to_the_case(self, scenario, client_for, operator, acme):
        client = client_for(operator, acme)
        assert (
            "a saved ROI scenario, and there is none" not in client.get("/cases/").content.decode()
        )
        page = client.get(scenario.get_absolute_url()).content.decode()
        link = re.search(r'href="(/cases/new/[^"]*)"', page)
        form = client.get(link[1].replace("&amp;", "&")).content.decode()
        assert f"Business case: {scenario.scenario.name}" in form
        answer = client.post(
            "/cases/new/",
            {"scenario": str(scenario.scenario_id), "version": "1", "title": "The case"},
            follow=True,
        )
        page = answer.content.decode()
        assert "Executive summary" in page and "The case" in page
        assert "The case" in client.get("/cases/?search=case").content.decode()
        assert "No business case matches" in client.get("/cases/?search=none").content.decode()
        assert [*Entry.objects.order_by("number").values_list("action", flat=True)] == [
            "scenario.saved",
            "case.started",
            "case.made",
        ]

    def test_without_a_scenario_the_pages_say_what_to_do(self, client_for, operator, acme):
        client = client_for(operator, acme)
        for address in ("/cases/", "/cases/new/"):
            assert "starts from a saved ROI scenario" in client.get(address).content.decode()

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"scenario": "nonsense"}, 422),
            ({"scenario": ""}, 422),
            ({"title": ""}, 422),
            ({"version": "7"}, 404),
            ({"version": "-1"}, 422),
        ],
    )
    def test_a_bad_start_is_refused_and_writes_nothing(
        self, scenario, client_for, operator, acme, changed, status
    ):
        before = objects.fingerprint("acme")
        fields = {"scenario": str(scenario.scenario_id), "title": "The case", **changed}
        assert client_for(operator, acme).post("/cases/new/", fields).status_code == status
        assert objects.fingerprint("acme") == before

    def test_it_is_deleted_by_its_title_alone(self, made, client_for, operator, acme):
        client = client_for(operator, acme)
        address = f"/cases/{made.case_id}/delete/"
        assert client.post(address, {"confirmation": "no"}).status_code == 422
        assert BusinessCase.objects.count() == 1
        client.post(address, {"confirmation": "Better diagnoses"})
        assert not BusinessCase.objects.exists() and not CaseVersion.objects.exists()
        assert Entry.objects.order_by("-number")[0].action == "case.deleted"

    def test_who_may_only_read_sees_no_form_and_viewers_nothing(
        self, made, client_for, auditor, viewer, acme
    ):
        address = f"/cases/{made.case_id}/"
        page = client_for(auditor, acme).get(address).content.decode()
        assert "Executive summary" in page and "/edit/" not in page and "/risks/" not in page
        assert client_for(viewer, acme).get(address).status_code == 403
