"""The pages and the JSON behind them: what members see, what is refused, what is written."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from monitoring import live, nodes, services
from monitoring.collector import Collector
from monitoring.models import Alert, PerformanceSample, QuantitySample
from tenants.context import tenant_context
from tenants.redis import get_redis
from tests.monitoring.conftest import observe, open_alert, reading

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def running(in_acme, now):
    """A run that has just reported, and what the collector made of it."""
    account = services.open_account(
        name="Solar System", kind="run", reference="9", opened_at=now, subject_url="/runs/9/"
    )
    observe(
        account,
        reading("energy", -1.984e35, 6.1e25, 1.98e27),
        reading("momentum", 0.0, 0.0, 0.0, law="exact", verdict="CONSERVED"),
        reading("information", 3456.0, 0.0, 0.0, law="exact", verdict="CONSERVED"),
        at=now,
        latency_ms=12.0,
    )
    Collector().tick(now.replace(microsecond=0))
    return account


class TestDashboard:
    def test_an_empty_tenant_is_told_what_to_do_next(self, client_for, operator, acme):
        page = client_for(operator, acme).get("/").content.decode()
        assert "Nothing holds energy now" in page
        assert "No run is active" in page
        assert page.count("Start a run") == 4
        assert "No active alerts" in page

    def test_a_viewer_sees_everything_and_no_button_to_act(
        self, client_for, viewer, acme, running, alert
    ):
        page = client_for(viewer, acme).get("/").content.decode()
        assert alert.title in page
        assert "Start a run" not in page
        assert "acknowledge/" not in page

    def test_shows_the_sums_with_units_before_any_script_runs(
        self, client_for, operator, acme, running
    ):
        page = client_for(operator, acme).get("/").content.decode()
        assert "−1.984×10³⁵\u202fJ" in page
        assert "6.100×10²⁵\u202fJ" in page
        assert "3.456\u202fkbit" in page
        assert 'data-accounts="1"' in page
        assert "worker@test does not answer" in page  # It sent no heartbeat.

    def test_shows_active_alerts_with_a_form_to_acknowledge(
        self, client_for, operator, acme, running, alert
    ):
        page = client_for(operator, acme).get("/").content.decode()
        assert f'action="/alerts/{alert.pk}/acknowledge/"' in page
        assert alert.title in page

    def test_without_redis_it_renders_from_the_database_and_says_so(
        self, client_for, operator, acme, running, monkeypatch
    ):
        class Away:
            def __getattr__(self, name):
                raise RedisConnectionError("refused")

        for module in (live, nodes):
            monkeypatch.setattr(module, "get_redis", Away)
        page = client_for(operator, acme).get("/").content.decode()
        assert "Redis does not answer" in page
        assert "−1.984×10³⁵\u202fJ" in page

    def test_hostile_text_is_escaped(self, client_for, operator, acme, in_acme):
        open_alert(title="<script>alert(1)</script>", detail='"><img src=x onerror=alert(1)>')
        live.publish("acme", {"run.1": {"state": "RUNNING", "scenario": "<b>x</b>", "url": "/"}})
        page = client_for(operator, acme).get("/").content.decode()
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page
        assert "<b>x</b>" not in page

    def test_needs_few_queries_however_much_there_is(
        self, client_for, operator, acme, running, django_assert_max_num_queries
    ):
        for number in range(30):
            open_alert(dedupe_key=f"k{number}")
        client = client_for(operator, acme)
        with django_assert_max_num_queries(20):
            client.get("/")


class TestLiveJson:
    def test_snapshot_is_the_frame_of_the_socket(self, client_for, viewer, acme, running):
        answer = client_for(viewer, acme).get("/live/snapshot.json")
        frame = answer.json()
        assert (answer["Content-Type"], answer["Cache-Control"]) == ("application/json", "no-store")
        assert frame["type"] == "snapshot"
        assert frame["seq"] == live.read_state("acme")[0]
        assert frame["state"]["quantity.energy"]["accounts"] == 1

    def test_snapshot_says_when_redis_is_away(self, client_for, viewer, acme, monkeypatch):
        def away():
            raise RedisConnectionError("refused")

        monkeypatch.setattr(live, "get_redis", away)
        answer = client_for(viewer, acme).get("/live/snapshot.json")
        assert answer.status_code == 503
        assert answer["Content-Type"] == "application/problem+json"

    def test_history_of_a_quantity_and_of_a_series(self, client_for, viewer, acme, running, now):
        client = client_for(viewer, acme)
        energy = client.get("/live/history.json?quantity=energy&window=600").json()
        assert (energy["value"], energy["limit"]) == ([6.1e25], [1.98e27])
        late = now - timedelta(seconds=61)
        PerformanceSample.objects.create(taken_at=late, lateness_ms=5.0, queue=3)
        queue = client.get("/live/history.json?series=queue").json()
        assert queue["value"] == [3, 0]
        assert queue["t"] == sorted(queue["t"])
        assert client.get("/live/history.json?series=queue&window=60").json()["value"] == [0]

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "quantity=charm",
            "series=id",
            "series=taken_at",
            "quantity=energy&series=queue",
            "quantity=energy&window=0",
            "quantity=energy&window=3601",
            "quantity=energy&window=abc",
            "quantity=energy&window=1e3",
            "quantity=%00",
        ],
    )
    def test_history_refuses_what_it_does_not_know(self, client_for, viewer, acme, query):
        answer = client_for(viewer, acme).get(f"/live/history.json?{query}")
        assert answer.status_code == 422
        assert answer.json()["code"] == "invalid"

    def test_another_tenants_numbers_do_not_show(self, client_for, outsider, globex, running):
        client = client_for(outsider, globex)
        assert "1.984" not in client.get("/").content.decode()
        assert client.get("/live/history.json?quantity=energy").json()["value"] == []
        state = client.get("/live/snapshot.json").json()["state"]
        assert state["quantity.energy"]["accounts"] == 0
        with tenant_context("globex"):
            assert not QuantitySample.objects.exists()


class TestAlertPages:
    def test_the_tabs_hold_the_states(self, client_for, viewer, operator, acme, in_acme, now):
        titles = {}
        for state in ("firing", "acknowledged", "resolved"):
            alert = open_alert(dedupe_key=state, title=f"Alert that is {state}")
            titles[state] = alert.title
            if state == "acknowledged":
                services.acknowledge_alert(
                    acting_user=operator, alert_id=alert.pk, acknowledged_at=now
                )
            if state == "resolved":
                services.resolve_alert(acting_user=operator, alert_id=alert.pk, resolved_at=now)
        client = client_for(viewer, acme)
        for state, title in titles.items():
            page = client.get(f"/alerts/?state={state}").content.decode()
            assert [title in page for title in titles.values()].count(True) == 1
            assert title in page
        assert titles["firing"] in client.get("/alerts/").content.decode()
        assert client.get("/alerts/?state=silenced").status_code == 422
        assert client.get("/alerts/?state=firing&page=abc").status_code == 200

    def test_each_tab_has_something_to_say_when_it_is_empty(self, client_for, viewer, acme):
        for state in ("firing", "acknowledged", "resolved"):
            page = client_for(viewer, acme).get(f"/alerts/?state={state}").content.decode()
            assert 'data-state="empty"' in page

    def test_detail_shows_the_evidence_and_the_timeline(
        self, client_for, operator, acme, running, now
    ):
        bad = reading("energy", 1.0, 5.0, 1.0, verdict="VIOLATED")
        observe(running, bad, at=now + timedelta(seconds=1))
        alert = Alert.objects.get(quantity="energy")
        client = client_for(operator, acme)
        client.post(f"/alerts/{alert.pk}/acknowledge/", {"note": "looking at the step size"})
        client.post(f"/alerts/{alert.pk}/resolve/", {"note": "rolled back"})

        page = client.get(f"/alerts/{alert.pk}/").content.decode()
        assert "Readings within 30 s" in page
        assert "Violated" in page
        assert "looking at the step size" in page
        assert "rolled back" in page
        assert operator.email in page
        assert 'href="/runs/9/"' in page

    def test_acknowledging_by_form_leads_to_the_alert_and_by_htmx_to_nothing(
        self, client_for, operator, acme, alert
    ):
        client = client_for(operator, acme)
        answer = client.post(f"/alerts/{alert.pk}/acknowledge/")
        assert (answer.status_code, answer["Location"]) == (302, f"/alerts/{alert.pk}/")
        alert.refresh_from_db()
        assert alert.acknowledged_by == operator

        other = open_alert(dedupe_key="other")
        answer = client.post(f"/alerts/{other.pk}/acknowledge/", headers={"HX-Request": "true"})
        assert (answer.status_code, answer.content) == (204, b"")
        other.refresh_from_db()
        assert other.state == "ACKNOWLEDGED"

    @pytest.mark.parametrize("verb", ["acknowledge", "resolve"])
    def test_refusals_write_nothing(self, client_for, operator, viewer, auditor, acme, alert, verb):
        path = f"/alerts/{alert.pk}/{verb}/"
        assert client_for(operator, acme).get(path).status_code == 405
        for person in (viewer, auditor):
            assert client_for(person, acme).post(path).status_code == 403
        client = client_for(operator, acme)
        assert client.post(path, {"note": "x" * 501}).status_code == 422
        assert client.post(path, {"note": "a\x00b"}).status_code == 422
        assert client.post(f"/alerts/{uuid.uuid4()}/{verb}/").status_code == 404
        strict = client_for(operator, acme, enforce_csrf_checks=True)
        assert strict.post(path).status_code == 403
        alert.refresh_from_db()
        assert alert.state == "FIRING"

    def test_a_second_acknowledgement_is_a_conflict_with_a_name(
        self, client_for, operator, owner, acme, alert
    ):
        client_for(owner, acme).post(f"/alerts/{alert.pk}/acknowledge/")
        answer = client_for(operator, acme).post(f"/alerts/{alert.pk}/acknowledge/")
        assert answer.status_code == 409
        assert owner.email in answer.content.decode()

    def test_an_alert_of_another_tenant_is_not_found(self, client_for, outsider, globex, alert):
        client = client_for(outsider, globex)
        assert client.get(f"/alerts/{alert.pk}/").status_code == 404
        for verb in ("acknowledge", "resolve"):
            assert client.post(f"/alerts/{alert.pk}/{verb}/").status_code == 404
        with tenant_context("acme"):
            alert.refresh_from_db()
            assert alert.state == "FIRING"


def test_a_run_that_is_only_in_redis_is_listed(client_for, viewer, acme):
    fields = {
        "id": "1",
        "scenario": "Plummer sphere",
        "state": "RUNNING",
        "progress": 0.5,
        "eta_s": 12.0,
        "energy_rel_error": 3e-9,
        "verdict": "BOUNDED",
        "url": "/runs/1/",
    }
    live.publish("acme", {"run.1": fields, "run.2": {**fields, "state": "DONE", "scenario": "Old"}})
    page = client_for(viewer, acme).get("/").content.decode()
    assert "Plummer sphere" in page
    assert "Old" not in page
    assert json.loads(get_redis().hget(live.state_key("acme"), "run.1")) == fields
