"""Ending a run, repeating it, and looking after those whose worker fell silent."""

from __future__ import annotations

import datetime
from uuid import uuid4

import pytest
from django.utils import timezone

from monitoring.heartbeat import node_name
from monitoring.live import read_state
from monitoring.models import Observation
from monitoring.services import open_account
from simulation import engine, services
from simulation.engine import Fault
from simulation.models import Checkpoint, Run, RunResult
from tenants.context import tenant_context
from tests.simulation.conftest import NOON

pytestmark = pytest.mark.django_db


class TestCancelRun:
    def test_a_waiting_run_ends_at_once(self, queued, operator):
        run = queued()
        services.cancel_run(acting_user=operator, run_id=run.pk, cancelled_at=NOON)

        run.refresh_from_db()
        assert (run.state, run.finished_at) == (Run.State.CANCELLED, NOON)
        assert run.cancel_requested_by_email == operator.email
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
        run.refresh_from_db()
        assert run.attempt == 0

    def test_what_was_verified_before_its_worker_stopped_is_kept(self, queued, operator):
        run = queued("solar_system", steps=300)
        state = engine.prepare("solar_system")
        engine.advance(state, 100)
        Checkpoint.objects.create(
            run=run, step=100, state=state.to_bytes(), digest="", wall_s=3.0, saved_at=NOON
        )
        services.cancel_run(acting_user=operator, run_id=run.pk, cancelled_at=NOON)
        run.refresh_from_db()
        assert (run.state, run.step_done, run.digest_end) == ("CANCELLED", 100, state.digest())
        assert RunResult.objects.get(run=run).step == 100

    def test_a_run_that_has_ended_is_a_conflict(self, executed, operator):
        run = executed()
        with pytest.raises(services.RunNotActive):
            services.cancel_run(acting_user=operator, run_id=run.pk, cancelled_at=NOON)
        assert Run.objects.get(pk=run.pk).cancel_requested_at is None

    def test_a_run_of_another_tenant_is_unknown(self, queued, outsider):
        run = queued()
        with tenant_context("globex"), pytest.raises(services.RunUnknown):
            services.cancel_run(acting_user=outsider, run_id=run.pk, cancelled_at=NOON)
        run.refresh_from_db()
        assert run.state == Run.State.QUEUED


class TestRerunRun:
    def test_repeats_every_input_and_ends_on_the_same_digest(self, executed, owner):
        first = executed("plummer", bodies=16, steps=50, seed=7, dt_tu=0.01)
        second = services.rerun_run(acting_user=owner, run_id=first.pk, requested_at=NOON)
        services.execute_run(run_id=second.pk, clock=timezone.now, node="test-worker")

        second.refresh_from_db()
        assert second.pk != first.pk
        assert second.requested_by_email == owner.email
        assert second.digest_end == first.digest_end

    def test_a_fault_is_not_repeated_without_somebody_else(self, executed, operator):
        first = executed(fault=Fault("reading", 10, quantity="energy"))
        with pytest.raises(services.FaultNotReleased):
            services.rerun_run(acting_user=operator, run_id=first.pk, requested_at=NOON)
        assert Run.objects.count() == 1

    def test_an_unknown_run_is_refused(self, in_acme, operator):
        with pytest.raises(services.RunUnknown):
            services.rerun_run(
                acting_user=operator,
                run_id=uuid4(),
                requested_at=NOON,
            )


class TestReapRuns:
    def silent(self, run: Run, **fields) -> datetime.datetime:
        """Claim the run as a worker that is never heard of again; return a time 11 s later."""
        Run.objects.filter(pk=run.pk).update(
            state=Run.State.RUNNING,
            claim=run.pk,
            heartbeat_at=NOON,
            started_at=NOON,
            attempt=1,
            **fields,
        )
        return NOON + datetime.timedelta(seconds=11)

    def test_a_silent_run_waits_again_and_ends_on_the_same_digest(self, queued):
        run = queued("solar_system", steps=300)
        state = engine.prepare("solar_system")
        engine.advance(state, 100)
        Checkpoint.objects.create(
            run=run,
            step=100,
            state=state.to_bytes(),
            digest=state.digest(),
            wall_s=3.0,
            saved_at=NOON,
        )
        services.reap_runs(reaped_at=self.silent(run))
        run.refresh_from_db()
        assert (run.state, run.resumes) == (Run.State.QUEUED, 1)

        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
        run.refresh_from_db()
        engine.advance(state, 200)
        assert (run.state, run.digest_end) == (Run.State.DONE, state.digest())
        assert run.wall_s > 3.0

    def test_pages_see_that_a_silent_run_waits_again(
        self, queued, django_capture_on_commit_callbacks, monkeypatch
    ):
        monkeypatch.setattr("tenants.tasks._send", lambda *_: None)
        run = queued()
        with django_capture_on_commit_callbacks(execute=True):
            services.reap_runs(reaped_at=self.silent(run))
        assert read_state("acme")[1][f"run.{run.pk}"]["state"] == "QUEUED"

    def test_a_damaged_checkpoint_costs_time_but_not_the_result(self, queued):
        run = queued("solar_system", steps=300)
        state = engine.prepare("solar_system")
        engine.advance(state, 100)
        damaged = bytearray(state.to_bytes())
        damaged[-1] ^= 1
        Checkpoint.objects.create(
            run=run, step=100, state=bytes(damaged), digest="", wall_s=3.0, saved_at=NOON
        )
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
        run.refresh_from_db()
        engine.advance(state, 200)
        assert (run.state, run.digest_end) == (Run.State.DONE, state.digest())

    def test_a_beat_from_the_future_is_silence_since_the_clock_was_set_back(self, queued):
        run = queued()
        self.silent(run)
        services.reap_runs(reaped_at=NOON - datetime.timedelta(hours=1))
        run.refresh_from_db()
        assert (run.state, run.resumes) == (Run.State.QUEUED, 1)

    def test_a_run_that_beats_is_left_alone(self, queued):
        run = queued()
        self.silent(run)
        services.reap_runs(reaped_at=NOON + datetime.timedelta(seconds=9))
        run.refresh_from_db()
        assert run.state == Run.State.RUNNING

    def test_the_third_silence_fails_it_with_a_sentence(self, queued):
        run = queued()
        services.reap_runs(reaped_at=self.silent(run, resumes=2))
        run.refresh_from_db()
        assert run.state == Run.State.FAILED
        assert run.failure.startswith("Its worker stopped 3 times")

    def test_whoever_ends_it_is_a_node_that_is_there(self, queued):
        run = queued("solar_system", steps=300)
        at = self.silent(run, resumes=2)
        run.refresh_from_db()
        account = open_account(name="a", kind="run", reference=str(run.pk), opened_at=NOON)
        Run.objects.filter(pk=run.pk).update(account_id=account.pk)
        state = engine.prepare("solar_system")
        engine.advance(state, 100)
        Checkpoint.objects.create(
            run=run, step=100, state=state.to_bytes(), digest="", wall_s=3.0, saved_at=NOON
        )
        services.reap_runs(reaped_at=at)
        # A name that no process beats under would be taken for a lost worker.
        assert {row.node.name for row in Observation.objects.all()} == {node_name()}

    def test_a_silent_run_that_was_to_be_cancelled_is_cancelled(self, queued):
        run = queued()
        services.reap_runs(reaped_at=self.silent(run, cancel_requested_at=NOON))
        run.refresh_from_db()
        assert run.state == Run.State.CANCELLED
        assert not RunResult.objects.exists()

    def test_a_lost_message_is_sent_again_once_a_minute(
        self, queued, django_capture_on_commit_callbacks, monkeypatch
    ):
        sent = []
        monkeypatch.setattr("tenants.tasks._send", lambda *message: sent.append(message))
        run = queued()
        for seconds, expected in ((59, 0), (61, 1), (100, 1), (122, 2)):
            with django_capture_on_commit_callbacks(execute=True):
                services.reap_runs(reaped_at=NOON + datetime.timedelta(seconds=seconds))
            assert len(sent) == expected
        assert sent[0][2] == {"run_id": str(run.pk)}

    def test_a_message_that_still_waits_is_not_sent_again(
        self, queued, django_capture_on_commit_callbacks, monkeypatch
    ):
        from tenants.redis import get_redis

        sent = []
        monkeypatch.setattr("tenants.tasks._send", lambda *message: sent.append(message))
        queued()
        get_redis().lpush("t.acme", "a message that waits behind long runs")
        with django_capture_on_commit_callbacks(execute=True):
            services.reap_runs(reaped_at=NOON + datetime.timedelta(seconds=61))
        assert sent == []
