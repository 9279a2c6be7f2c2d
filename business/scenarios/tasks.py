"""Thin door: compute one long simulation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.utils import timezone

from business.scenarios import services
from tenants.tasks import TenantTask


@shared_task(base=TenantTask, name="scenarios.simulate", acks_late=True)
def simulate(*, simulation_id: str, **_: Any) -> None:
    """Compute a long simulation. Safe to deliver twice."""
    services.execute_simulation(simulation_id=UUID(simulation_id), clock=timezone.now)
