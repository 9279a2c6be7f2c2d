"""Thin doors: compute one long simulation; look after those that nobody computes any more."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from business.scenarios import services
from tenants.context import tenant_context
from tenants.selectors import list_schemas
from tenants.tasks import PlatformTask, TenantTask


@shared_task(base=TenantTask, name="scenarios.simulate", acks_late=True)
def simulate(*, simulation_id: str, **_: Any) -> None:
    """Compute a long simulation. Safe to deliver twice."""
    services.execute_simulation(simulation_id=UUID(simulation_id), clock=timezone.now)


@shared_task(base=PlatformTask, name="scenarios.reap_simulations")
def reap_simulations(**_: Any) -> None:
    """Look after every tenant's simulations whose worker or message was lost."""
    for schema in list_schemas():
        with tenant_context(schema):
            services.reap_simulations(reaped_at=timezone.now())
