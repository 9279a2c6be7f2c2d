"""What the form of a run is filled with, and how many runs came of it."""

from __future__ import annotations

from simulation.models import Run
from tenants.context import tenant_context

GOOD = {
    "scenario": "plummer",
    "bodies": "16",
    "steps": "100",
    "dt_tu": "0.0078125",
    "seed": "3",
    "integrator": "leapfrog",
    "force": "direct",
    "accuracy": "0.0001",
    "softening": "",
    "fault_kind": "",
    "fault_step": "50",
    "fault_quantity": "energy",
    "fault_body": "1",
    "fault_size": "0.001",
    "fault_reason": "The yearly drill.",
}


def runs_of(slug: str) -> int:
    with tenant_context(slug):
        return Run.objects.count()
