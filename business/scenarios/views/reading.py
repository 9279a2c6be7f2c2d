"""Pages that show scenarios: the list, results, history, comparison, a shared version."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from csp.decorators import csp_update
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from business import roi
from business.scenarios import charts, results, selectors, services, wording
from business.scenarios.models import ScenarioVersion
from business.scenarios.views.common import version_asked_for, whole
from simulation.plotly_script import STYLE_HASHES
from simulation.plotly_script import version as plotly_version
from tenants.permissions import require_permission

ON_A_PAGE = 25
COMPARED_MAX = 6


@require_GET
@require_permission("roi.view")
def scenarios(request: HttpRequest) -> HttpResponse:
    """List the scenarios; the address holds search, order and page."""
    search = request.GET.get("search", "").replace("\x00", "")[:100]
    sort = request.GET.get("sort", "")
    sort = sort if sort in selectors.SORTS else "newest"
    found = selectors.list_latest(search=search, sort=sort)
    page = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "search": search, "sort": sort, "total": page.paginator.count}
    return render(request, "scenarios/list.html", context)


@require_GET
@require_permission("roi.view")
@csp_update({"style-src": STYLE_HASHES})  # type: ignore[arg-type]
def scenario(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Show what a version gives."""
    version = version_asked_for(request, scenario_id)
    now = timezone.now()
    context = {
        **results_context(version),
        "links": selectors.list_links(scenario_id, now),
        "days": services.DAYS,
        "realised": wording.describe_realised(selectors.find_realised(scenario_id)),
        "simulations": selectors.list_simulations(version)[:5],
        "trials": results.TRIALS,
        "trials_max": roi.TRIALS_MAX,
    }
    return render(request, "scenarios/scenario.html", context)


@require_GET
@require_permission("roi.open_link")
@csp_update({"style-src": STYLE_HASHES})  # type: ignore[arg-type]
def shared(request: HttpRequest, link_id: UUID) -> HttpResponse:
    """Show the version of a link, to read."""
    link = selectors.get_shared(link_id, timezone.now())
    context = {**results_context(link.version), "link": link}
    return render(request, "scenarios/shared.html", context)


def results_context(version: ScenarioVersion) -> dict[str, Any]:
    """Return what the results of a version are shown from."""
    answer = version.results
    return {
        "version": version,
        "scenario": version.scenario,
        "answer": answer,
        "sentence": wording.describe_result(answer),
        "measures": wording.list_measures(answer),
        "thresholds": wording.list_thresholds(answer, version.document),
        "inputs": selectors.list_inputs(version.document),
        "charts": charts.series_of(version),
        "plotly_version": plotly_version(),
    }


@require_GET
@require_permission("roi.view")
def history(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """List the versions of a scenario, and what differs between two of them."""
    latest = selectors.get_version(scenario_id)
    new = selectors.get_version(scenario_id, whole(request.GET.get("to")))
    wanted = whole(request.GET.get("from")) or max(1, new.number - 1)
    old = selectors.get_version(scenario_id, wanted)
    context = {
        "scenario": latest.scenario,
        "versions": selectors.list_versions(scenario_id)[:200],
        "old": old,
        "new": new,
        "changes": selectors.list_changes(old.document, new.document),
    }
    return render(request, "scenarios/history.html", context)


@require_GET
@require_permission("roi.view")
def compare(request: HttpRequest) -> HttpResponse:
    """Show scenarios side by side."""
    chosen = []
    for text in dict.fromkeys(request.GET.getlist("with")):
        try:
            chosen.append(UUID(text))
        except ValueError:
            continue
    versions = selectors.list_chosen(chosen[:COMPARED_MAX])
    context: dict[str, Any] = {"versions": versions, "most": COMPARED_MAX}
    if len(versions) >= 2:
        try:
            context["rows"] = wording.list_compared(selectors.compare_versions(versions), versions)
        except roi.BadInput as refusal:
            context["refusal"] = str(refusal)
    return render(request, "scenarios/compare.html", context)
