"""What people ask for: a run, the same run again, the end of a run."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial
from uuid import UUID

from django.db import connection, transaction

from simulation import engine
from simulation.cost import estimate_cost
from simulation.engine import BadRequest, Fault
from simulation.models import Run
from simulation.services import live
from simulation.services.settling import end_unattended
from tenants.context import current_schema
from tenants.errors import Conflict, Invalid, NotFound
from tenants.models import User
from tenants.tasks import enqueue_on_commit

RUNS_ACTIVE_MAX = 4
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
    fault: Fault | None = None,
) -> Run:
    """Queue a run and return it; what is not given is the scenario's default.

    Raises ``Invalid`` with the engine's sentence, ``RunTooLong``, ``StepTooLong``, and
    ``TooManyActiveRuns``. Takes a lock per tenant, so that two requests at once cannot both get the
    last place.
    """
    try:
        request = engine.check_request(
            scenario,
            bodies=bodies,
            dt_tu=dt_tu,
            steps=steps,
            seed=seed,
            integrator=integrator,
            force=force,
            accuracy=accuracy,
            softening=softening_tu,
        )
        if fault is not None:
            engine.check_fault(fault, request)
    except BadRequest as refusal:
        raise Invalid(str(refusal)) from None
    cost = estimate_cost(request)
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
    _check_quota()
    run = Run.objects.create(
        scenario=request.scenario,
        bodies=request.bodies,
        dt_tu=request.dt_tu,
        steps=request.steps,
        seed=request.seed,
        integrator=request.integrator,
        force=request.force,
        accuracy=request.accuracy,
        softening_tu=request.softening,
        fault=asdict(fault) if fault else None,
        proof=cost.proof,
        estimate_s=cost.total_s,
        requested_at=requested_at,
        requested_by_id=acting_user.pk,
        requested_by_email=acting_user.email,
        sent_at=requested_at,
    )
    enqueue_on_commit("simulation.execute_run", run_id=str(run.pk))
    return run


def _check_quota() -> None:
    with connection.cursor() as cursor:
        # Held until the transaction ends: counting and adding are one act for each tenant.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"simulation.quota:{current_schema()}"],
        )
    active = Run.objects.active().count()
    if active >= RUNS_ACTIVE_MAX:
        raise TooManyActiveRuns(
            f"{active} runs are waiting or running, which is all that this tenant may have at once "
            f"({RUNS_ACTIVE_MAX}). Wait for one to end, or cancel one."
        )


def rerun_run(*, acting_user: User, run_id: UUID, requested_at: datetime) -> Run:
    """Queue a new run with the same inputs, its fault included. Raises ``RunUnknown`` and what
    ``request_run`` does.
    """
    old = Run.objects.filter(pk=run_id).first()
    if old is None:
        raise RunUnknown("There is no such run here.")
    fixed = engine.SCENARIOS[old.scenario].is_fixed
    return request_run(
        acting_user=acting_user,
        scenario=old.scenario,
        bodies=None if fixed else old.bodies,
        dt_tu=old.dt_tu,
        steps=old.steps,
        seed=old.seed,
        integrator=old.integrator,
        force=old.force,
        accuracy=old.accuracy,
        softening_tu=old.softening_tu,
        fault=old.engine_fault,
        requested_at=requested_at,
    )


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
    if run.state == Run.State.QUEUED:
        end_unattended(run, Run.State.CANCELLED, at=cancelled_at)
    transaction.on_commit(partial(live.publish_row, run.pk), robust=True)
    return run
