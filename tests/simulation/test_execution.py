"""Executions side by side, cut off, killed and cancelled: real threads, processes and commits."""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from monitoring.models import Account, Alert, Observation
from simulation import engine, services
from simulation.models import Checkpoint, Run, RunResult
from tenants.context import tenant_context
from tenants.redis import get_redis

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parent.parent.parent
# No machine gets to the end of it while a test waits for a step: such runs are cancelled, or cut
# short once what was waited for has come.
ENDLESS = 10_000_000
SILENCE = datetime.timedelta(seconds=11)


@pytest.fixture(autouse=True)
def _no_messages(request, monkeypatch):
    """Nobody takes messages here, except where a test starts a worker."""
    if "worker" not in request.fixturenames:
        monkeypatch.setattr("tenants.tasks._send", lambda *message: None)


def in_thread(act) -> threading.Thread:
    """Run something inside acme in a thread of its own, with a connection of its own."""

    def work():
        try:
            with tenant_context("acme"):
                act()
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def execute(run: Run) -> None:
    services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")


def wait_for(condition, *, seconds: float = 110.0):
    """Return what the condition returns once that is true; the limit is pytest's, or nearly."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"nothing after {seconds} s")


def reread(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)


def cancel(run: Run, person, thread: threading.Thread) -> Run:
    """Cancel a run and return it as it ended, with the thread that computed it."""
    services.cancel_run(acting_user=person, run_id=run.pk, cancelled_at=timezone.now())
    thread.join()
    found = reread(run)
    assert (found.state, found.failure) == (Run.State.CANCELLED, "")
    return found


def is_computing(run: Run):
    return lambda: reread(run).step_done > 0


def digest_of(steps: int) -> str:
    state = engine.prepare("kepler")
    engine.advance(state, steps)
    return state.digest()


class TestSideBySide:
    def test_delivered_to_two_at_once_it_is_executed_once(self, queued):
        run = queued("kepler", steps=5000)
        together = threading.Barrier(2)

        def act():
            together.wait()
            execute(run)

        for thread in [in_thread(act), in_thread(act)]:
            thread.join()
        found = reread(run)
        assert (found.state, found.attempt) == (Run.State.DONE, 1)
        assert found.digest_end == digest_of(5000)
        assert (Account.objects.count(), RunResult.objects.count()) == (1, 1)

    def test_while_its_kernels_are_compiled_it_waits_and_is_not_taken_for_lost(
        self, queued, monkeypatch
    ):
        run = queued("kepler", steps=5)
        seen = []

        def take_long(request):
            services.reap_runs(reaped_at=timezone.now() + SILENCE)
            seen.append((request.integrator, reread(run).state, reread(run).resumes))

        monkeypatch.setattr("simulation.services.execution.compile_for", take_long)
        execute(run)
        assert seen == [("leapfrog", Run.State.QUEUED, 0)]
        assert (reread(run).state, reread(run).attempt) == (Run.State.DONE, 1)

    def test_the_last_place_of_the_quota_is_given_once(self, queued):
        def ask(_):
            try:
                with tenant_context("acme"):
                    return queued()
            except services.TooManyActiveRuns:
                return None
            finally:
                connection.close()

        with ThreadPoolExecutor(8) as pool:
            runs = [run for run in pool.map(ask, range(8)) if run]
        assert len(runs) == Run.objects.count() == services.RUNS_ACTIVE_MAX

    def test_whoever_lost_the_claim_stops_and_writes_nothing(self, queued):
        run = queued("kepler", steps=ENDLESS)
        first = in_thread(lambda: execute(run))
        wait_for(is_computing(run))
        # Another execution holds the run now.
        other = "00000000-0000-4000-8000-000000000001"
        Run.objects.filter(pk=run.pk).update(claim=other, step_done=7)
        first.join()
        found = reread(run)
        assert (found.state, str(found.claim), found.step_done) == ("RUNNING", other, 7)
        assert not RunResult.objects.exists()

    def test_a_worker_that_was_only_cut_off_takes_its_run_back(self, queued, operator):
        run = queued("kepler", steps=ENDLESS)
        first = in_thread(lambda: execute(run))
        wait_for(is_computing(run))
        services.reap_runs(reaped_at=timezone.now() + SILENCE)
        wait_for(lambda: reread(run).state == Run.State.RUNNING)
        execute(run)  # The message of the sweep comes too late.
        assert first.is_alive()
        found = cancel(run, operator, first)
        assert (found.attempt, found.resumes) == (1, 1)


class TestInMidRun:
    def test_cancel_works_in_mid_run(self, queued, operator):
        run = queued("kepler", steps=ENDLESS)
        thread = in_thread(lambda: execute(run))
        wait_for(is_computing(run))
        found = cancel(run, operator, thread)
        assert 0 < found.step_done < ENDLESS
        assert found.digest_end == digest_of(found.step_done)
        assert found.result.step == found.step_done

    def test_progress_and_readings_come_all_the_time(self, queued, operator):
        run = queued("kepler", steps=ENDLESS)
        beats = set()
        thread = in_thread(lambda: execute(run))

        def has_gone_on():
            beats.add(reread(run).heartbeat_at)
            times = Observation.objects.values_list("observed_at", flat=True)
            return len(beats - {None}) > 3 and len(set(times)) > 2

        wait_for(has_gone_on)
        cancel(run, operator, thread)

    def test_no_transaction_is_open_while_it_computes(self, queued, monkeypatch):
        run = queued("kepler", steps=5_000)
        advance, open_ones = engine.advance, []

        def watched(*args, **kwargs):
            open_ones.append(connection.in_atomic_block)
            return advance(*args, **kwargs)

        monkeypatch.setattr(engine, "advance", watched)
        execute(run)
        assert open_ones
        assert not any(open_ones)

    def test_it_outlives_its_database_connections(self, queued, operator):
        run = queued("kepler", steps=ENDLESS)
        thread = in_thread(lambda: execute(run))
        wait_for(is_computing(run))
        killed = 0
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
            for _ in range(6):
                killed += other.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE usename = current_user AND datname = current_database()"
                    " AND pid <> pg_backend_pid()"
                ).fetchone()[0]
                time.sleep(0.3)
        connection.close()
        assert killed >= 3
        before = reread(run).step_done
        wait_for(lambda: reread(run).step_done > before)
        found = cancel(run, operator, thread)
        assert found.attempt == 1
        assert found.digest_end == digest_of(found.step_done)


@pytest.fixture
def worker(tmp_path):
    """Return a function that starts a real Celery worker for the tenants' queues."""
    started: list[subprocess.Popen] = []

    def start() -> subprocess.Popen:
        with (tmp_path / f"worker-{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *[sys.executable, "-m", "celery", "-A", "aii_site", "worker"],
                    *["--concurrency", "1", "--loglevel", "INFO", "--without-mingle"],
                    *["--without-gossip", "--hostname", f"worker@test{len(started)}"],
                ],
                cwd=ROOT,
                env={**os.environ, "AII_PROCESS": "worker"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """Kill a worker and the children that it forked."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def settled(run: Run) -> Run:
    """Return a run once it has ended."""
    return wait_for(lambda: not reread(run).is_active and reread(run))


class TestARealWorker:
    """One test: each worker costs five seconds of processor time before it takes its first run."""

    def test_killed_in_mid_run_another_goes_on_and_takes_what_comes(
        self, queued, worker, monkeypatch
    ):
        monkeypatch.setenv("AII_RUN_WORKERS", "2")
        self.killed_another_ends_on_the_same_digest(queued, worker)
        self.a_fault_raises_its_alert_within_a_second(queued)
        self.a_large_run_is_shared_out_among_processes(queued)

    def killed_another_ends_on_the_same_digest(self, queued, worker):
        run = queued("kepler", steps=ENDLESS)
        # By the estimate, which hangs on how busy the machine is, it might be proved in part.
        Run.objects.filter(pk=run.pk).update(proof=Run.Proof.WHOLE)
        first = worker()
        wait_for(lambda: Checkpoint.objects.filter(run_id=run.pk, step__gt=0).exists())
        kill(first)
        left = reread(run)
        saved = Checkpoint.objects.get(run_id=run.pk)
        assert left.state == Run.State.RUNNING
        assert 0 < saved.step < ENDLESS
        steps = saved.step + 5000
        Run.objects.filter(pk=run.pk).update(steps=steps, step_done=saved.step)

        services.reap_runs(reaped_at=left.heartbeat_at)
        assert reread(run).state == Run.State.RUNNING  # Not silent for long enough.
        services.reap_runs(reaped_at=left.heartbeat_at + SILENCE)
        assert reread(run).state == Run.State.QUEUED

        worker()
        found = settled(run)
        assert (found.state, found.attempt, found.resumes) == (Run.State.DONE, 2, 1)
        assert found.digest_end == digest_of(steps)
        assert found.digest_reversed == found.digest_start
        assert found.summary["quantities"]["information"]["proved_steps"] == steps
        assert Account.objects.get().outcome == "DONE"

    def a_fault_raises_its_alert_within_a_second(self, queued):
        found = settled(queued("kepler", steps=4000, fault=engine.Fault("momentum", 2000)))
        assert (found.state, found.failure) == (Run.State.VIOLATED, "")
        alert = Alert.objects.get()
        assert alert.opened_at == found.finished_at
        state = get_redis().hgetall("aii:acme:live:state")
        assert f"alert.{alert.pk}" in state
        assert '"state":"VIOLATED"' in state[f"run.{found.pk}"]

    def a_large_run_is_shared_out_among_processes(self, queued):
        """Ranks are started by a pool's child, which may have no children of its own kind."""
        found = settled(queued("plummer", bodies=2048, steps=3))
        assert (found.state, found.failure) == (Run.State.DONE, "")
        assert found.digest_reversed == found.digest_start
        alone = engine.prepare("plummer", bodies=2048)
        engine.advance(alone, 3)
        assert found.digest_end == alone.digest()
        assert (found.summary["workers"], found.summary["distribution"]["events"]) == (2, [])
        # What the ranks cost is told apart from what the coordinator does.
        assert found.summary["timings"].keys() >= {"ranks", "agree"}
