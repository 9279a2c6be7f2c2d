"""A run with a fault breaks a law on purpose: one person asks for it, another releases it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from simulation import engine
from simulation.engine import Fault
from simulation.figures import count, sci
from simulation.models import BodiesFile
from simulation.services.own_bodies import find_bodies_file
from simulation.services.requests import check_run, find_run, inputs_of, request_run
from simulation.wording import describe_fault, title_of_force, title_of_integrator
from tenants.approvals import services as approvals
from tenants.approvals.kinds import Approved, Kind, Outcome
from tenants.approvals.models import ApprovalRequest
from tenants.models import Membership

RUN_WITH_FAULT = "simulation.run_with_fault"


def ask_for_fault(
    *,
    membership: Membership,
    fault: Fault,
    reason: str,
    requested_at: datetime,
    scenario: str,
    **inputs: Any,
) -> ApprovalRequest:
    """Ask for a run with a fault; it starts when somebody else approves.

    ``inputs`` are those of ``request_run``. Raises as it does, ``PermissionDenied`` and
    ``ReasonMissing``.
    """
    file_id = inputs.pop("bodies_file_id", None)
    file = None if file_id is None else find_bodies_file(file_id)
    request, _ = check_run(scenario, fault, file=file, **inputs)
    return approvals.ask(
        membership=membership,
        kind=RUN_WITH_FAULT,
        parameters={
            **inputs_of(request, inputs.get("workers"), file),
            "fault": asdict(fault),
        },
        reason=reason,
        requested_at=requested_at,
    )


def ask_again(*, membership: Membership, run_id: UUID, requested_at: datetime) -> ApprovalRequest:
    """Ask for a run with the inputs and the fault of an earlier one. Raises ``RunUnknown`` and what
    ``ask_for_fault`` does.
    """
    old = find_run(run_id)
    fault = old.engine_fault
    assert fault is not None, "a run without a fault is not asked for"
    return ask_for_fault(
        membership=membership,
        fault=fault,
        reason=f"The same as run {old.short_id}.",
        requested_at=requested_at,
        **inputs_of(old.engine_request, old.workers, old.bodies_file),
    )


def _what(parameters: dict[str, Any]) -> tuple[str, int]:
    """Return what moves, and how many bodies by default."""
    if "bodies_file_id" not in parameters:
        scenario = engine.SCENARIOS[parameters["scenario"]]
        return scenario.title, scenario.bodies
    file = BodiesFile.objects.filter(pk=parameters["bodies_file_id"]).first()
    return ("A file that was deleted", 0) if file is None else (file.name, file.bodies)


def _describe(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    title, bodies = _what(parameters)
    return [
        ("Scenario", title),
        ("Bodies", count(parameters["bodies"] or bodies)),
        ("Steps", count(parameters["steps"])),
        ("Time step", f"{sci(parameters['dt_tu'], 6)} time units"),
        ("Seed", str(parameters["seed"])),
        ("Method", title_of_integrator(parameters["integrator"])),
        ("Force", title_of_force(parameters["force"])),
        ("Fault", describe_fault(parameters["fault"])),
    ]


def _release(approved: Approved) -> Outcome:
    inputs = dict(approved.parameters)
    run = request_run(
        acting_user=approved.requested_by,
        fault=Fault(**inputs.pop("fault")),
        approval_id=approved.request_id,
        requested_at=approved.approved_at,
        **inputs,
    )
    return Outcome(f"run {run.short_id}", run.get_absolute_url())


KIND = Kind(
    name=RUN_WITH_FAULT,
    title="A run with a fault",
    ask="simulation.inject_fault",
    approve="simulation.approve_fault",
    describe=_describe,
    execute=_release,
)
