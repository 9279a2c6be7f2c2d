"""The form of a scenario: filling it in, from a benchmark, a version or a file; saving."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from business import roi
from business.scenarios import results, selectors, services
from business.scenarios.fields import lay_out
from business.scenarios.form import BLANK, FIELDS_MAX, ScenarioForm
from business.scenarios.models import ScenarioVersion
from business.scenarios.views.common import person, whole
from tenants.errors import DomainError
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class

# Of the benchmarks those with published figures; a blank form is our own.
STARTS = {key: industry for key, industry in roi.INDUSTRIES.items() if industry.facts}


@require_http_methods(["GET", "POST"])
@require_permission("roi.edit")
def new_scenario(request: HttpRequest) -> HttpResponse:
    """Show the form, filled from an industry's starting point if asked; take it."""
    if request.method == "POST":
        return _take(request, None)
    industry = STARTS.get(request.GET.get("industry", ""))
    document = {**industry.document, "industry": industry.key} if industry else BLANK
    return show_form(request, ScenarioForm.of(document), None, reason="First version")


@require_http_methods(["GET", "POST"])
@require_permission("roi.edit")
def edit_scenario(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Show a version in the form; take it as the next one."""
    version = selectors.get_version(scenario_id, whole(request.GET.get("version")))
    if request.method == "POST":
        return _take(request, version)
    return show_form(request, ScenarioForm.of(version.document), version)


def _take(request: HttpRequest, version: ScenarioVersion | None) -> HttpResponse:
    form = ScenarioForm(request.POST.dict())
    act, reason = request.POST.get("act", "save"), request.POST.get("reason", "")
    if act != "save":
        changed = form.act(act)
        if not changed:
            form.check()
        return show_form(request, form, version, reason=reason, changed=changed)
    document = form.check()
    if document is None:
        return show_form(request, form, version, reason=reason, status=422)
    try:
        saved = services.save_scenario(
            acting_user=person(request),
            document=document,
            reason=reason,
            saved_at=timezone.now(),
            scenario_id=version.scenario_id if version else None,
            seen_number=whole(request.POST.get("seen")),
        )
    except DomainError as refusal:
        return show_form(
            request, form, version, reason=reason, refusal=refusal, status=refusal.status
        )
    return redirect(saved.scenario)


def show_form(
    request: HttpRequest,
    form: ScenarioForm,
    version: ScenarioVersion | None,
    *,
    reason: str = "",
    changed: str = "",
    refusal: DomainError | None = None,
    status: int = 200,
) -> HttpResponse:
    """Return the form's page."""
    industry = roi.INDUSTRIES.get(form.values.get("industry", ""))
    seen = whole(request.POST.get("seen")) or (version.number if version else "")
    context = {
        "page": lay_out(form),
        "version": version,
        "seen": seen,
        "reason": reason,
        "reason_max": services.REASON_MAX,
        "changed": changed,
        "refusal": refusal,
        "industries": STARTS.values(),
        "industry": industry,
        "is_too_large": len(form.values) > FIELDS_MAX,
        **_strip(form),
    }
    return render(request, "scenarios/form.html", context, status=status)


@rate_class("live")
@require_POST
@require_permission("roi.edit")
def estimate(request: HttpRequest) -> HttpResponse:
    """Show what the form gives so far; nothing is saved."""
    form = ScenarioForm(request.POST.dict())
    return render(request, "scenarios/strip.html", _strip(form))


def _strip(form: ScenarioForm) -> dict[str, Any]:
    copy = ScenarioForm(form.values)
    document = copy.check()
    if document is None:
        return {"missing": len(copy.problems), "preview": None}
    try:
        return {"missing": 0, "preview": results.preview(document)}
    except roi.BadInput as refusal:
        return {"missing": 1, "preview": None, "sentence": str(refusal)}
