"""What people do with a scenario: copy, delete, share, simulate longer."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from business.scenarios import results, selectors, services, wording
from business.scenarios.models import LongSimulation
from business.scenarios.views.common import person, version_asked_for, whole
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class


@require_POST
@require_permission("roi.edit")
def duplicate_scenario(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Save a copy of a version as a scenario of its own."""
    copy = services.duplicate_version(
        acting_user=person(request),
        version=version_asked_for(request, scenario_id),
        duplicated_at=timezone.now(),
    )
    messages.info(request, "This is the copy. Its versions start anew.")
    return redirect(copy.scenario)


@require_POST
@require_permission("roi.edit")
def delete_scenario(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Delete a scenario whose name was typed."""
    name = services.delete_scenario(
        acting_user=person(request),
        scenario_id=scenario_id,
        confirmation=request.POST.get("confirmation", ""),
        deleted_at=timezone.now(),
    )
    messages.info(request, f"{name} was deleted with its versions and links.")
    return redirect("scenarios:scenarios")


@require_POST
@require_permission("roi.edit")
def share_scenario(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Make a link to a version."""
    version = version_asked_for(request, scenario_id)
    services.share_version(
        acting_user=person(request),
        version=version,
        days=whole(request.POST.get("days")) or 0,
        shared_at=timezone.now(),
    )
    messages.info(request, "The link is made. Members of this tenant can open it.")
    return redirect(version.get_absolute_url() + "#links")


@require_POST
@require_permission("roi.edit")
def revoke_shared(request: HttpRequest, link_id: UUID) -> HttpResponse:
    """End a link."""
    link = services.revoke_link(
        acting_user=person(request), link_id=link_id, revoked_at=timezone.now()
    )
    messages.info(request, "The link is revoked.")
    return redirect(link.version.get_absolute_url() + "#links")


@require_POST
@require_permission("roi.edit")
def simulate_longer(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Ask for more trials than a page waits for."""
    text = request.POST.get("trials", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= 9
    asked = services.request_simulation(
        acting_user=person(request),
        version=version_asked_for(request, scenario_id),
        trials=int(text) if is_number else 0,
        seed=results.SEED,
        requested_at=timezone.now(),
    )
    return redirect("scenarios:simulation", asked.pk)


@rate_class("live")
@require_GET
@require_permission("roi.view")
def simulation(request: HttpRequest, simulation_id: UUID) -> HttpResponse:
    """Show how far a long simulation is, and what it gave."""
    asked = selectors.get_simulation(simulation_id)
    is_waiting = asked.state == LongSimulation.State.WAITING
    context = {
        "asked": asked,
        "version": asked.version,
        "is_waiting": is_waiting,
        "progress": services.find_progress(simulation_id) if is_waiting else None,
        "found": asked.result,
        "sentence": wording.describe_simulation(asked),
        "back": reverse("scenarios:scenario", args=[asked.version.scenario_id]),
    }
    return render(request, "scenarios/simulation.html", context)
