"""The adoption roadmap: made once, changed on record, measured from what the platform recorded."""

from __future__ import annotations

import csv
import io
import itertools
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import Entry
from business.roadmap import selectors, services
from business.roadmap.models import Criterion, Measure, Phase, Task
from business.roadmap.services import TaskInput
from monitoring.models import Alert, ServiceHour
from simulation.models import Run
from simulation.services import execute_run, request_run
from tenants.context import tenant_context
from tenants.journal import Subject, note
from tests import objects
from tests.cast import NOON

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def plan(in_acme, owner):
    """The default plan, from the day of the story on."""
    return services.create_plan(acting_user=owner, starts_on=NOON.date(), created_at=NOON)


def actions() -> list[str]:
    return list(Entry.objects.order_by("number").values_list("action", flat=True))


def judged(tenant, measure, now=NOON):
    """What became of a measure in the first phase that has it."""
    found = [
        each
        for standing in selectors.list_standings(tenant, now)
        for each in standing.judged
        if each.criterion.measure == measure
    ]
    return found[0].status, found[0].found.value


class TestPlan:
    def test_one_click_makes_four_phases_one_after_another(self, client_for, operator, in_acme):
        client = client_for(operator, in_acme)
        assert "Make the default plan" in client.get("/roadmap/").content.decode()
        answer = client.post("/roadmap/create/", {"starts_on": "2026-03-01"}, follow=True)
        page = answer.content.decode()
        phases = selectors.list_standings(in_acme, NOON)
        assert [str(each.phase) for each in phases] == list(Phase.Kind.labels)
        assert all(str(each.phase) in page for each in phases)
        for before, after in itertools.pairwise(phases):
            assert after.phase.starts_on == before.phase.ends_on + DAY
        assert actions() == ["roadmap.created"]

    def test_a_second_plan_is_refused_and_leaves_no_trace(self, plan, owner):
        before = objects.fingerprint("acme")
        with pytest.raises(services.PlanExists):
            services.create_plan(acting_user=owner, starts_on=NOON.date(), created_at=NOON)
        assert objects.fingerprint("acme") == before

    @pytest.mark.parametrize("day", ["", "tomorrow", "1999-12-31", "2101-01-01", "2026-02-30"])
    def test_a_day_that_is_none_is_refused_beside_its_field(self, client_for, owner, in_acme, day):
        answer = client_for(owner, in_acme).post("/roadmap/create/", {"starts_on": day})
        assert answer.status_code == 422
        assert 'id="id_starts_on_error"' in answer.content.decode()
        assert not Phase.objects.exists() and actions() == []


class TestTasks:
    def test_a_task_is_added_changed_and_deleted_on_record(
        self, plan, client_for, operator, viewer, acme
    ):
        client = client_for(operator, acme)
        fields = {"title": "Train the night shift", "owner": str(viewer.pk), "state": "DOING"}
        client.post(f"/roadmap/phases/{plan[1].pk}/new-task/", {**fields, "due_on": "2026-05-01"})
        made = Task.objects.get(title="Train the night shift")
        assert (made.owner, made.due_on, made.phase) == (viewer, date(2026, 5, 1), plan[1])
        page = client.get("/roadmap/").content.decode()
        assert "Train the night shift" in page and viewer.email in page

        address = f"/roadmap/tasks/{made.pk}/"
        assert "2026-05-01" in client.get(address).content.decode()
        client.post(address, {**fields, "state": "DONE", "owner": ""})
        made.refresh_from_db()
        assert (made.owner, made.due_on, made.state) == (None, None, "DONE")

        assert "Delete this task?" in client.get(f"{address}delete/").content.decode()
        assert Task.objects.filter(pk=made.pk).exists()
        client.post(f"{address}delete/")
        assert not Task.objects.filter(pk=made.pk).exists()
        assert actions()[1:] == [f"roadmap.task_{what}" for what in ("added", "changed", "deleted")]

    def test_saving_what_was_there_writes_nothing(self, plan, owner, acme):
        task = plan[0].tasks.all()[0]
        before = objects.fingerprint("acme")
        services.change_task(
            acting_user=owner,
            tenant=acme,
            task_id=task.pk,
            task=TaskInput(task.title, None, None, task.state),
            changed_at=NOON,
        )
        assert objects.fingerprint("acme") == before

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("title", ""),
            ("title", "x" * 201),
            ("title", "a\x00b"),
            ("state", "PERHAPS"),
            ("state", ""),
            ("due_on", "soon"),
            ("owner", "nobody"),
        ],
    )
    def test_bad_input_is_refused_beside_its_field(
        self, plan, client_for, owner, acme, field, value
    ):
        before = objects.fingerprint("acme")
        fields = {"title": "A task", "owner": "", "due_on": "", "state": "TODO", field: value}
        answer = client_for(owner, acme).post(
            f"/roadmap/tasks/{plan[0].tasks.all()[0].pk}/", fields
        )
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
        assert objects.fingerprint("acme") == before

    def test_nobody_of_another_tenant_can_own_a_task(self, plan, owner, outsider, acme):
        before = objects.fingerprint("acme")
        with pytest.raises(services.OwnerUnknown):
            services.add_task(
                acting_user=owner,
                tenant=acme,
                phase_id=plan[0].pk,
                task=TaskInput("A task", outsider.pk, None, "TODO"),
                added_at=NOON,
            )
        assert objects.fingerprint("acme") == before

    def test_a_plan_is_full_at_some_point(self, plan, owner, acme, monkeypatch):
        monkeypatch.setattr(services, "TASKS_MAX", Task.objects.count())
        with pytest.raises(services.TooManyTasks):
            services.add_task(
                acting_user=owner,
                tenant=acme,
                phase_id=plan[0].pk,
                task=TaskInput("One more", None, None, "TODO"),
                added_at=NOON,
            )


class TestPhases:
    def fields(self, **changed) -> dict[str, str]:
        days = {"starts_on": "2026-03-01", "ends_on": "2026-04-30"}
        return {**days, "VERIFIED_RUNS": "3", "DRILLS_CAUGHT": "90", **changed}

    def test_days_and_targets_change_on_record(self, plan, client_for, owner, acme):
        address = f"/roadmap/phases/{plan[0].pk}/"
        client = client_for(owner, acme)
        assert 'value="100"' in client.get(address).content.decode()
        assert client.post(address, self.fields()).status_code == 302
        plan[0].refresh_from_db()
        assert plan[0].ends_on == date(2026, 4, 30)
        targets = dict(plan[0].criteria.values_list("measure", "target"))
        assert targets == {"VERIFIED_RUNS": 3, "DRILLS_CAUGHT": 90}
        assert actions()[1:] == ["roadmap.phase_changed"]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("ends_on", "2026-02-28"),
            ("VERIFIED_RUNS", "-1"),
            ("VERIFIED_RUNS", "many"),
            ("VERIFIED_RUNS", "1000001"),
            ("DRILLS_CAUGHT", "101"),
        ],
    )
    def test_what_cannot_be_is_refused_beside_its_field(
        self, plan, client_for, owner, acme, field, value
    ):
        before = objects.fingerprint("acme")
        answer = client_for(owner, acme).post(
            f"/roadmap/phases/{plan[0].pk}/", self.fields(**{field: value})
        )
        assert answer.status_code == 422
        assert f'id="id_{field}_error"' in answer.content.decode()
        assert objects.fingerprint("acme") == before


class TestCriteria:
    def test_without_records_shares_are_not_measured_and_never_met(self, plan, acme):
        shares = (Measure.DRILLS_CAUGHT, Measure.ACKNOWLEDGED, Measure.CONTROLS)
        for measure in (*shares, Measure.BROKEN_RUNS):
            assert judged(acme, measure, NOON + 60 * DAY) == ("NOT_MEASURED", None)
        for measure in (Measure.UPTIME, Measure.ROI_REALISED):
            assert judged(acme, measure, NOON + 200 * DAY) == ("NOT_MEASURED", None)
        assert judged(acme, Measure.VERIFIED_RUNS) == ("NOT_MET", 0)

    def test_a_phase_that_has_not_begun_is_not_measured(self, plan, acme):
        assert judged(acme, Measure.PEOPLE) == ("NOT_MEASURED", None)
        status, people = judged(acme, Measure.PEOPLE, NOON + 150 * DAY)
        assert (status, people) == ("NOT_MET", 5)

    def test_a_run_that_kept_every_law_counts_from_the_first_day_on(self, in_acme, owner):
        run = request_run(acting_user=owner, scenario="kepler", steps=1000, requested_at=NOON)
        execute_run(run_id=run.pk, clock=timezone.now, node="worker@tests")
        ended = Run.objects.get(pk=run.pk).finished_at
        services.create_plan(acting_user=owner, starts_on=ended.date(), created_at=NOON)
        assert judged(in_acme, Measure.VERIFIED_RUNS, ended) == ("NOT_MET", 1)
        Criterion.objects.filter(measure=Measure.VERIFIED_RUNS).update(target=1)
        assert judged(in_acme, Measure.VERIFIED_RUNS, ended) == ("MET", 1)
        Phase.objects.filter(kind=Phase.Kind.PROOF).update(starts_on=ended.date() + DAY)
        assert judged(in_acme, Measure.VERIFIED_RUNS, ended + DAY) == ("NOT_MET", 0)

    def test_drills_are_not_held_against_the_plan_but_must_be_caught(self, plan, acme, owner):
        for fault, state in (({"kind": "momentum"}, "VIOLATED"), (None, "VIOLATED")):
            run = request_run(acting_user=owner, scenario="kepler", steps=1000, requested_at=NOON)
            Run.objects.filter(pk=run.pk).update(
                state=state,
                fault=fault,
                violation={"quantity": "momentum"},
                started_at=NOON,
                finished_at=NOON + 50 * DAY,
            )
        assert judged(acme, Measure.DRILLS_CAUGHT, NOON + 60 * DAY) == ("MET", 100)
        assert judged(acme, Measure.BROKEN_RUNS, NOON + 60 * DAY) == ("NOT_MET", 1)

    def test_alerts_count_as_acknowledged_within_a_quarter_of_an_hour(self, plan, acme, owner):
        opened_at = NOON + 50 * DAY
        for place, minutes in enumerate((1, 15, 16, None)):
            at = None if minutes is None else opened_at + timedelta(minutes=minutes)
            Alert.objects.create(
                severity="critical",
                title="Energy left its bound",
                dedupe_key=str(place),
                opened_at=opened_at,
                acknowledged_at=at,
                acknowledged_by=owner if at else None,
            )
        assert judged(acme, Measure.ACKNOWLEDGED, NOON + 60 * DAY) == ("NOT_MET", 50)

    def test_seconds_in_service_are_counted_since_the_phase_began(self, plan, acme):
        begins_on = Phase.objects.get(kind=Phase.Kind.PILOT).starts_on
        midnight = datetime.combine(begins_on, time.min, tzinfo=UTC)
        for hours, seconds in ((-1, 3600), (0, 3600), (1, 1800)):
            at = midnight + timedelta(hours=hours)
            ServiceHour.objects.create(hour=at, first_at=at, last_at=at, seconds=seconds)
        now = midnight + timedelta(seconds=7199)
        assert judged(acme, Measure.UPTIME, now) == ("NOT_MET", 75)
        with tenant_context("globex"):
            assert not ServiceHour.objects.exists()

    def test_verifications_of_the_log_since_the_phase_began_are_controls(self, plan, acme, owner):
        begins_at = NOON + 50 * DAY
        for action, at in (
            ("log.not_verified", NOON),
            ("log.verified", begins_at),
            ("log.verified", begins_at + DAY),
        ):
            with transaction.atomic():
                note(who=owner, action=action, subject=Subject("log", "acme"), at=at)
        assert judged(acme, Measure.CONTROLS, NOON + 60 * DAY) == ("MET", 100)
        with transaction.atomic():
            note(who=owner, action="log.not_verified", subject=Subject("log", "acme"), at=begins_at)
        assert judged(acme, Measure.CONTROLS, NOON + 60 * DAY) == (
            "NOT_MET",
            pytest.approx(200 / 3),
        )

    def test_a_phase_is_ready_when_all_is_closed_and_met_and_late_after_its_end(self, plan, acme):
        standing = selectors.list_standings(acme, NOON)[0]
        assert standing.state == "RUNNING"
        assert selectors.list_standings(acme, NOON + 60 * DAY)[0].state == "LATE"
        assert selectors.list_standings(acme, NOON - DAY)[0].state == "PLANNED"
        plan[0].tasks.update(state="DONE")
        assert selectors.list_standings(acme, NOON)[0].state == "RUNNING"
        plan[0].criteria.exclude(measure="VERIFIED_RUNS").delete()
        plan[0].criteria.update(target=0)
        assert selectors.list_standings(acme, NOON)[0].state == "READY"


class TestExports:
    def test_both_files_hold_every_task_and_criterion_and_taking_them_is_recorded(
        self, plan, client_for, viewer, acme
    ):
        plan[0].tasks.filter(position=0).update(title="=HYPERLINK(1)")
        client = client_for(viewer, acme)
        rows = client.get("/roadmap/roadmap.json").json()["rows"]
        assert len(rows) == Task.objects.count() + Criterion.objects.count()
        assert {row["measured"] for row in rows if row["kind"] == "criterion"} >= {None}
        text = client.get("/roadmap/roadmap.csv").content.decode()
        lines = list(csv.DictReader(io.StringIO(text)))
        assert len(lines) == len(rows)
        assert lines[0]["title"] == "'=HYPERLINK(1)"
        assert actions()[1:] == ["roadmap.exported"] * 2

    def test_who_may_only_look_sees_no_form(self, plan, client_for, viewer, acme):
        page = client_for(viewer, acme).get("/roadmap/").content.decode()
        assert "Not measured" in page
        assert "new-task" not in page and "/roadmap/tasks/" not in page
