"""Fixtures of the runs: one that waits, and a way to execute it here and now."""

from __future__ import annotations

import datetime
import uuid

import pytest
from django.utils import timezone

from simulation import services
from simulation.engine import Fault
from simulation.models import Run

RELEASED = uuid.UUID(int=7)
NOON = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@pytest.fixture
def queued(in_acme, operator):
    """Return a function that asks for a run as the operator of acme."""

    def make(scenario: str = "kepler", *, steps: int = 200, fault: Fault | None = None, **inputs):
        return services.request_run(
            acting_user=operator,
            scenario=scenario,
            steps=steps,
            fault=fault,
            approval_id=RELEASED if fault else None,
            requested_at=NOON,
            **inputs,
        )

    return make


@pytest.fixture
def client(client_for, operator, acme):
    """A browser in which the operator of acme has signed in."""
    return client_for(operator, acme)


@pytest.fixture
def executed(queued):
    """Return a function that asks for a run, executes it in this thread, and reads it back."""

    def make(*args, **inputs) -> Run:
        run = queued(*args, **inputs)
        services.execute_run(run_id=run.pk, clock=timezone.now, node="test-worker")
        return Run.objects.get(pk=run.pk)

    return make
