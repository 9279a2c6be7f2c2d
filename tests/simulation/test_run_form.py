"""The form of a run over HTTP: what it offers, takes and refuses; a refusal writes nothing."""

from __future__ import annotations

import pytest

from simulation import cost, engine, services
from simulation.models import Run
from tenants.approvals.models import ApprovalRequest
from tenants.context import tenant_context
from tests.simulation.run_forms import GOOD, runs_of

pytestmark = pytest.mark.django_db


class TestNewRun:
    def test_in_the_web_server_nobody_waits_for_the_machine_to_be_measured(
        self, client, settings, monkeypatch
    ):
        settings.AII_PROCESS = "web"
        monkeypatch.setattr(cost, "_measured", set())
        engine.measure_speed.cache_clear()
        for address in ("/runs/new/", "/runs/estimate/"):
            text = client.get(address).content.decode()
            assert "Measuring this machine" in text
            assert 'hx-trigger="load delay:2s"' in text
        assert client.post("/runs/new/", GOOD).status_code == 302
        with tenant_context("acme"):
            assert Run.objects.get().estimate_s > 0
        assert engine.measure_speed.cache_info().currsize == 0

        cost.measure(None)
        assert client.get("/runs/estimate/").context["cost"].total_s > 0
        assert "Measuring this machine" not in client.get("/runs/new/").content.decode()
        assert (
            "Measuring this machine"
            in client.get("/runs/estimate/", {**GOOD, "force": "fmm"}).content.decode()
        )

    def test_the_form_shows_the_scenarios_defaults_and_an_estimate(self, client):
        engine.measure_speed()
        page = client.get("/runs/new/?scenario=plummer")

        assert page.status_code == 200
        form = page.context["form"]
        assert form["bodies"].initial == engine.SCENARIOS["plummer"].bodies
        assert page.context["cost"].total_s > 0
        assert "Expected time" in page.content.decode()

    def test_an_unknown_scenario_in_the_address_shows_the_first(self, client):
        assert client.get("/runs/new/?scenario=nonsense").context["chosen"].name == "solar_system"

    def test_starts_a_run_and_leads_to_it(self, client, operator):
        answer = client.post("/runs/new/", GOOD)

        with tenant_context("acme"):
            run = Run.objects.get()
            assert (run.scenario, run.bodies, run.steps, run.seed) == ("plummer", 16, 100, 3)
            assert (run.dt_tu, run.fault) == (0.0078125, None)
            assert run.requested_by_email == operator.email
        assert answer.status_code == 302
        assert answer["Location"] == f"/runs/{run.pk}/"

    def test_starts_a_run_of_fixed_size(self, client):
        client.post("/runs/new/", {"scenario": "kepler", "steps": "10", "dt_tu": "0.001"})
        with tenant_context("acme"):
            assert Run.objects.get().bodies == 2

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (
                {"fault_kind": "momentum"},
                {"kind": "momentum", "quantity": "momentum", "body": 1, "step": 50},
            ),
            (
                {"fault_kind": "reading"},
                {"kind": "reading", "quantity": "energy", "body": 0, "step": 50},
            ),
        ],
    )
    def test_takes_a_fault_as_a_request(self, client, given, expected):
        answer = client.post("/runs/new/", GOOD | given)
        with tenant_context("acme"):
            asked = ApprovalRequest.objects.get()
            assert not Run.objects.exists()
            assert asked.reason == "The yearly drill."
        assert answer["Location"] == asked.get_absolute_url()
        assert asked.parameters["fault"] == expected | {"relative_size": 0.001}

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("scenario", "nonsense"),
            ("scenario", ""),
            ("bodies", "1"),
            ("bodies", "2.5"),
            ("bodies", "many"),
            ("bodies", "99999999999999999999999"),
            ("steps", ""),
            ("steps", "0"),
            ("steps", "-5"),
            ("steps", "1e3"),
            ("steps", "10000001"),
            ("dt_tu", ""),
            ("dt_tu", "0"),
            ("dt_tu", "nan"),
            ("dt_tu", "inf"),
            ("dt_tu", "1e400"),
            ("dt_tu", "1"),
            ("dt_tu", "<script>"),
            ("seed", "-1"),
            ("seed", "9223372036854775808"),
            ("seed", "x\x00"),
            ("fault_kind", "sabotage"),
            ("integrator", "euler"),
            ("integrator", "leapfrog\x00"),
            ("force", "tree"),
            ("force", "<script>"),
            ("accuracy", "0.5"),
            ("accuracy", "nan"),
            ("softening", "-1"),
            ("softening", "nan"),
            ("softening", "1e400"),
            ("softening", "1e-9"),
            ("softening", "soft"),
            ("collisions", "explode"),
            ("boundary", "torus"),
            ("workers", "0"),
            ("workers", "257"),
            ("workers", "two"),
        ],
    )
    def test_says_what_is_wrong_with_a_field_and_writes_nothing(self, client, field, value):
        answer = client.post("/runs/new/", GOOD | {field: value})

        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == [field]
        (sentence,) = answer.context["form"].errors[field]
        assert sentence.endswith(".")
        assert runs_of("acme") == 0

    def test_takes_integrator_force_accuracy_and_softening(self, client):
        method = {"force": "fmm", "accuracy": "0.001", "softening": "0.25"}
        assert client.post("/runs/new/", GOOD | method).status_code == 302
        assert client.post("/runs/new/", GOOD | {"integrator": "yoshida6"}).status_code == 302
        with tenant_context("acme"):
            second, first = Run.objects.order_by("-integrator")
            assert (first.force, first.accuracy, first.softening_tu) == ("fmm", 0.001, 0.25)
            assert first.integrator == "leapfrog"
            # The accuracy that stood in the form belongs to the other force.
            assert (second.force, second.accuracy, second.softening_tu) == ("direct", None, None)
            assert second.integrator == "yoshida6"

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"collisions": "bounce"}, "radius"),
            ({"collisions": "bounce", "radius": "0"}, "radius"),
            ({"collisions": "merge", "radius": "nan"}, "radius"),
            ({"collisions": "bounce", "radius": "1", "restitution": "1.5"}, "restitution"),
            ({"collisions": "bounce", "radius": "1", "force": "fmm"}, "collisions"),
            ({"collisions": "merge", "radius": "1", "integrator": "ias15"}, "collisions"),
            ({"boundary": "periodic"}, "box"),
            ({"boundary": "periodic", "box": "100"}, "box"),
            ({"boundary": "periodic", "box": "128", "force": "fmm"}, "boundary"),
            ({"integrator": "ias15", "softening": "0", "workers": "2"}, "workers"),
        ],
    )
    def test_says_what_is_wrong_with_collisions_and_space(self, client, settings, given, field):
        settings.AII_RUN_WORKERS_MAX = 2
        answer = client.post("/runs/new/", GOOD | {"softening": "0.1"} | given)
        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == [field]
        assert runs_of("acme") == 0

    def test_takes_collisions_a_box_and_processes(self, client, settings):
        settings.AII_RUN_WORKERS_MAX = 2
        # What the choice does not need may stay as it is.
        asked = (
            {"collisions": "bounce", "radius": "0.25", "restitution": "0.5", "box": "7"},
            {"collisions": "merge", "radius": "0.25", "restitution": "0.5", "workers": "2"},
            {"boundary": "periodic", "box": "128", "workers": "2"},
        )
        for given in asked:
            assert client.post("/runs/new/", GOOD | given).status_code == 302
        with tenant_context("acme"):
            rows = Run.objects.values_list(
                "collisions", "radius_tu", "restitution", "boundary", "box_tu", "workers", "proof"
            )
            found = set(rows)
        assert found == {
            ("bounce", 0.25, 0.5, "open", None, None, Run.Proof.NONE),
            ("merge", 0.25, None, "open", None, 2, Run.Proof.NONE),
            ("", None, None, "periodic", 128.0, 2, Run.Proof.WHOLE),
        }

    def test_offers_what_the_engine_offers(self, client):
        form = client.get("/runs/new/?scenario=plummer").context["form"]
        for name, known in (("integrator", engine.INTEGRATORS), ("force", engine.FORCES)):
            assert [value for value, _ in form.fields[name].choices] == list(known)
        assert [float(value) for value, _ in form.fields["accuracy"].choices] == list(
            engine.ACCURACIES
        )

    def test_without_a_method_takes_the_engines_own(self, client):
        plain = {name: GOOD[name] for name in ("scenario", "bodies", "steps", "dt_tu", "seed")}
        assert client.post("/runs/new/", plain).status_code == 302
        with tenant_context("acme"):
            assert Run.objects.get().engine_request == engine.check_request(
                "plummer", bodies=16, steps=100, dt_tu=0.0078125, seed=3
            )

    @pytest.mark.parametrize("integrator", sorted(set(engine.INTEGRATORS) - {"leapfrog"}))
    def test_a_force_that_does_not_go_with_the_integrator_is_refused_beside_it(
        self, client, integrator
    ):
        answer = client.post("/runs/new/", GOOD | {"integrator": integrator, "force": "fmm"})
        assert answer.status_code == 422
        # An integrator that does not suit the scenario says so itself.
        assert set(answer.context["form"].errors) <= {"force", "integrator"}
        assert runs_of("acme") == 0

    def test_many_bodies_are_no_fault_of_the_field_when_the_method_can_take_them(self, client):
        # With the default number of steps these would be too many pairs.
        many = {"bodies": "400000", "steps": "10"}
        page = client.get("/runs/estimate/", GOOD | many | {"force": "fmm"})
        assert page.context["wanted"].bodies == 400_000
        page = client.get("/runs/estimate/", GOOD | many)
        assert page.context["step_too_long"]
        assert "fast multipole method" in page.content.decode()

    def test_a_step_that_cannot_be_watched_is_refused(self, client):
        answer = client.post("/runs/new/", GOOD | {"bodies": "200000", "steps": "10"})
        assert answer.status_code == 422
        assert "One step of this run would take" in answer.content.decode()
        assert runs_of("acme") == 0

    @pytest.mark.parametrize(
        ("kind", "field", "value"),
        [
            ("momentum", "fault_step", ""),
            ("momentum", "fault_step", "0"),
            ("momentum", "fault_step", "101"),
            ("momentum", "fault_step", "soon"),
            ("momentum", "fault_body", "16"),
            ("momentum", "fault_body", "-1"),
            ("momentum", "fault_body", ""),
            ("reading", "fault_quantity", "love"),
            ("reading", "fault_quantity", ""),
            ("reading", "fault_size", "0"),
            ("reading", "fault_size", "nan"),
            ("reading", "fault_size", "2"),
            ("momentum", "fault_size", ""),
            ("momentum", "fault_reason", ""),
        ],
    )
    def test_says_what_is_wrong_with_a_fault_and_writes_nothing(self, client, kind, field, value):
        answer = client.post("/runs/new/", GOOD | {"fault_kind": kind, field: value})

        assert answer.status_code == 422
        assert list(answer.context["form"].errors) == [field]
        assert runs_of("acme") == 0

    def test_refuses_what_is_too_much_together(self, client):
        answer = client.post("/runs/new/", GOOD | {"bodies": "16384", "steps": "10000000"})
        assert answer.status_code == 422
        assert answer.context["form"].non_field_errors()
        assert runs_of("acme") == 0

    def test_says_when_the_quota_is_used_up(self, client):
        for _ in range(services.RUNS_ACTIVE_MAX):
            client.post("/runs/new/", GOOD)
        answer = client.post("/runs/new/", GOOD)
        assert answer.status_code == 409
        assert "waiting or running" in answer.content.decode()
        assert runs_of("acme") == services.RUNS_ACTIVE_MAX

    def test_the_estimate_follows_the_form(self, client):
        short = client.get("/runs/estimate/", GOOD).context["cost"].total_s
        long = client.get("/runs/estimate/", GOOD | {"steps": "10000"}).context["cost"].total_s
        assert long == pytest.approx(100 * short)

    def test_the_estimate_counts_the_processes(self, client, settings, monkeypatch):
        settings.AII_RUN_WORKERS_MAX = 2
        monkeypatch.setattr("simulation.engine.cost._cores", lambda: 2)
        asked = {**GOOD, "bodies": "4096"}
        one, two = (
            client.get("/runs/estimate/", {**asked, "workers": workers}) for workers in ("1", "2")
        )
        assert two.context["cost"].step_s == pytest.approx(one.context["cost"].step_s / 2)
        assert "on 2 processes" in two.content.decode()

    def test_the_estimate_counts_every_force_of_a_step(self, client):
        once = client.get("/runs/estimate/", GOOD).context
        thrice = client.get("/runs/estimate/", GOOD | {"integrator": "yoshida4"}).context
        assert thrice["interactions"] == 3 * once["interactions"]
        assert thrice["cost"].total_s > once["cost"].total_s

    def test_the_estimate_of_a_bad_form_is_none(self, client):
        answer = client.get("/runs/estimate/", GOOD | {"steps": "x"})
        assert answer.status_code == 200
        assert "No estimate" in answer.content.decode()

    def test_without_the_permission_for_faults_the_form_takes_none(self, client_for, owner, acme):
        client = client_for(owner, acme)
        assert "fault_kind" not in client.get("/runs/new/").context["form"].fields
        client.post("/runs/new/", GOOD | {"fault_kind": "momentum"})
        with tenant_context("acme"):
            assert Run.objects.get().fault is None
