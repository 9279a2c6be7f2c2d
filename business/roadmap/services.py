"""Every write of the roadmap, each with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max

from business.roadmap.models import Criterion, Phase, Task
from business.roadmap.plan import DEFAULT_PLAN
from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.models import Membership, Tenant, User

TASKS_MAX = 200
DAY = timedelta(days=1)
# Any number of our own: who makes a plan waits for who makes one at the same time.
_PLAN_LOCK = 7_301_950


class PlanExists(Conflict):
    """The tenant has its plan already."""

    code = "plan_exists"


class PhaseUnknown(NotFound):
    """There is no such phase here."""

    code = "phase_unknown"


class TaskUnknown(NotFound):
    """There is no such task here."""

    code = "task_unknown"


class OwnerUnknown(Invalid):
    """The owner of a task is a member of the tenant."""

    code = "owner_unknown"


class TooManyTasks(Conflict):
    """The plan is full."""

    code = "too_many_tasks"


class DatesReversed(Invalid):
    """A phase ends no earlier than it starts."""

    code = "dates_reversed"


@dataclass(frozen=True)
class TaskInput:
    """What a person says about a task."""

    title: str
    owner_id: UUID | None
    due_on: date | None
    state: str


@transaction.atomic
def create_plan(*, acting_user: User, starts_on: date, created_at: datetime) -> list[Phase]:
    """Make the default plan, phase after phase from a day on. Raises ``PlanExists``."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))", [_PLAN_LOCK])
    if Phase.objects.exists():
        raise PlanExists("There is a plan already. Change its phases and tasks.")
    phases, begins = [], starts_on
    for planned in DEFAULT_PLAN:
        ends_on = begins + timedelta(weeks=planned.weeks) - DAY
        phase = Phase.objects.create(kind=planned.kind, starts_on=begins, ends_on=ends_on)
        Task.objects.bulk_create(
            Task(phase=phase, title=title, position=position)
            for position, title in enumerate(planned.tasks)
        )
        Criterion.objects.bulk_create(
            Criterion(phase=phase, measure=measure, target=target)
            for measure, target in planned.targets.items()
        )
        phases.append(phase)
        begins = ends_on + DAY
    note(
        who=acting_user,
        action="roadmap.created",
        subject=Subject("roadmap", "plan", "Adoption roadmap"),
        at=created_at,
        after={"starts_on": str(starts_on), "ends_on": str(begins - DAY)},
    )
    return phases


@transaction.atomic
def add_task(
    *, acting_user: User, tenant: Tenant, phase_id: UUID, task: TaskInput, added_at: datetime
) -> Task:
    """Add a task at the end of a phase. Raises ``PhaseUnknown``, ``OwnerUnknown``,
    ``TooManyTasks``.
    """
    phase = _lock_phase(phase_id)
    if Task.objects.count() >= TASKS_MAX:
        raise TooManyTasks(f"A plan has at most {TASKS_MAX} tasks. Delete one first.")
    _check_owner(tenant, task.owner_id, None)
    last = phase.tasks.aggregate(last=Max("position"))["last"]
    made = Task.objects.create(phase=phase, position=0 if last is None else last + 1, **vars(task))
    _note_task(acting_user, "added", made, added_at, after=_terms(made))
    return made


@transaction.atomic
def change_task(
    *, acting_user: User, tenant: Tenant, task_id: UUID, task: TaskInput, changed_at: datetime
) -> Task:
    """Change a task; nothing is written when nothing differs. Raises ``TaskUnknown``,
    ``OwnerUnknown``.
    """
    found = _lock_task(task_id)
    _check_owner(tenant, task.owner_id, found.owner_id)
    before = _terms(found)
    for name, value in vars(task).items():
        setattr(found, name, value)
    after = _terms(found)
    if after == before:
        return found
    found.save()
    _note_task(acting_user, "changed", found, changed_at, before=before, after=after)
    return found


@transaction.atomic
def delete_task(*, acting_user: User, task_id: UUID, deleted_at: datetime) -> str:
    """Delete a task, and return its title. Raises ``TaskUnknown``."""
    found = _lock_task(task_id)
    _note_task(acting_user, "deleted", found, deleted_at, before=_terms(found))
    found.delete()
    return found.title


@transaction.atomic
def change_phase(
    *,
    acting_user: User,
    phase_id: UUID,
    starts_on: date,
    ends_on: date,
    targets: Mapping[str, int],
    changed_at: datetime,
) -> Phase:
    """Change a phase's dates and the targets of its criteria, by their measure.

    Raises ``PhaseUnknown``, ``DatesReversed``.
    """
    phase = _lock_phase(phase_id)
    if ends_on < starts_on:
        raise DatesReversed("The phase ends before it starts. Choose a later last day.")
    criteria = {each.measure: each for each in phase.criteria.all()}
    before = _phase_terms(phase, criteria)
    phase.starts_on, phase.ends_on = starts_on, ends_on
    for measure, target in targets.items():
        criteria[measure].target = target
    after = _phase_terms(phase, criteria)
    if after == before:
        return phase
    phase.save()
    Criterion.objects.bulk_update(criteria.values(), ["target"])
    note(
        who=acting_user,
        action="roadmap.phase_changed",
        subject=Subject("roadmap_phase", str(phase.pk), str(phase)),
        at=changed_at,
        before=before,
        after=after,
    )
    return phase


@transaction.atomic
def record_export(*, acting_user: User, form: str, rows: int, exported_at: datetime) -> None:
    """Record that somebody takes the roadmap away as ``csv`` or ``json``."""
    note(
        who=acting_user,
        action="roadmap.exported",
        subject=Subject("roadmap", "plan", "Adoption roadmap"),
        at=exported_at,
        after={"format": form, "rows": rows},
    )


def _lock_phase(phase_id: UUID) -> Phase:
    phase = Phase.objects.select_for_update().filter(pk=phase_id).first()
    if phase is None:
        raise PhaseUnknown("There is no such phase here.")
    return phase


def _lock_task(task_id: UUID) -> Task:
    task = Task.objects.select_for_update().filter(pk=task_id).first()
    if task is None:
        raise TaskUnknown("There is no such task here. Perhaps somebody deleted it.")
    return task


def _check_owner(tenant: Tenant, owner_id: UUID | None, now_owner_id: UUID | None) -> None:
    # Who owned the task and has left may stay until somebody else takes over.
    if owner_id is None or owner_id == now_owner_id:
        return
    if not Membership.objects.filter(tenant=tenant, user_id=owner_id).exists():
        raise OwnerUnknown("Choose somebody who belongs to this tenant.")


def _terms(task: Task) -> dict[str, Any]:
    return {
        "title": task.title,
        "owner": str(task.owner_id) if task.owner_id else None,
        "due_on": str(task.due_on) if task.due_on else None,
        "state": str(task.state),
    }


def _phase_terms(phase: Phase, criteria: Mapping[str, Criterion]) -> dict[str, Any]:
    return {
        "starts_on": str(phase.starts_on),
        "ends_on": str(phase.ends_on),
        "targets": {measure: each.target for measure, each in criteria.items()},
    }


def _note_task(acting_user: User, what: str, task: Task, at: datetime, **terms: Any) -> None:
    note(
        who=acting_user,
        action=f"roadmap.task_{what}",
        subject=Subject("roadmap_task", str(task.pk), task.title),
        at=at,
        **terms,
    )
