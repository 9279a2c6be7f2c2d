"""The roadmap as it stands: phases with their progress, and criteria as measured now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from business.roadmap.criteria import Judged, describe_target, describe_value, judge
from business.roadmap.models import Phase, Task
from business.roadmap.services import PhaseUnknown, TaskUnknown
from tenants.models import Membership, Tenant


@dataclass(frozen=True)
class PhaseStanding:
    """A phase, how much of it is done, and what keeps it from ending."""

    phase: Phase
    tasks: list[Task]
    judged: list[Judged]
    today: date

    @property
    def closed(self) -> int:
        """How many tasks are done or dropped."""
        return sum(task.is_closed for task in self.tasks)

    @property
    def met(self) -> int:
        """How many criteria are met."""
        return sum(each.status == "MET" for each in self.judged)

    @property
    def share(self) -> float:
        """Closed tasks and met criteria, of all."""
        parts = len(self.tasks) + len(self.judged)
        return (self.closed + self.met) / parts if parts else 0.0

    @property
    def state(self) -> str:
        """READY when all is closed and met; else PLANNED, RUNNING or, past its end, LATE."""
        if self.closed == len(self.tasks) and self.met == len(self.judged):
            return "READY"
        if self.today < self.phase.starts_on:
            return "PLANNED"
        return "LATE" if self.today > self.phase.ends_on else "RUNNING"


def list_standings(tenant: Tenant, now: datetime) -> list[PhaseStanding]:
    """Return the phases in order; none before the plan was made. Measures every criterion."""
    phases = Phase.objects.prefetch_related("tasks__owner", "criteria")
    standings = []
    for phase in phases:
        judged = [judge(each, tenant, now) for each in phase.criteria.all()]
        standings.append(PhaseStanding(phase, list(phase.tasks.all()), judged, now.date()))
    return standings


def get_phase(phase_id: UUID) -> Phase:
    """Return a phase of this tenant, or raise ``PhaseUnknown``."""
    phase = Phase.objects.filter(pk=phase_id).first()
    if phase is None:
        raise PhaseUnknown("There is no such phase here.")
    return phase


def get_task(task_id: UUID) -> Task:
    """Return a task of this tenant, or raise ``TaskUnknown``."""
    task = Task.objects.select_related("phase", "owner").filter(pk=task_id).first()
    if task is None:
        raise TaskUnknown("There is no such task here. Perhaps somebody deleted it.")
    return task


def list_possible_owners(tenant: Tenant, task: Task | None = None) -> list[tuple[str, str]]:
    """Return whom a task can be given to, as (id, e-mail); who owns it now stays among them."""
    members = Membership.objects.filter(tenant=tenant).select_related("user")
    people = {str(each.user_id): each.user.email for each in members.order_by("user__email")}
    if task is not None and task.owner is not None:
        people.setdefault(str(task.owner_id), f"{task.owner.email} (has left)")
    return list(people.items())


def describe_plan(standings: list[PhaseStanding]) -> str:
    """Return the answer in a sentence: where the plan stands today."""
    late = [str(each.phase) for each in standings if each.state == "LATE"]
    running = [each for each in standings if each.state == "RUNNING"]
    if late:
        return f"{' and '.join(late)} {'is' if len(late) == 1 else 'are'} late"
    if running:
        now = running[0]
        return (
            f"{now.phase}: {now.closed} of {len(now.tasks)} tasks closed, {now.met} of"
            f" {len(now.judged)} exit criteria met"
        )
    if standings and all(each.state == "READY" for each in standings):
        return "Every phase is ready"
    return "The plan has not begun" if standings else "There is no plan yet"


def to_rows(standings: list[PhaseStanding]) -> list[dict[str, Any]]:
    """Return tasks and criteria as flat rows for a file, phase after phase."""
    rows: list[dict[str, Any]] = []
    for each in standings:
        phase = {
            "phase": str(each.phase),
            "phase_state": each.state,
            "starts_on": str(each.phase.starts_on),
            "ends_on": str(each.phase.ends_on),
        }
        rows += [{**phase, "kind": "task", **_task_row(task)} for task in each.tasks]
        rows += [{**phase, "kind": "criterion", **_criterion_row(one)} for one in each.judged]
    return rows


def _task_row(task: Task) -> dict[str, Any]:
    return {
        "title": task.title,
        "state": task.state,
        "owner": task.owner.email if task.owner else None,
        "due_on": str(task.due_on) if task.due_on else None,
    }


def _criterion_row(judged: Judged) -> dict[str, Any]:
    criterion = judged.criterion
    return {
        "title": criterion.get_measure_display(),
        "state": judged.status,
        "target": describe_target(criterion.measure, criterion.target),
        "measured": judged.found.value,
        "measured_text": describe_value(criterion.measure, judged.found.value),
        "note": judged.found.sentence,
    }
