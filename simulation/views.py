"""The pages of runs. Each view parses, calls one service or selector, and renders."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from simulation import engine, forms, frames, own_bodies, selectors, services
from simulation.cost import estimate_cost, is_measured, processes_of
from simulation.figures import length_of_time, sci
from simulation.models import Run
from simulation.plotly_script import STYLE_HASHES, version
from simulation.quota import get_runs_active_max
from simulation.wording import (
    describe_fault,
    describe_force,
    describe_method,
    describe_proof_of,
    describe_run,
    describe_space,
    title_of_integrator,
)
from tenants.approvals.models import ApprovalRequest
from tenants.models import Membership, User
from tenants.permissions import has_permission, require_permission
from tenants.rate_limits import rate_class

RUNS_ON_A_PAGE = 25
NAMED_MAX = 20
TABS = ("plots", "bodies", "data", "provenance")


@require_GET
@require_permission("simulation.view")
def runs(request: HttpRequest) -> HttpResponse:
    """List the runs, newest first; the address holds the filters and the page."""
    state = _one_of(request.GET.get("state"), Run.State.values)
    scenario = _one_of(request.GET.get("scenario"), [*engine.SCENARIOS, own_bodies.NAME])
    page = Paginator(selectors.list_runs(state=state, scenario=scenario), RUNS_ON_A_PAGE).get_page(
        request.GET.get("page")
    )
    context = {
        "page": page,
        "rows": [
            (
                run,
                run.title,
                describe_method(run.engine_request),
            )
            for run in page
        ],
        "state": state,
        "scenario": scenario,
        "states": Run.State.choices,
        "scenarios": [
            *((each.name, each.title) for each in engine.SCENARIOS.values()),
            (own_bodies.NAME, "Bodies of your own"),
        ],
        "query": "".join(
            f"{name}={value}&"
            for name, value in (("state", state), ("scenario", scenario))
            if value
        ),
        "active": selectors.count_active(),
        "active_max": get_runs_active_max(),
    }
    return render(request, "simulation/runs.html", context)


def _one_of(value: str | None, allowed: list[str]) -> str:
    return value if value in allowed else ""


@require_http_methods(["GET", "POST"])
@require_permission("simulation.request_run")
def new_run(request: HttpRequest) -> HttpResponse:
    """Show the form; take it, and lead to the new run's page."""
    form = _form(request)
    if request.method == "GET":
        # A bare link shows the defaults; one with values shows those.
        return render(request, "simulation/run_form.html", _form_context(form))
    if not form.is_valid():
        return render(request, "simulation/run_form.html", _form_context(form), status=422)
    cleaned, wanted = form.cleaned_data, form.engine_request
    assert wanted is not None  # the form is valid
    inputs: dict[str, Any] = {
        "scenario": form.chosen.name,
        "bodies": cleaned.get("bodies"),
        "steps": cleaned["steps"],
        "dt_tu": cleaned["dt_tu"],
        "seed": cleaned.get("seed") or 0,
        "integrator": wanted.integrator,
        "force": wanted.force,
        "accuracy": wanted.accuracy,
        "softening_tu": wanted.softening,
        "collisions": wanted.collisions,
        # Of each body its own: those of the file.
        "radius_tu": None if isinstance(wanted.radius, tuple) else wanted.radius,
        "restitution": wanted.restitution,
        "boundary": wanted.boundary,
        "box_tu": wanted.box,
        "workers": cleaned["workers"],
        "bodies_file_id": form.file and form.file.pk,
        "requested_at": timezone.now(),
    }
    if form.fault is None:
        return redirect(services.request_run(acting_user=_person(request), **inputs))
    asked = services.ask_for_fault(
        membership=_member(request), fault=form.fault, reason=cleaned["fault_reason"], **inputs
    )
    return _asked(request, asked)


def _asked(request: HttpRequest, asked: ApprovalRequest) -> HttpResponse:
    messages.info(request, "Asked. The run starts when somebody else has approved it.")
    return redirect(asked)


def _form(request: HttpRequest) -> forms.RunRequest:
    values = request.POST if request.method == "POST" else request.GET
    may_inject = has_permission(_member(request), "simulation.inject_fault")
    kind = forms.RunRequestWithFault if may_inject else forms.RunRequest
    bound = values if request.method == "POST" or "steps" in values else None
    if not values.get("bodies_file"):
        return kind(bound, scenario=forms.find_chosen(values.get("scenario")))
    file = selectors.get_bodies_file(values["bodies_file"])
    softening = forms.softening_of(values.get("softening", ""))
    return kind(bound, scenario=services.scenario_of_file(file, softening), file=file)


def _form_context(form: forms.RunRequest) -> dict[str, Any]:
    return {
        "form": form,
        "chosen": form.chosen,
        "unit_of_time": length_of_time(form.chosen.time_s),
        "unit_of_length": f"{sci(form.chosen.length_m)} m",
        **_estimate_context(form),
    }


def _estimate_context(form: forms.RunRequest) -> dict[str, Any]:
    active = selectors.count_active()
    context: dict[str, Any] = {"active": active, "active_max": get_runs_active_max()}
    if form.is_bound:
        form.is_valid()
        wanted = form.engine_request
    else:
        wanted = engine.check_request(form.chosen)
    if wanted is None:
        return context
    if settings.AII_PROCESS == "web" and not is_measured(wanted):
        # Nobody waits for the machine to be timed: the page asks again.
        return {**context, "pending": True}
    workers = form.cleaned_data.get("workers") if form.is_bound else None
    cost = estimate_cost(wanted, workers)
    return {
        **context,
        "cost": cost,
        "processes": processes_of(wanted, workers),
        "wanted": wanted,
        "force": describe_force(wanted),
        "is_exact": wanted.accuracy is None,
        "interactions": wanted.bodies * (wanted.bodies - 1) * wanted.steps * wanted.evaluations,
        "body_steps": wanted.bodies * wanted.steps,
        "span": length_of_time(wanted.steps * wanted.dt_tu * form.chosen.time_s),
        "too_long": cost.total_s > services.ESTIMATE_S_MAX,
        "estimate_max_s": services.ESTIMATE_S_MAX,
        "step_too_long": cost.step_s > services.STEP_S_MAX,
        "step_max_s": services.STEP_S_MAX,
    }


@require_GET
@require_permission("simulation.request_run")
def estimate(request: HttpRequest) -> HttpResponse:
    """Show what the run in the form would cost, and how much of the quota is used."""
    return render(request, "simulation/estimate.html", _estimate_context(_form(request)))


@require_GET
@require_permission("simulation.view")
@csp_update({"style-src": STYLE_HASHES})  # type: ignore[arg-type]
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Show one run: the answer, its way, its laws, and a tab of plots, data or provenance."""
    found = selectors.get_run(run_id)
    tab = _one_of(request.GET.get("tab"), list(TABS)) or TABS[0]
    series = selectors.find_series(found) if tab in ("plots", "data") else None
    quantity = _one_of(request.GET.get("quantity"), list(series or {})) or "energy"
    context = {
        **_progress_context(found),
        "scenario": found.engine_request.definition,
        "integrator": title_of_integrator(found.integrator),
        "force": describe_force(found.engine_request),
        "space": describe_space(found.engine_request),
        "own_radii": isinstance(found.radius_tu, list),
        "softening_tu": found.engine_request.softening_tu,
        "laws": selectors.list_laws(found),
        "proof": describe_proof_of(found),
        "has_state": hasattr(found, "result"),
        "fault": describe_fault(found.fault) if found.fault else "",
        "approved_by": selectors.find_approver(found),
        "may_run_again": not found.is_active and has_permission(_member(request), _again(found)),
        "tab": tab,
        **(_bodies_context(found) if tab == "bodies" else {}),
        "plotly_version": version(),
        "series": series,
        "quantity": quantity,
        "rows": _rows(series, quantity) if tab == "data" else [],
        "span": length_of_time(found.steps * found.dt_tu * _time_s(found)),
    }
    return render(request, "simulation/run.html", context)


def _bodies_context(found: Run) -> dict[str, Any]:
    try:
        frame = frames.decode(selectors.get_frame(found))
    except selectors.NoFrame:
        return {"frame": None, "names": [], "checkpoint_s": services.CHECKPOINT_S}
    bodies = selectors.list_bodies(found, frame)
    return {
        "frame": frame,
        "bodies": bodies,
        "is_sampled": len(frame.positions) < frame.bodies,
        # Few enough to be written beside their points.
        "names": [body.name for body in bodies] if len(frame.positions) <= NAMED_MAX else [],
        "checkpoint_s": services.CHECKPOINT_S,
    }


def _time_s(found: Run) -> float:
    return found.engine_request.definition.time_s


def _rows(series: dict[str, dict[str, Any]] | None, quantity: str) -> list[tuple[Any, ...]]:
    if not series:
        return []
    one = series[quantity]
    return list(zip(one["step"], one["time_s"], one["error"], one["limit"], strict=True))


def _progress_context(found: Run) -> dict[str, Any]:
    return {
        "run": found,
        "sentence": describe_run(found),
        "phases": selectors.list_phases(found),
    }


@rate_class("live")
@require_GET
@require_permission("simulation.view")
def run_progress(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Show the phases alone, for a page that asks again; it loads the whole page once the run has
    ended.
    """
    found = selectors.get_run(run_id)
    response = render(request, "simulation/progress.html", _progress_context(found))
    if not found.is_active:
        response["HX-Refresh"] = "true"
    return response


@require_POST
@require_permission("simulation.cancel_run")
def cancel_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Ask a run to stop."""
    found = services.cancel_run(
        acting_user=_person(request), run_id=run_id, cancelled_at=timezone.now()
    )
    messages.info(request, f"Run {found.short_id} stops. What was verified so far is kept.")
    return redirect(found)


@require_POST
@require_permission("simulation.request_run")
def rerun_run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Ask for the same run again; one with a fault waits for somebody else once more."""
    old, now = selectors.get_run(run_id), timezone.now()
    if old.fault:
        member = _member(request)
        return _asked(
            request, services.ask_again(membership=member, run_id=run_id, requested_at=now)
        )
    return redirect(
        services.rerun_run(acting_user=_person(request), run_id=run_id, requested_at=now)
    )


def _again(old: Run) -> str:
    return "simulation.inject_fault" if old.fault else "simulation.request_run"


@require_GET
@require_permission("simulation.view")
def quotas(request: HttpRequest) -> HttpResponse:
    """Show how many runs are possible at once, and how many there are."""
    return _quotas_page(request, forms.QuotaRequest())


def _quotas_page(request: HttpRequest, form: forms.QuotaRequest, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "active": selectors.count_active(),
        "active_max": get_runs_active_max(),
        "granted": selectors.list_quotas(),
        "default": services.RUNS_ACTIVE_MAX,
    }
    return render(request, "simulation/quotas.html", context, status=status)


@require_POST
@require_permission("simulation.request_quota")
def request_quota(request: HttpRequest) -> HttpResponse:
    """Ask for another limit."""
    form = forms.QuotaRequest(request.POST)
    if not form.is_valid():
        return _quotas_page(request, form, status=422)
    try:
        asked = services.ask_for_quota(
            membership=_member(request),
            active_max=form.cleaned_data["active_max"],
            reason=form.cleaned_data["reason"],
            requested_at=timezone.now(),
        )
    except services.QuotaOutOfRange as refusal:
        form.add_error("active_max", str(refusal))
        return _quotas_page(request, form, status=422)
    messages.info(request, "Asked. The limit changes when somebody else has approved it.")
    return redirect(asked)


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _member(request: HttpRequest) -> Membership:
    membership = request.membership  # type: ignore[attr-defined]
    assert isinstance(membership, Membership)
    return membership
