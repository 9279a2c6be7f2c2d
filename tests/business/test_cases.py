"""Business cases: every value has its source and date, a changed input marks what changed."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from business.cases import selectors, services
from business.cases.building import SECTIONS, build
from business.cases.document import (
    CHANGED,
    Bound,
    Figure,
    Name,
    Said,
    Table,
    bounds_in,
    digest,
    list_changes,
    say,
    texts_in,
)
from business.cases.gathering import gather
from business.cases.models import CaseVersion
from business.cases.services import CaseInput
from business.roadmap.services import create_plan
from business.scenarios.services import save_scenario
from monitoring.models import Alert
from simulation.models import Run
from simulation.services import execute_run, request_run
from tests import objects
from tests.cast import NOON

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)
DATE = re.compile(r"\d{4}(-\d\d-\d\d)?")


def next_version(scenario, operator, **changed):
    """A version of the scenario in which something differs."""
    return save_scenario(
        acting_user=operator,
        document={**scenario.document, **changed},
        reason="Dearer money",
        saved_at=NOON + timedelta(days=1),
        scenario_id=scenario.scenario_id,
    )


def inputs_of(made, acme):
    version = services.find_scenario_version(made.case, made.scenario_number)
    return gather(case=made.case, version=version, tenant=acme, now=made.made_at)


def words_in(node) -> list[str]:
    """Every text of nested data."""
    if isinstance(node, dict):
        return [text for each in node.values() for text in words_in(each)]
    if isinstance(node, list | tuple):
        return [text for each in node for text in words_in(each)]
    return [str(node)]


def record(owner) -> None:
    """Let the platform measure something: a run that kept every law, a drill that was caught, and
    critical alerts acknowledged after one and three minutes.
    """
    for fault in (None, {"kind": "momentum"}):
        run = request_run(acting_user=owner, scenario="kepler", steps=1000, requested_at=NOON)
        if fault is None:
            execute_run(run_id=run.pk, clock=timezone.now, node="worker@tests")
        else:
            Run.objects.filter(pk=run.pk).update(
                state="VIOLATED", fault=fault, violation={}, started_at=NOON, finished_at=NOON
            )
    for minutes in (1, 3):
        Alert.objects.create(
            severity="critical",
            title="Energy left its bound",
            dedupe_key=str(minutes),
            opened_at=NOON,
            acknowledged_at=NOON + timedelta(minutes=minutes),
            acknowledged_by=owner,
        )


class TestDocument:
    def test_every_value_has_a_source_with_a_date_and_template_words_hold_no_digit(
        self, made, acme, operator
    ):
        create_plan(acting_user=operator, starts_on=NOON.date(), created_at=NOON)
        record(operator)
        version = services.make_version(
            acting_user=operator, tenant=acme, case_id=made.case_id, made_at=timezone.now()
        )
        document = selectors.open_document(version)
        assert [each.key for each in document.sections] == list(SECTIONS)
        sources = {one.key: one for one in document.sources}
        assert all(DATE.fullmatch(one.at) for one in document.sources)
        inputs = inputs_of(version, acme)
        named = " ".join([*words_in(inputs.priced.document), *words_in(document.to_json())])
        count = 0
        for section in document.sections:
            for block in section.blocks:
                if isinstance(block, Table):
                    assert not re.search(r"\d", f"{block.caption} {block.head}")
                if isinstance(block, Figure):
                    assert not re.search(r"\d", f"{block.title} {block.sentence}")
                    assert block.sources and set(block.sources) <= set(sources)
            for text in texts_in(section):
                for part in text:
                    if isinstance(part, Bound):
                        count += 1
                        assert part.text and part.label and part.source in sources, part
                        assert part.text != "0" or not part.why
                    elif isinstance(part, Name):
                        assert part.text in named
                    elif not isinstance(part, Said):
                        assert not re.search(r"\d", part), part
        assert count > 150

    def test_a_digit_in_template_words_is_found(self):
        assert re.search(
            r"\d", "".join(p for p in say("In 3 years {npv}.", npv=Name("x")) if isinstance(p, str))
        )

    def test_what_is_not_measured_says_so_and_why_and_is_never_0(self, made):
        document = selectors.open_document(made)
        values = {one.key: one for each in document.sections for one in bounds_in(each)}
        for key in ("runs_kept", "runs_broken", "drills_caught", "alerts_median", "controls"):
            one = values[f"platform.{key}"]
            assert one.text == "not measured" and len(one.why.split()) > 3, key
        assert values["realised"].text == "not measured"

    def test_what_is_measured_comes_from_the_records(self, made, acme, operator):
        record(operator)
        document = build(inputs_of(made, acme))
        assert "platform.runs_kept" in {o.key for s in document.sections for o in bounds_in(s)}
        now = selectors.find_drift(made, acme, timezone.now())
        after = {one.label: one.after for one in now.changes}
        assert after["Runs that kept every law"] == "1"
        assert after["Fault drills that were caught"] == "1 of 1 (100\u202f%)"
        assert after["Time to acknowledge, median"] == "2\u202fmin 00\u202fs"

    def test_the_same_inputs_give_the_same_document_and_it_survives_the_database(self, made, acme):
        inputs = inputs_of(made, acme)
        assert build(inputs) == build(inputs) == selectors.open_document(made)
        kept = CaseVersion.objects.get(pk=made.pk)
        assert digest(kept.document) == kept.sha256 and selectors.is_intact(kept)
        kept.document["title"] = "Another one"
        assert not selectors.is_intact(kept)

    def test_an_unknown_input_is_not_known_anywhere(self, scenario, acme, operator):
        document = {**scenario.document, "discount_rate": None}
        version = next_version(scenario, operator, **document)
        case = services.start_case(
            acting_user=operator,
            tenant=acme,
            version=version,
            case=CaseInput("Unknown", ""),
            started_at=NOON,
        )
        text = words_in(case.document)
        assert any("cannot be said yet" in each for each in text)
        values = {o.key: o for s in selectors.open_document(case).sections for o in bounds_in(s)}
        assert values["npv"].text == "not known" and "unknown" in values["npv"].why


class TestChanges:
    def test_another_version_of_the_scenario_marks_what_changed_section_by_section(
        self, made, scenario, acme, operator
    ):
        next_version(scenario, operator, discount_rate="0.2")
        drift = selectors.find_drift(made, acme, NOON + MONTH)
        assert drift.scenario_number == 2
        assert {one.section for one in drift.changes} >= {
            "Executive summary",
            "Return on investment",
        }
        assert "Problem statement" in {one.section for one in drift.changes}
        second = services.make_version(
            acting_user=operator, tenant=acme, case_id=made.case_id, made_at=NOON + MONTH
        )
        before, after = selectors.open_document(made), selectors.open_document(second)
        changes = list_changes(before, after)
        assert changes == drift.changes
        npv = next(one for one in changes if one.label == "Net present value")
        marked = {o.key: o for o in bounds_in(after.sections[0])}
        assert marked["npv"].was == npv.before != marked["npv"].text == npv.after
        assert marked["horizon"].was is None
        told = words_in(after.to_json()["sections"][0]["blocks"][-1])
        assert {CHANGED, npv.before, npv.after} <= set(told)
        # The first version is what it was.
        kept = CaseVersion.objects.get(pk=made.pk)
        assert (kept.document, kept.sha256) == (made.document, made.sha256)

    def test_making_it_again_without_a_change_is_refused_and_writes_nothing(
        self, made, acme, operator
    ):
        before = objects.fingerprint("acme")
        with pytest.raises(services.NothingChanged):
            services.make_version(
                acting_user=operator, tenant=acme, case_id=made.case_id, made_at=NOON + MONTH
            )
        assert objects.fingerprint("acme") == before

    def test_the_page_tells_what_changed_since_and_the_third_version_forgets_the_first(
        self, made, scenario, acme, operator, client_for
    ):
        client = client_for(operator, acme)
        address = f"/cases/{made.case_id}/"
        assert "Its inputs have changed since" not in client.get(address).content.decode()
        next_version(scenario, operator, discount_rate="0.2")
        page = client.get(address).content.decode()
        assert "Its inputs have changed since" in page and "Make version 2" in page
        page = client.post(f"{address}make/", {"scenario_version": "2"}, follow=True)
        page = page.content.decode()
        assert "Its inputs have changed since" not in page and "<mark" in page
        # Back to the first version of the scenario: the marks are those against version 2.
        page = client.post(f"{address}make/", {"scenario_version": "1"}, follow=True)
        assert "Version 3 of 3" in page.content.decode()
        third = selectors.open_document(selectors.get_version(made.case_id))
        first = selectors.open_document(made)
        assert not list_changes(first, third)

    def test_a_roadmap_made_since_takes_the_place_of_the_plan_that_was_proposed(
        self, made, acme, operator
    ):
        first, *_ = create_plan(acting_user=operator, starts_on=NOON.date(), created_at=NOON)
        drift = selectors.find_drift(made, acme, NOON)
        assert not drift.is_alike and drift.new > 20
        assert [one.label for one in drift.differing] == []
        first.ends_on += timedelta(days=1)
        first.save()
        drift = selectors.find_drift(made, acme, NOON)
        found = [(one.label, one.before, one.after) for one in drift.differing]
        assert found == [("Proof of concept: lasts", "6 weeks", "43 days")]

    def test_a_deleted_scenario_leaves_the_document_and_no_other_can_be_made(
        self, made, scenario, acme, operator, client_for
    ):
        scenario.scenario.delete()
        client = client_for(operator, acme)
        page = client.get(f"/cases/{made.case_id}/").content.decode()
        assert "The scenario was deleted" in page and "Executive summary" in page
        assert client.post(f"/cases/{made.case_id}/make/").status_code == 409
        assert CaseVersion.objects.count() == 1
