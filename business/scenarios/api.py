"""The return of a change as JSON: compute a document, list and read what is saved.

For members, with their session (and its CSRF token for the one POST, which writes nothing).
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET, require_POST

from business import roi
from business.roi.reading import parse
from business.scenarios import results, selectors
from business.scenarios.models import ScenarioVersion
from business.scenarios.views.common import version_asked_for
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class

ON_A_PAGE = 100


@rate_class("export")
@require_POST
@require_permission("roi.view")
def compute(request: HttpRequest) -> HttpResponse:
    """Answer with the results of the document in the body; nothing is saved."""
    if request.content_type != "application/json":
        return _problem(
            415,
            "Unsupported Media Type",
            "Send the document as application/json.",
            code="not_json",
        )
    try:
        return JsonResponse(results.compute(parse(request.body)))
    except roi.BadInput as refusal:
        problems = [
            {"field": problem.field, "detail": problem.sentence} for problem in refusal.problems
        ]
        return _problem(
            422,
            "Unprocessable Content",
            str(refusal),
            code="bad_scenario",
            problems=problems,
        )


@require_GET
@require_permission("roi.view")
def scenarios(request: HttpRequest) -> HttpResponse:
    """Answer with a page of the scenarios, the newest first."""
    page = Paginator(selectors.list_latest(), ON_A_PAGE).get_page(request.GET.get("page"))
    return JsonResponse(
        {
            "scenarios": [_summary(version) for version in page],
            "page": page.number,
            "pages": page.paginator.num_pages,
        }
    )


@require_GET
@require_permission("roi.view")
def scenario(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Answer with a version: its inputs and results."""
    version = version_asked_for(request, scenario_id)
    return JsonResponse(
        {**_summary(version), "document": version.document, "results": version.results}
    )


def _problem(status: int, title: str, detail: str, **more: Any) -> HttpResponse:
    return JsonResponse(
        {"type": "about:blank", "title": title, "status": status, "detail": detail, **more},
        status=status,
        content_type="application/problem+json",
    )


def _summary(version: ScenarioVersion) -> dict[str, Any]:
    return {
        "id": str(version.scenario_id),
        "name": version.scenario.name,
        "version": version.number,
        "saved_at": version.saved_at.isoformat(),
        "inputs_sha256": version.inputs_sha256,
        "engine_version": version.engine_version,
        "currency": version.results["currency"],
        "npv": version.results["npv"],
    }
