"""Asking for runs, stopping them, and what an execution leaves behind."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from monitoring.live import read_state
from monitoring.models import Account, Alert, Observation
from simulation import engine, services
from simulation.engine import Fault
from simulation.models import Checkpoint, Run
from simulation.wording import describe_run
from tenants.context import tenant_context
from tenants.errors import Invalid
from tests.simulation.conftest import NOON

pytestmark = pytest.mark.django_db


class TestRequestRun:
    def test_takes_the_scenarios_defaults(self, in_acme, operator):
        run = services.request_run(acting_user=operator, scenario="solar_system", requested_at=NOON)

        run.refresh_from_db()
        scenario = engine.SCENARIOS["solar_system"]
        assert (run.bodies, run.dt_tu, run.steps) == (9, scenario.dt_tu, scenario.steps)
        assert (run.state, run.requested_at) == (Run.State.QUEUED, NOON)
        assert (run.requested_by_id, run.requested_by_email) == (operator.pk, operator.email)
        assert run.estimate_s > 0

    @pytest.mark.parametrize(
        "inputs",
        [
            {"scenario": "no_such"},
            {"scenario": "kepler", "steps": 0},
            {"scenario": "kepler", "steps": 10**9},
            {"scenario": "kepler", "bodies": 5},
            {"scenario": "kepler", "dt_tu": float("nan")},
            {"scenario": "kepler", "dt_tu": -1.0},
            {"scenario": "plummer", "bodies": 1},
            {"scenario": "plummer", "seed": -1},
            {"scenario": "kepler", "integrator": "euler"},
            {"scenario": "kepler", "force": "tree"},
            {"scenario": "kepler", "accuracy": 1e-4},
            {"scenario": "kepler", "force": "fmm", "accuracy": 0.5},
            {"scenario": "kepler", "force": "fmm", "integrator": "yoshida4"},
            {"scenario": "kepler", "softening_tu": float("nan")},
            {"scenario": "kepler", "softening_tu": -1.0},
            {"scenario": "kepler", "steps": 10, "fault": Fault("momentum", 11)},
            {"scenario": "kepler", "fault": Fault("nonsense", 1)},
            {"scenario": "kepler", "fault": Fault("reading", 1, relative_size=float("inf"))},
        ],
    )
    def test_refuses_what_the_engine_does_not_offer_and_writes_nothing(
        self, in_acme, operator, inputs
    ):
        with pytest.raises(Invalid) as refusal:
            services.request_run(acting_user=operator, requested_at=NOON, **inputs)

        assert str(refusal.value).endswith(".")
        assert not Run.objects.exists()

    def test_refuses_what_would_take_too_long(self, in_acme, operator):
        with pytest.raises(services.RunTooLong, match="hours"):
            services.request_run(
                acting_user=operator,
                scenario="plummer",
                bodies=8192,
                steps=1_000_000,
                requested_at=NOON,
            )
        assert not Run.objects.exists()

    def test_refuses_a_step_during_which_the_worker_would_be_silent(self, in_acme, operator):
        with pytest.raises(services.StepTooLong, match="One step"):
            services.request_run(
                acting_user=operator,
                scenario="plummer",
                bodies=300_000,
                steps=5,
                requested_at=NOON,
            )
        assert not Run.objects.exists()

    @pytest.mark.parametrize("integrator", list(engine.INTEGRATORS))
    def test_proves_by_running_backwards_what_can_be(self, queued, integrator):
        run = queued("solar_system", steps=10, integrator=integrator)
        reversible = engine.prepare("solar_system", integrator=integrator).is_reversible
        assert run.proof == (Run.Proof.WHOLE if reversible else Run.Proof.NONE)

    def test_refuses_one_more_than_the_quota(self, queued):
        for _ in range(services.RUNS_ACTIVE_MAX):
            queued()
        with pytest.raises(services.TooManyActiveRuns):
            queued()
        assert Run.objects.count() == services.RUNS_ACTIVE_MAX

    def test_the_quota_is_each_tenants_own(self, queued, outsider):
        for _ in range(services.RUNS_ACTIVE_MAX):
            queued()
        with tenant_context("globex"):
            run = services.request_run(acting_user=outsider, scenario="kepler", requested_at=NOON)
            assert Run.objects.get() == run

    def test_asks_the_worker_once_it_is_committed(
        self, queued, django_capture_on_commit_callbacks, monkeypatch
    ):
        sent = []
        monkeypatch.setattr("tenants.tasks._send", lambda *message: sent.append(message))
        with django_capture_on_commit_callbacks(execute=True):
            run = queued()
            assert sent == []
        assert sent == [("simulation.execute_run", "acme", {"run_id": str(run.pk)})]

    def test_pages_see_it_waiting_before_a_worker_can_hear_of_it(
        self, queued, django_capture_on_commit_callbacks, monkeypatch
    ):
        seen = []
        monkeypatch.setattr("tenants.tasks._send", lambda *_: seen.append(read_state("acme")[1]))
        with django_capture_on_commit_callbacks(execute=True):
            run = queued()
        shown = seen[0][f"run.{run.pk}"]
        assert (shown["state"], shown["step"]) == ("QUEUED", 0)
        assert shown["sentence"] == describe_run(run)
        assert f"run.{run.pk}" not in read_state("globex")[1]

    def test_one_cancelled_while_it_waits_leaves_the_pages_a_while_later(
        self, queued, operator, django_capture_on_commit_callbacks
    ):
        run = queued()
        with django_capture_on_commit_callbacks(execute=True):
            services.cancel_run(acting_user=operator, run_id=run.pk, cancelled_at=NOON)
        assert read_state("acme")[1][f"run.{run.pk}"]["state"] == "CANCELLED"
        services.reap_runs(reaped_at=NOON + timedelta(seconds=61))
        assert f"run.{run.pk}" not in read_state("acme")[1]


class TestTheTable:
    @pytest.mark.parametrize(
        "broken",
        [
            {"dt_tu": 0.0},
            {"steps": 0},
            {"bodies": 0},
            {"accuracy": 1e-4},
            {"force": "fmm"},
            {"softening_tu": -1.0},
            {"step_done": 201},
            {"state": "RUNNING"},
            {"state": "DONE"},
            {"state": "VIOLATED", "finished_at": NOON},
            {"state": "FAILED", "finished_at": NOON},
            {"finished_at": NOON},
        ],
    )
    def test_refuses_rows_that_make_no_sense(self, queued, broken):
        run = queued()
        with pytest.raises(IntegrityError), transaction.atomic():
            Run.objects.filter(pk=run.pk).update(**broken)


class TestExecuteRun:
    def test_ends_on_the_engines_own_digest_with_every_law_held(self, executed):
        run = executed("solar_system", steps=500)

        state = engine.prepare("solar_system")
        engine.advance(state, 500)
        assert (run.state, run.step_done, run.failure) == (Run.State.DONE, 500, "")
        assert run.digest_end == state.digest()
        assert run.digest_reversed == run.digest_start == state.digest_start
        quantities = run.summary["quantities"]
        assert quantities["momentum"]["max_abs_error"] == 0
        assert quantities["energy"]["max_abs_error"] < quantities["energy"]["limit"]
        assert quantities["information"]["proved_steps"] == 500
        assert {name: found["verdict"] for name, found in quantities.items()} == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "angular_momentum": "CONSERVED",
            "mass": "CONSERVED",
            "information": "CONSERVED",
        }
        assert engine.State.from_bytes(bytes(run.result.state)).digest() == run.digest_end
        assert not Checkpoint.objects.exists()

    @pytest.mark.parametrize(
        "method",
        [
            {"integrator": "yoshida6"},
            {"softening_tu": 0.125},
            {"force": "fmm", "accuracy": 1e-3},
        ],
    )
    def test_takes_the_method_that_was_asked_for(self, executed, method):
        run = executed("plummer", bodies=32, steps=20, **method)
        options = {"softening" if name == "softening_tu" else name: method[name] for name in method}
        state = engine.prepare("plummer", bodies=32, **options)
        engine.advance(state, 20)
        assert (run.state, run.digest_end) == (Run.State.DONE, state.digest())
        assert run.digest_reversed == run.digest_start
        assert run.provenance == engine.describe_run(state.request)

    def test_runs_nothing_backwards_that_cannot_be(self, queued):
        run = queued("kepler", steps=50)
        # As an integrator that rounds would have it.
        Run.objects.filter(pk=run.pk).update(proof=Run.Proof.NONE)
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
        run = Run.objects.get(pk=run.pk)
        assert (run.state, run.digest_reversed, run.steps_retraced) == (Run.State.DONE, "", 0)
        assert run.summary["quantities"]["information"]["proved_steps"] == 0
        assert "every law" not in describe_run(run)

    def test_reports_to_monitoring_and_closes_its_account(self, executed):
        run = executed()

        account = Account.objects.get(pk=run.account_id)
        assert (account.reference, account.outcome) == (str(run.pk), "DONE")
        assert account.closed_at == run.finished_at
        read = set(Observation.objects.values_list("quantity", "verdict"))
        assert ("momentum", "CONSERVED") in read
        assert ("energy", "BOUNDED") in read
        assert not Alert.objects.exists()

    def test_delivered_again_it_does_nothing(self, executed):
        run = executed()
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")

        again = Run.objects.get(pk=run.pk)
        assert (again.attempt, again.finished_at) == (1, run.finished_at)

    def test_an_unknown_run_is_no_run(self, in_acme):
        services.execute_run(run_id=uuid4(), clock=timezone.now, node="test-worker")
        assert not Run.objects.exists()

    def test_says_over_how_many_steps_information_was_proved(self, queued):
        run = queued("kepler", steps=4_000_000)
        Run.objects.filter(pk=run.pk).update(proof=Run.Proof.SAMPLES, steps=400_000)
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")

        run.refresh_from_db()
        information = run.summary["quantities"]["information"]
        assert run.state == Run.State.DONE
        # The sentence claims no law that is not known.
        assert "every law" not in describe_run(run)
        assert 0 < information["proved_steps"] < 400_000
        assert information["verdict"] == "UNKNOWN"
        assert run.digest_reversed == ""

    def test_a_range_that_would_be_left_fails_with_the_engines_sentence(self, queued):
        run = queued("kepler", steps=2000)
        start = engine.prepare("kepler")
        # The pair is moved so close to the edge of its box that its orbit leads across.
        shifted = start.x_q.copy()
        shifted[1] += 2**52 - int(0.2 / start.grid.length_quantum)
        edge = engine.State(start.request, start.names, start.mass, shifted, start.p_q)
        Checkpoint.objects.create(
            run=run, step=0, state=edge.to_bytes(), digest=edge.digest(), wall_s=0, saved_at=NOON
        )
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")

        run.refresh_from_db()
        assert run.state == Run.State.FAILED
        assert "a body left the box" in run.failure
        assert 0 < run.step_done < 2000
        assert run.result.step == run.step_done

    def test_a_bug_fails_the_run_and_is_raised(self, queued, monkeypatch):
        run = queued()
        monkeypatch.setattr(engine, "advance", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")

        run.refresh_from_db()
        assert run.state == Run.State.FAILED
        assert "ZeroDivisionError" in run.failure
        assert Account.objects.get().outcome == "FAILED"


class TestAFault:
    @pytest.mark.parametrize(
        ("fault", "quantity"),
        [
            (Fault("momentum", 137, body=1), "momentum"),
            (Fault("reading", 137, quantity="energy"), "energy"),
            (Fault("reading", 137, quantity="angular_momentum"), "angular_momentum"),
            (Fault("reading", 137, quantity="mass"), "mass"),
            (Fault("reading", 137, quantity="momentum", relative_size=1e-12), "momentum"),
        ],
    )
    def test_is_caught_in_its_very_step_and_rolled_back(self, executed, fault, quantity):
        run = executed("solar_system", steps=1000, fault=fault)

        clean = engine.prepare("solar_system")
        engine.advance(clean, 136)
        assert run.state == Run.State.VIOLATED
        assert (run.violation["step"], run.violation["quantity"]) == (137, quantity)
        assert run.violation["error"] > run.violation["limit"]
        assert run.violation["law"] == str(engine.LAWS[quantity].kind)
        assert run.violation["expected"] != run.violation["found"]
        # The stored state is the last verified one, bit for bit.
        assert (run.step_done, run.digest_end) == (136, clean.digest())
        assert engine.State.from_bytes(bytes(run.result.state)).step == 136

    def test_may_lie_beyond_the_scenarios_default_number_of_steps(self, executed):
        run = executed("kepler", steps=20_000, fault=Fault("momentum", 19_000))
        assert (run.state, run.violation["step"]) == (Run.State.VIOLATED, 19_000)

    def test_raises_one_critical_alert_that_leads_to_the_run(self, executed):
        run = executed("kepler", fault=Fault("momentum", 50))

        alert = Alert.objects.get()
        assert (alert.severity, alert.quantity) == ("critical", "momentum")
        assert alert.subject_url == run.get_absolute_url()
        assert alert.value == pytest.approx(run.violation["error"])
        assert Account.objects.get().outcome == "VIOLATED"
