"""What people ask for: a run, the same run again, the end of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from simulation import engine
from simulation.cost import Cost, estimate_cost
from simulation.engine import BadRequest, Fault, Request
from simulation.models import BodiesFile, Run
from simulation.quota import get_runs_active_max, lock_quota
from simulation.services import live
from simulation.services.own_bodies import find_bodies_file, radii_of, scenario_of_file
from simulation.services.settling import end_unattended
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.models import User
from tenants.tasks import enqueue_on_commit

# Well below the broker's visibility time-out (24 h), at which a running task would be delivered
# again.
ESTIMATE_S_MAX = 6 * 3600.0
# A step cannot be interrupted. With its retrace it takes up to three evaluations, and a worker that
# is silent for ten seconds is taken for lost (``recovery``).
STEP_S_MAX = 2.0


class RunUnknown(NotFound):
    """There is no such run in this tenant."""

    code = "run_unknown"


class TooManyActiveRuns(Conflict):
    """The tenant's quota of runs that wait or compute is used up."""

    code = "too_many_active_runs"


class RunTooLong(Invalid):
    """The estimate is longer than a run may take."""

    code = "run_too_long"


class StepTooLong(Invalid):
    """A single step takes longer than a worker may be silent."""

    code = "step_too_long"


class RunNotActive(Conflict):
    """The run has ended already."""

    code = "run_not_active"


class FaultNotReleased(Forbidden):
    """Nobody but the person who asks wants this fault."""

    code = "fault_not_released"


@transaction.atomic
def request_run(
    *,
    acting_user: User,
    scenario: str,
    requested_at: datetime,
    bodies: int | None = None,
    dt_tu: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    integrator: str = "leapfrog",
    force: str = "direct",
    accuracy: float | None = None,
    softening_tu: float | None = None,
    collisions: str | None = None,
    radius_tu: float | Sequence[float] | None = None,
    restitution: float | None = None,
    boundary: str = "open",
    box_tu: float | None = None,
    workers: int | None = None,
    bodies_file_id: UUID | str | None = None,
    fault: Fault | None = None,
    approval_id: UUID | None = None,
) -> Run:
    """Queue a run and return it; what is not given is the scenario's default.

    With a ``bodies_file_id`` it starts from that file's bodies, whatever the ``scenario``. A run
    with a fault needs the approval that released it. Raises ``Invalid`` with the engine's sentence,
    ``BodiesFileUnknown``, ``RunTooLong``, ``StepTooLong``, ``FaultNotReleased``, and
    ``TooManyActiveRuns``. Takes a lock per tenant, so that two requests at once cannot both get the
    last place.
    """
    file = None if bodies_file_id is None else find_bodies_file(bodies_file_id, lock=True)
    request, cost = check_run(
        scenario,
        fault,
        file=file,
        bodies=bodies,
        dt_tu=dt_tu,
        steps=steps,
        seed=seed,
        integrator=integrator,
        force=force,
        accuracy=accuracy,
        softening_tu=softening_tu,
        collisions=collisions,
        radius_tu=radius_tu,
        restitution=restitution,
        boundary=boundary,
        box_tu=box_tu,
        workers=workers,
    )
    if fault is not None and approval_id is None:
        raise FaultNotReleased("A run with a fault starts when somebody else has approved it.")
    _check_quota()
    run = Run.objects.create(
        scenario=request.scenario,
        bodies_file=file,
        limits=request.definition.limits,
        bodies=request.bodies,
        dt_tu=request.dt_tu,
        steps=request.steps,
        seed=request.seed,
        integrator=request.integrator,
        force=request.force,
        accuracy=request.accuracy,
        softening_tu=request.softening,
        collisions=request.collisions or "",
        radius_tu=request.radius,
        restitution=request.restitution,
        boundary=request.boundary,
        box_tu=request.box,
        workers=workers,
        fault=asdict(fault) if fault else None,
        proof=cost.proof,
        estimate_s=cost.total_s,
        requested_at=requested_at,
        requested_by_id=acting_user.pk,
        requested_by_email=acting_user.email,
        sent_at=requested_at,
        approval_id=approval_id,
        is_live=True,
    )
    note(
        who=acting_user,
        action="run.requested",
        subject=Subject("run", str(run.pk)),
        at=requested_at,
        after={
            **inputs_of(request, workers, file),
            "fault": run.fault,
            "approval": run.approval_id,
        },
    )
    # Before the work is asked for: a quick worker publishes what is newer.
    live.publish_row_on_commit(run)
    enqueue_on_commit("simulation.execute_run", run_id=str(run.pk))
    return run


def check_run(
    scenario: str,
    fault: Fault | None,
    *,
    file: BodiesFile | None = None,
    softening_tu: float | None = None,
    radius_tu: float | Sequence[float] | None = None,
    box_tu: float | None = None,
    workers: int | None = None,
    **inputs: Any,
) -> tuple[Request, Cost]:
    """Return what the engine would be asked for, and its cost; ``inputs`` as ``request_run`` takes.

    Raises ``Invalid`` with the engine's sentence, ``RunTooLong`` and ``StepTooLong``.
    """
    chosen: str | engine.Scenario = scenario
    try:
        if file is not None:
            chosen = scenario_of_file(file, softening_tu)
            if radius_tu is None and inputs.get("collisions"):
                radius_tu = radii_of(file)
        request = engine.check_request(
            chosen, softening=softening_tu, radius=radius_tu, box=box_tu, **inputs
        )
        if file is not None:
            engine.check_start(request)
        if fault is not None:
            engine.check_fault(fault, request)
    except BadRequest as refusal:
        raise Invalid(str(refusal)) from None
    check_workers(workers, request)
    cost = estimate_cost(request, workers)
    if cost.step_s > STEP_S_MAX:
        raise StepTooLong(
            f"One step of this run would take about {cost.step_s:.1f} s here; at most "
            f"{STEP_S_MAX:.0f} s are allowed, so that it can be watched and stopped. Ask for fewer "
            "bodies."
        )
    if cost.total_s > ESTIMATE_S_MAX:
        raise RunTooLong(
            f"This run would take about {cost.total_s / 3600:.1f} hours here; at most "
            f"{ESTIMATE_S_MAX / 3600:.0f} are allowed. Ask for fewer steps or bodies."
        )
    return request, cost


def check_workers(workers: int | None, request: Request) -> None:
    """Hold the processes of a run to what there is and to what can be shared out; raise
    ``Invalid``.
    """
    if workers is None or workers == 1:
        return
    most = settings.AII_RUN_WORKERS_MAX
    if not 1 <= workers <= most:
        raise Invalid(f"A run has 1 to {most} processes here, not {workers}.")
    if request.runs_on_one_process:
        raise Invalid("An integrator on doubles is computed by one process; ask for one.")


def _check_quota() -> None:
    lock_quota()
    active, active_max = Run.objects.active().count(), get_runs_active_max()
    if active >= active_max:
        raise TooManyActiveRuns(
            f"{active} runs are waiting or running, which is all that this tenant may have at once "
            f"({active_max}). Wait for one to end, or cancel one."
        )


def rerun_run(*, acting_user: User, run_id: UUID, requested_at: datetime) -> Run:
    """Queue a new run with the same inputs. Raises ``RunUnknown`` and what ``request_run`` does:
    one with a fault has to be asked for again (``faults.ask_again``).
    """
    old = find_run(run_id)
    return request_run(
        acting_user=acting_user,
        fault=old.engine_fault,
        requested_at=requested_at,
        **inputs_of(old.engine_request, old.workers, old.bodies_file),
    )


def find_run(run_id: UUID) -> Run:
    """Return a run, or raise ``RunUnknown``."""
    run = Run.objects.filter(pk=run_id).first()
    if run is None:
        raise RunUnknown("There is no such run here.")
    return run


def inputs_of(
    request: Request, workers: int | None, file: BodiesFile | None = None
) -> dict[str, Any]:
    """Return what ``request_run`` takes for a run like this one, as plain values."""
    of_file = {} if file is None else {"bodies_file_id": str(file.pk)}
    # Radii of each body's own are in their file.
    radius = None if of_file and isinstance(request.radius, tuple) else request.radius
    return {
        **of_file,
        "scenario": request.scenario,
        "bodies": None if request.definition.is_fixed else request.bodies,
        "dt_tu": request.dt_tu,
        "steps": request.steps,
        "seed": request.seed,
        "integrator": request.integrator,
        "force": request.force,
        "accuracy": request.accuracy,
        "softening_tu": request.softening,
        "collisions": request.collisions,
        "radius_tu": radius,
        "restitution": request.restitution,
        "boundary": request.boundary,
        "box_tu": request.box,
        "workers": workers,
    }


@transaction.atomic
def cancel_run(*, acting_user: User, run_id: UUID, cancelled_at: datetime) -> Run:
    """Cancel a waiting run at once; ask a running one to stop, which it does within a second.

    Raises ``RunUnknown``, and ``RunNotActive`` when it has ended. Asking twice changes nothing.
    Locks the run's row.
    """
    run = Run.objects.select_for_update().filter(pk=run_id).first()
    if run is None:
        raise RunUnknown("There is no such run here.")
    if not run.is_active:
        raise RunNotActive(
            f"Run {run.short_id} has ended already ({run.get_state_display().lower()})."
        )
    if run.cancel_requested_at is None:
        run.cancel_requested_at = cancelled_at
        run.cancel_requested_by_id = acting_user.pk
        run.cancel_requested_by_email = acting_user.email
        run.save(
            update_fields=[
                "cancel_requested_at",
                "cancel_requested_by",
                "cancel_requested_by_email",
            ]
        )
        note(
            who=acting_user,
            action="run.cancel_requested",
            subject=Subject("run", str(run.pk)),
            at=cancelled_at,
            before={"state": run.state},
        )
    if run.state == Run.State.QUEUED:
        end_unattended(run, Run.State.CANCELLED, at=cancelled_at)
    live.publish_row_on_commit(run)
    return run
