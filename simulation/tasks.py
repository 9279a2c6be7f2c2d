"""Thin doors: execute one run; look after the runs that nobody executes any more."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from monitoring.heartbeat import node_name
from simulation import services, warm_up
from tenants.context import tenant_context
from tenants.selectors import list_schemas
from tenants.tasks import PlatformTask, TenantTask


@shared_task(base=TenantTask, name="simulation.execute_run", acks_late=True)
def execute_run(*, run_id: str, **_: Any) -> None:
    """Execute a queued run. Safe to deliver twice: only QUEUED -> RUNNING is claimed."""
    # **_ lets an old worker survive a payload that a newer release has extended.
    services.execute_run(run_id=UUID(run_id), clock=timezone.now, node=node_name("worker"))


@shared_task(base=PlatformTask, name="simulation.reap_runs")
def reap_runs(**_: Any) -> None:
    """Look after every tenant's runs whose worker or message was lost.

    In the scheduler's own process: in the workers' queues a sweep would wait behind long runs.
    """
    for schema in list_schemas():
        with tenant_context(schema):
            services.reap_runs(reaped_at=timezone.now())


# Celery imports this module in its processes; warm_up listens to their start.
__all__ = ["execute_run", "reap_runs", "warm_up"]
