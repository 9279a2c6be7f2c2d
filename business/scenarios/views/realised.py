"""The page of what a change saved, entry by entry, beside its forecast."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from business.scenarios import selectors, services, wording
from business.scenarios.amounts import to_text
from business.scenarios.forms import SavingForm
from business.scenarios.models import RealisedSaving
from business.scenarios.views.common import person, version_asked_for
from tenants.permissions import require_permission


@require_GET
@require_permission("roi.view")
def realised(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Show the entries of a scenario, and the form; ``correct`` names one to correct."""
    corrected = _corrected(scenario_id, request.GET.get("correct"))
    return _page(request, scenario_id, SavingForm(initial=_initial(corrected)), corrected)


@require_POST
@require_permission("roi.edit")
def record_realised(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Record an entry against a version, the last one unless named, or correct one."""
    version = version_asked_for(request, scenario_id)
    form = SavingForm(request.POST)
    if not form.is_valid():
        corrected = _corrected(scenario_id, request.POST.get("corrects"))
        return _page(request, scenario_id, form, corrected, status=422)
    corrects_id = form.cleaned_data["corrects"]
    try:
        made = services.record_saving(
            acting_user=person(request),
            version=version,
            saving=form.to_input(),
            corrects_id=corrects_id,
            recorded_at=timezone.now(),
        )
    except (services.MonthsOutside, services.MonthsTaken) as refusal:
        form.add_error("last_month", str(refusal))
        corrected = selectors.get_saving(scenario_id, corrects_id) if corrects_id else None
        return _page(request, scenario_id, form, corrected, status=422)
    messages.success(request, f"Recorded for {made.months}.")
    return redirect("scenarios:realised", scenario_id)


def _page(
    request: HttpRequest,
    scenario_id: UUID,
    form: SavingForm,
    corrected: RealisedSaving | None,
    status: int = 200,
) -> HttpResponse:
    version = version_asked_for(request, scenario_id)
    entries = list(selectors.list_savings(scenario_id))
    context = {
        "scenario": version.scenario,
        "version": version,
        "form": form,
        "corrected": corrected,
        "sentence": wording.describe_realised(selectors.find_realised(scenario_id)),
        "rows": [(each, selectors.forecast_of(each)) for each in entries],
    }
    return render(request, "scenarios/realised.html", context, status=status)


def _corrected(scenario_id: UUID, text: str | None) -> RealisedSaving | None:
    try:
        return selectors.get_saving(scenario_id, UUID(text)) if text else None
    except ValueError:
        return None


def _initial(corrected: RealisedSaving | None) -> dict[str, Any]:
    if corrected is None:
        return {}
    return {
        "corrects": corrected.pk,
        "first_month": corrected.first_month,
        "last_month": corrected.last_month,
        "amount": to_text(corrected.amount),
        "source": corrected.source,
    }
