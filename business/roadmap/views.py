"""The pages of the roadmap. Each view parses, calls one service or selector, and renders."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from business.roadmap import exports, forms, selectors, services
from business.roadmap.criteria import SHARES, describe_target, describe_value
from business.roadmap.models import Phase, Task
from tenants.models import Tenant, User
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class


@require_GET
@require_permission("roadmap.view")
def roadmap(request: HttpRequest) -> HttpResponse:
    """Show the plan: where it stands, and each phase with its tasks and exit criteria."""
    return _roadmap_page(request, forms.PlanStart(initial={"starts_on": timezone.now().date()}))


def _roadmap_page(request: HttpRequest, form: forms.PlanStart, status: int = 200) -> HttpResponse:
    now = timezone.now()
    standings = selectors.list_standings(_tenant(request), now)
    context = {
        "form": form,
        "now": now,
        "sentence": selectors.describe_plan(standings),
        "phases": [(each, [_criterion(one) for one in each.judged]) for each in standings],
    }
    return render(request, "roadmap/roadmap.html", context, status=status)


def _criterion(judged: Any) -> dict[str, str]:
    criterion = judged.criterion
    return {
        "title": criterion.get_measure_display(),
        "status": judged.status,
        "target": describe_target(criterion.measure, criterion.target),
        "value": describe_value(criterion.measure, judged.found.value),
        "note": judged.found.sentence,
    }


@require_POST
@require_permission("roadmap.edit")
def make_plan(request: HttpRequest) -> HttpResponse:
    """Make the default plan from a day on."""
    form = forms.PlanStart(request.POST)
    if not form.is_valid():
        return _roadmap_page(request, form, status=422)
    services.create_plan(
        acting_user=_person(request),
        starts_on=form.cleaned_data["starts_on"],
        created_at=timezone.now(),
    )
    messages.success(request, "The plan is made. Give its tasks owners and dates.")
    return redirect("roadmap:roadmap")


@require_http_methods(["GET", "POST"])
@require_permission("roadmap.edit")
def new_task(request: HttpRequest, phase_id: UUID) -> HttpResponse:
    """Add a task to a phase."""
    phase = selectors.get_phase(phase_id)
    owners = selectors.list_possible_owners(_tenant(request))
    form = forms.TaskForm(_posted(request), owners=owners, initial={"state": Task.State.TODO})
    if request.method == "GET" or not form.is_valid():
        return _task_page(request, form, phase, None)
    made = services.add_task(
        acting_user=_person(request),
        tenant=_tenant(request),
        phase_id=phase_id,
        task=form.to_input(),
        added_at=timezone.now(),
    )
    messages.success(request, f"Added: {made.title}")
    return redirect(phase)


@require_http_methods(["GET", "POST"])
@require_permission("roadmap.edit")
def edit_task(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Change a task."""
    found = selectors.get_task(task_id)
    initial = {
        "title": found.title,
        "owner": str(found.owner_id or ""),
        "due_on": found.due_on,
        "state": found.state,
    }
    owners = selectors.list_possible_owners(_tenant(request), found)
    form = forms.TaskForm(_posted(request), owners=owners, initial=initial)
    if request.method == "GET" or not form.is_valid():
        return _task_page(request, form, found.phase, found)
    changed = services.change_task(
        acting_user=_person(request),
        tenant=_tenant(request),
        task_id=task_id,
        task=form.to_input(),
        changed_at=timezone.now(),
    )
    messages.success(request, f"Saved: {changed.title}")
    return redirect(changed.phase)


def _task_page(
    request: HttpRequest, form: forms.TaskForm, phase: Phase, found: Task | None
) -> HttpResponse:
    status = 422 if request.method == "POST" else 200
    context = {"form": form, "phase": phase, "task": found}
    return render(request, "roadmap/task.html", context, status=status)


@require_http_methods(["GET", "POST"])
@require_permission("roadmap.edit")
def delete_task(request: HttpRequest, task_id: UUID) -> HttpResponse:
    """Ask whether a task is to go for good, and delete it."""
    found = selectors.get_task(task_id)
    if request.method == "GET":
        return render(request, "roadmap/delete_task.html", {"task": found})
    title = services.delete_task(
        acting_user=_person(request), task_id=task_id, deleted_at=timezone.now()
    )
    messages.info(request, f"Deleted: {title}")
    return redirect(found.phase)


@require_http_methods(["GET", "POST"])
@require_permission("roadmap.edit")
def edit_phase(request: HttpRequest, phase_id: UUID) -> HttpResponse:
    """Change a phase's days and targets."""
    found = selectors.get_phase(phase_id)
    form = forms.PhaseForm(_posted(request), phase=found)
    if request.method == "GET" or not form.is_valid():
        return _phase_page(request, form, found)
    try:
        services.change_phase(
            acting_user=_person(request),
            phase_id=phase_id,
            starts_on=form.cleaned_data["starts_on"],
            ends_on=form.cleaned_data["ends_on"],
            targets=form.targets(),
            changed_at=timezone.now(),
        )
    except services.DatesReversed as refusal:
        form.add_error("ends_on", str(refusal))
        return _phase_page(request, form, found)
    messages.success(request, f"Saved: {found}")
    return redirect(found)


def _phase_page(request: HttpRequest, form: forms.PhaseForm, found: Phase) -> HttpResponse:
    context = {
        "form": form,
        "phase": found,
        "targets": [(form[name], "%" if name in SHARES else "") for name in form.measures],
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "roadmap/phase.html", context, status=status)


@rate_class("export")
@require_GET
@require_permission("roadmap.view")
def as_csv(request: HttpRequest) -> HttpResponse:
    """Send the plan as CSV."""
    rows = _rows_on_record(request, "csv")
    return _file(exports.to_csv(rows), "text/csv; charset=utf-8", "csv")


@rate_class("export")
@require_GET
@require_permission("roadmap.view")
def as_json(request: HttpRequest) -> HttpResponse:
    """Send the plan as JSON."""
    rows = _rows_on_record(request, "json")
    text = exports.to_json(rows, timezone.now().isoformat(timespec="seconds"))
    return _file(text, "application/json", "json")


def _rows_on_record(request: HttpRequest, form: str) -> list[dict[str, Any]]:
    now = timezone.now()
    rows = selectors.to_rows(selectors.list_standings(_tenant(request), now))
    services.record_export(acting_user=_person(request), form=form, rows=len(rows), exported_at=now)
    return rows


def _file(text: str, content_type: str, ending: str) -> HttpResponse:
    response = HttpResponse(text, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="roadmap.{ending}"'
    return response


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _tenant(request: HttpRequest) -> Tenant:
    tenant = request.tenant  # type: ignore[attr-defined]
    assert isinstance(tenant, Tenant)
    return tenant
