"""A run in a process of its own while the database, then Redis, are killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from aii_site.embedded import Services
from simulation import engine

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
STEPS = 8_000_000

REQUEST = """
import django; django.setup()
from django.utils import timezone
from simulation import services
from tenants.context import tenant_context
from tenants.models import User
with tenant_context("acme"):
    person = User.objects.get(email="operator@acme.example")
    run = services.request_run(
        acting_user=person, scenario="kepler", steps=int({steps}), requested_at=timezone.now()
    )
    print(run.pk)
"""
EXECUTE = """
import django; django.setup()
from uuid import UUID
from django.utils import timezone
from simulation import services
from tenants.context import tenant_context
with tenant_context("acme"):
    services.execute_run(run_id=UUID("{run}"), clock=timezone.now, node="test-worker")
"""


@pytest.fixture
def services(tmp_path):
    with Services(tmp_path / "home", durable=True) as running:
        yield running


def python(code: str, environment: dict[str, str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_run_outlives_the_database_and_redis(services):
    environment = {
        **os.environ,
        **services.environment,
        "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"],
        "AII_PROCESS": "command",
        "DJANGO_SETTINGS_MODULE": "aii_site.settings.test",
    }
    for command in ("migrate", "provision_demo"):
        subprocess.run(
            [sys.executable, "manage.py", command],
            cwd=ROOT,
            env=environment,
            check=True,
            capture_output=True,
        )
    asked = python(REQUEST.format(steps=STEPS), environment)
    run_id = asked.communicate()[0].strip().splitlines()[-1]

    def row(column: str):
        with psycopg.connect(services.environment["DATABASE_OWNER_URL"]) as owner:
            query = f"SELECT {column} FROM acme.simulation_run WHERE id = %s"
            return owner.execute(query, [run_id]).fetchone()[0]

    worker = python(EXECUTE.format(run=run_id), environment)
    while not row("step_done"):
        assert worker.poll() is None
        time.sleep(0.1)
    for name, process in (("postgres", services.postgres), ("valkey", services.valkey)):
        before = row("step_done")
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(3)
        services.restart(name)
        assert worker.poll() is None, "the run must go on while the server is away"
        end_s = time.monotonic() + 10
        while row("step_done") <= before:
            assert time.monotonic() < end_s, f"no progress after {name} came back"
            time.sleep(0.1)
    assert worker.wait(300) == 0
    worker.stdout.close()

    state = engine.prepare("kepler")
    engine.advance(state, STEPS)
    assert (row("state"), row("attempt")) == ("DONE", 1)
    assert row("digest_end") == state.digest()
