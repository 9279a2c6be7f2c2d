"""Thin doors for the workers: execute one run; look after the runs of one tenant, or of all."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from monitoring.heartbeat import node_name
from simulation import services
from tenants.tasks import PlatformTask, TenantTask, send_to_each_tenant


@shared_task(base=TenantTask, name="simulation.execute_run", acks_late=True)
def execute_run(*, run_id: str, **_: Any) -> None:
    """Execute a queued run. Safe to deliver twice: only QUEUED -> RUNNING is claimed."""
    # **_ lets an old worker survive a payload that a newer release has extended.
    services.execute_run(run_id=UUID(run_id), clock=timezone.now, node=node_name("worker"))


@shared_task(base=TenantTask, name="simulation.reap_runs")
def reap_runs(**_: Any) -> None:
    """Look after the tenant's runs whose worker or message was lost."""
    services.reap_runs(reaped_at=timezone.now())


@shared_task(base=PlatformTask, name="simulation.reap_all")
def reap_all(**_: Any) -> None:
    """Ask for the sweep in each tenant; sent by the scheduler."""
    send_to_each_tenant("simulation.reap_runs")
