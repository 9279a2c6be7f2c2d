"""The pages of runs over HTTP: what each person sees and may do, and what bad input writes
(nothing).
"""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from django.urls import reverse

from simulation import cost, engine, services
from simulation.engine import Fault
from simulation.models import Run
from tenants.approvals.models import ApprovalRequest
from tenants.context import tenant_context
from tests.simulation.conftest import NOON

pytestmark = pytest.mark.django_db

GOOD = {
    "scenario": "plummer",
    "bodies": "16",
    "steps": "100",
    "dt_tu": "0.0078125",
    "seed": "3",
    "integrator": "leapfrog",
    "force": "direct",
    "accuracy": "0.0001",
    "softening": "",
    "fault_kind": "",
    "fault_step": "50",
    "fault_quantity": "energy",
    "fault_body": "1",
    "fault_size": "0.001",
    "fault_reason": "The yearly drill.",
}


@pytest.fixture
def client(client_for, operator, acme):
    return client_for(operator, acme)


def runs_of(slug: str) -> int:
    with tenant_context(slug):
        return Run.objects.count()


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


class TestTheList:
    def test_an_empty_one_says_what_to_do(self, client):
        assert "Start the first run" in client.get("/runs/").content.decode()

    def test_filters_by_state_and_scenario(self, client, queued, executed):
        done, waiting = executed("kepler"), queued("figure_eight")

        def listed(query):
            return [run for run, *_ in client.get(f"/runs/?{query}").context["rows"]]

        assert set(listed("")) == {done, waiting}
        assert listed("state=DONE") == [done]
        assert listed("scenario=figure_eight") == [waiting]
        assert listed("state=DONE&scenario=figure_eight") == []
        assert set(listed("state=nonsense&page=999")) == {done, waiting}

    def test_keeps_the_filters_from_page_to_page(self, client, operator, in_acme):
        Run.objects.bulk_create(
            Run(
                scenario="kepler",
                bodies=2,
                dt_tu=0.001,
                steps=1,
                seed=0,
                proof=Run.Proof.WHOLE,
                estimate_s=0.1,
                requested_at=NOON,
                requested_by=operator,
                requested_by_email=operator.email,
                sent_at=NOON,
            )
            for _ in range(30)
        )
        page = client.get("/runs/?state=QUEUED")
        assert len(page.context["rows"]) == 25
        assert "?state=QUEUED&amp;page=2" in page.content.decode()
        assert len(client.get("/runs/?state=QUEUED&page=2").context["rows"]) == 5


class TestTheRunsPage:
    @pytest.mark.parametrize("tab", ["", "?tab=plots", "?tab=data", "?tab=provenance", "?tab=x"])
    def test_shows_every_tab_of_a_finished_run(self, client, executed, tab):
        run = executed("kepler")
        page = client.get(run.get_absolute_url() + tab)
        assert page.status_code == 200
        assert "every law held over 200 steps" in page.content.decode()

    @pytest.mark.parametrize("tab", ["plots", "data", "provenance"])
    def test_shows_a_waiting_run(self, client, queued, tab):
        page = client.get(f"{queued().get_absolute_url()}?tab={tab}")
        assert page.status_code == 200
        assert "Stop the run" in page.content.decode()

    def test_says_law_expected_found_and_step_of_a_violation(self, client, executed):
        run = executed("kepler", fault=Fault("momentum", 50))
        text = client.get(run.get_absolute_url()).content.decode()
        assert "the exact law broke in step 50" in text
        for word in ("Expected", "Found", "Off by", "Limit", "Rolled back to step 49"):
            assert word in text

    def test_marks_the_step_that_broke_a_law_on_its_plot_alone(self, client, executed):
        run = executed("solar_system", fault=Fault("momentum", 50))
        broken = {run.violation["quantity"], *run.violation["also_broken"]}
        text = client.get(run.get_absolute_url()).content.decode()
        for name in ("energy", "momentum", "angular_momentum"):
            (tag,) = (part for part in text.split("<div") if f'data-plot="{name}"' in part)
            assert ('data-broken-step="50"' in tag) == (name in broken)

    @pytest.mark.parametrize("tab", ["plots", "data"])
    def test_waits_for_the_first_numbers_and_only_while_they_may_come(self, client, queued, tab):
        run = queued()
        address = f"{run.get_absolute_url()}?tab={tab}"
        assert "data-wait-for" in client.get(address).content.decode()
        client.post(f"/runs/{run.pk}/cancel/")
        assert "data-wait-for" not in client.get(address).content.decode()

    def test_names_what_was_not_proved(self, client, queued):
        run = queued("kepler")
        Run.objects.filter(pk=run.pk).update(proof=Run.Proof.SAMPLES, steps=400_000)
        from django.utils import timezone

        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
        text = client.get(run.get_absolute_url()).content.decode()
        assert "Information proved over" in text
        assert "of 400\u202f000 steps" in text

    def test_names_the_method_and_how_to_have_it_from_a_terminal(self, client, executed):
        run = executed(
            "plummer", bodies=2100, steps=2, force="fmm", accuracy=1e-3, softening_tu=0.5
        )
        assert run.state == Run.State.DONE
        text = client.get(f"{run.get_absolute_url()}?tab=provenance").content.decode()
        for words in (
            "Leapfrog kick-drift-kick",
            "Fast multipole method, forces to 0.001 (rms)",
            "--force fmm --accuracy 0.001 --softening 0.5",
            "0.5 length units",
        ):
            assert words in text
        assert "leapfrog, fmm 0.001" in client.get("/runs/").content.decode()
        found = json.loads(client.get(f"/runs/{run.pk}/summary.json").content)
        assert (found["force"], found["accuracy"], found["softening_tu"]) == ("fmm", 1e-3, 0.5)
        assert 0 < found["force_rms"] < 1e-3
        assert "Force error found at the end" in text

    def test_shows_a_run_whose_bodies_merged_and_one_in_a_box(self, client, executed):
        merged = executed(
            "plummer", bodies=64, steps=30, collisions="merge", radius_tu=0.1, workers=1
        )
        assert (merged.state, merged.failure) == (Run.State.DONE, "")
        assert merged.summary["quantities"]["energy"]["flux"] != [0.0]
        boxed = executed("plummer", bodies=16, steps=3, boundary="periodic", box_tu=128.0)
        assert (boxed.state, boxed.failure) == (Run.State.DONE, "")
        assert boxed.digest_reversed == boxed.digest_start
        for run, words in (
            (merged, ("--collisions merge --radius 0.1", "bodies of radius 0.1 merge")),
            (boxed, ("--boundary periodic --box 128.0", "A periodic box of side 128")),
        ):
            for tab in ("plots", "bodies", "data", "provenance"):
                page = client.get(f"{run.get_absolute_url()}?tab={tab}")
                assert page.status_code == 200
            assert all(word.lower() in page.content.decode().lower() for word in words)
            again = client.post(f"/runs/{run.pk}/again/")
            assert again.status_code == 302
        with tenant_context("acme"):
            first, second = Run.objects.filter(state=Run.State.QUEUED).order_by("requested_at")
        assert first.engine_request == merged.engine_request
        assert second.engine_request == boxed.engine_request

    def test_progress_tells_htmx_when_the_run_has_ended(self, client, queued, executed):
        waiting, done = queued("figure_eight"), executed("kepler")
        assert "HX-Refresh" not in client.get(f"/runs/{waiting.pk}/progress/").headers
        assert client.get(f"/runs/{done.pk}/progress/")["HX-Refresh"] == "true"

    def test_carries_no_inline_script_or_style(self, client, executed):
        text = client.get(executed("kepler").get_absolute_url()).content.decode()
        assert " style=" not in text
        assert "onclick" not in text
        for part in text.split("<script")[1:]:
            assert 'src="' in part.split(">")[0] or "application/json" in part.split(">")[0]


@pytest.mark.parametrize("integrator", list(engine.INTEGRATORS))
class TestEveryIntegrator:
    """Whatever the engine offers can be run, looked at and taken home."""

    def test_has_pages_and_files(self, client, executed, integrator):
        run = executed("solar_system", steps=30, integrator=integrator)
        assert (run.state, run.failure, run.step_done) == (Run.State.DONE, "", 30)
        for tab in ("plots", "bodies", "data", "provenance"):
            page = client.get(f"{run.get_absolute_url()}?tab={tab}")
            assert page.status_code == 200
        text = page.content.decode()
        verdict = run.summary["quantities"]["information"]["verdict"]
        if run.proof == Run.Proof.NONE:
            assert verdict == "UNKNOWN"
            assert "Information not proved: this run cannot be run backwards" in text
            assert "--reverse" not in text
            assert "every law held" not in text
        else:
            assert verdict == "CONSERVED"
            assert run.digest_reversed == run.digest_start
        found = np.load(
            io.BytesIO(client.get(f"/runs/{run.pk}/state.npz").content), allow_pickle=False
        )
        assert found["position_m"].shape == (9, 3)
        assert str(found["digest"]) == run.digest_end
        csv_ = client.get(f"/runs/{run.pk}/state.csv").content.decode()
        assert len(csv_.splitlines()) == 10
        assert json.loads(client.get(f"/runs/{run.pk}/summary.json").content)["proof"] == run.proof

    def test_is_stopped_by_a_fault_in_its_step(self, client, executed, integrator):
        run = executed("solar_system", steps=30, integrator=integrator, fault=Fault("momentum", 20))
        assert (run.state, run.step_done) == (Run.State.VIOLATED, 19)
        assert run.violation["step"] == 20
        assert client.get(run.get_absolute_url()).status_code == 200

    def test_goes_on_from_its_checkpoint(self, in_acme, integrator):
        state = engine.prepare("solar_system", steps=30, integrator=integrator)
        engine.advance(state, 10)
        again = engine.State.from_bytes(state.to_bytes())
        for each in (state, again):
            engine.advance(each, 20)
        assert again.digest() == state.digest()


class TestFiles:
    def test_npz_holds_the_state_behind_the_digest(self, client, executed):
        run = executed("solar_system", steps=50)
        answer = client.get(f"/runs/{run.pk}/state.npz")

        assert "attachment" in answer["Content-Disposition"]
        found = np.load(io.BytesIO(answer.content), allow_pickle=False)
        state = engine.prepare("solar_system")
        engine.advance(state, 50)
        assert str(found["digest"]) == run.digest_end == state.digest()
        np.testing.assert_array_equal(found["position_q"], state.integer_positions())
        np.testing.assert_array_equal(found["momentum_q"], state.integer_momenta())
        np.testing.assert_array_equal(found["position_m"], state.positions_m())

    def test_csv_holds_the_same_numbers_to_the_last_bit(self, client, executed):
        run = executed("solar_system", steps=50)
        rows = list(
            csv.DictReader(io.StringIO(client.get(f"/runs/{run.pk}/state.csv").content.decode()))
        )
        state = engine.State.from_bytes(bytes(run.result.state))
        assert [row["name"] for row in rows] == list(state.names)
        assert [float(row["x_m"]) for row in rows] == state.positions_m()[:, 0].tolist()

    def test_summary_holds_what_the_command_prints(self, client, executed):
        run = executed("kepler")
        found = json.loads(client.get(f"/runs/{run.pk}/summary.json").content)
        assert set(found["quantities"]) == set(engine.QUANTITIES)
        assert found["digest_end"] == run.digest_end
        assert found["state"] == "DONE"

    def test_a_run_without_a_state_has_no_file(self, client, queued):
        run = queued()
        for name in ("state.npz", "state.csv"):
            assert client.get(f"/runs/{run.pk}/{name}").status_code == 404

    def test_plotly_is_served_compressed_and_cached(self, client):
        from simulation.plotly_script import version

        url = reverse("simulation:plotly_js", args=[version()])
        answer = client.get(url, headers={"accept-encoding": "gzip"})
        assert answer["Content-Encoding"] == "gzip"
        assert "immutable" in answer["Cache-Control"]
        assert len(answer.content) < 2_000_000
        assert client.get("/runs/plotly-0.0.1.min.js").status_code == 404


class TestCancelAndAgain:
    def test_cancel_ends_a_waiting_run(self, client, queued):
        run = queued()
        assert client.post(f"/runs/{run.pk}/cancel/").status_code == 302
        run.refresh_from_db()
        assert run.state == Run.State.CANCELLED

    def test_cancel_of_an_ended_run_is_a_conflict(self, client, executed):
        assert client.post(f"/runs/{executed().pk}/cancel/").status_code == 409

    def test_again_starts_the_same_run(self, client, executed):
        run = executed("plummer", bodies=8, seed=5)
        client.post(f"/runs/{run.pk}/again/")
        new = Run.objects.exclude(pk=run.pk).get()
        assert new.engine_request == run.engine_request

    def test_again_keeps_the_method(self, client, executed):
        run = executed("plummer", bodies=8, steps=5, force="fmm", accuracy=1e-5, softening_tu=0.5)
        client.post(f"/runs/{run.pk}/again/")
        new = Run.objects.exclude(pk=run.pk).get()
        assert new.engine_request == run.engine_request
        assert (new.force, new.accuracy, new.softening_tu) == ("fmm", 1e-5, 0.5)

    @pytest.mark.parametrize("path", ["cancel", "again"])
    def test_a_get_changes_nothing(self, client, queued, path):
        run = queued()
        assert client.get(f"/runs/{run.pk}/{path}/").status_code == 405
        run.refresh_from_db()
        assert run.state == Run.State.QUEUED


PAGES = [
    "/runs/",
    "/runs/{id}/",
    "/runs/{id}/progress/",
    "/runs/{id}/series.json",
    "/runs/{id}/summary.json",
]
FILES = ["/runs/{id}/state.npz", "/runs/{id}/state.csv"]


class TestWhoMayWhat:
    def test_every_member_sees_runs(self, request, client_for, acme, executed):
        run = executed()
        for role in ("owner", "operator", "auditor", "viewer"):
            client = client_for(request.getfixturevalue(role), acme)
            seen = {path: client.get(path.format(id=run.pk)).status_code for path in PAGES + FILES}
            assert seen == dict.fromkeys(PAGES + FILES, 200), role

    @pytest.mark.parametrize("role", ["auditor", "viewer"])
    def test_readers_start_stop_and_repeat_nothing(self, role, request, client_for, acme, queued):
        client = client_for(request.getfixturevalue(role), acme)
        run = queued()
        for method, path in (
            ("get", "/runs/new/"),
            ("post", "/runs/new/"),
            ("get", "/runs/estimate/"),
            ("post", f"/runs/{run.pk}/cancel/"),
            ("post", f"/runs/{run.pk}/again/"),
        ):
            assert getattr(client, method)(path, GOOD).status_code == 403
        run.refresh_from_db()
        assert (run.state, run.cancel_requested_at) == (Run.State.QUEUED, None)
        assert runs_of("acme") == 1
        text = client.get(run.get_absolute_url()).content.decode()
        assert "Stop the run" not in text

    def test_an_outsider_sees_nothing(self, client_for, outsider, acme, executed):
        run, client = executed(), client_for(outsider, acme)
        for path in PAGES + FILES:
            answer = client.get(path.format(id=run.pk))
            assert answer.status_code in (302, 401, 403), path
            assert str(run.pk) not in answer.content.decode(), path

    def test_a_run_of_another_tenant_is_not_there(self, client_for, outsider, globex, executed):
        run, client = executed(), client_for(outsider, globex)
        for path in PAGES[1:] + FILES:
            assert client.get(path.format(id=run.pk)).status_code == 404, path

    def test_nothing_is_written_across_tenants(self, client_for, outsider, globex, queued):
        run = queued()
        client = client_for(outsider, globex)
        for path in ("cancel", "again"):
            assert client.post(f"/runs/{run.pk}/{path}/").status_code == 404
        run.refresh_from_db()
        assert run.state == Run.State.QUEUED
        assert runs_of("globex") == 0
        assert client.get("/runs/").context["rows"] == []
