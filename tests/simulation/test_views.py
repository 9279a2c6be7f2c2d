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

from simulation import engine, services
from simulation.engine import Fault
from simulation.models import Run
from tenants.context import tenant_context
from tests.simulation.conftest import NOON
from tests.simulation.run_forms import GOOD, runs_of

pytestmark = pytest.mark.django_db


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

    def test_a_waiting_run_says_that_its_method_may_have_to_be_compiled(self, client, queued):
        said = "its method is compiled first"
        assert said not in client.get(queued().get_absolute_url()).content.decode()
        slow = queued("plummer", bodies=64, force="fmm")
        assert said in client.get(slow.get_absolute_url()).content.decode()

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
