"""Scenarios as files, out and in."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods

from business import roi
from business.scenarios import importing, services, tables, workbook
from business.scenarios.form import ScenarioForm
from business.scenarios.models import ScenarioVersion
from business.scenarios.views.common import person, version_asked_for
from business.scenarios.views.editing import show_form
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@rate_class("export")
@require_GET
@require_permission("roi.view")
def scenario_json(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Send the document of a version, as ``manage.py roi`` reads it."""
    version = version_asked_for(request, scenario_id)
    response = JsonResponse(version.document, json_dumps_params={"indent": 2})
    return _sent(request, version, response, "json")


@rate_class("export")
@require_GET
@require_permission("roi.view")
def scenario_csv(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Send the inputs of a version as a table."""
    version = version_asked_for(request, scenario_id)
    content = tables.to_csv(version.document)
    response = HttpResponse(content, content_type="text/csv; charset=utf-8")
    return _sent(request, version, response, "csv")


@rate_class("export")
@require_GET
@require_permission("roi.view")
def scenario_xlsx(request: HttpRequest, scenario_id: UUID) -> HttpResponse:
    """Send a version as a workbook with formulas."""
    version = version_asked_for(request, scenario_id)
    response = HttpResponse(workbook.to_xlsx(version), content_type=_XLSX)
    return _sent(request, version, response, "xlsx")


def _sent(
    request: HttpRequest, version: ScenarioVersion, response: HttpResponse, form: str
) -> HttpResponse:
    services.record_download(
        acting_user=person(request), version=version, form=form, downloaded_at=timezone.now()
    )
    name = slugify(version.scenario.name)[:60] or "scenario"
    response["Content-Disposition"] = f'attachment; filename="{name}-v{version.number}.{form}"'
    return response


@require_http_methods(["GET", "POST"])
@require_permission("roi.edit")
def import_file(request: HttpRequest) -> HttpResponse:
    """Fill the form from a file, to be looked at and saved; nothing is saved here."""
    if request.method == "GET":
        return render(request, "scenarios/import.html", {"endings": importing.ENDINGS})
    file = request.FILES.get("file")
    try:
        if file is None:
            raise roi.BadInput("Choose a file.")
        document = importing.read_file(file.name or "", file)
    except roi.BadInput as refusal:
        context = {"problems": refusal.problems[:20], "endings": importing.ENDINGS}
        return render(request, "scenarios/import.html", context, status=422)
    form = ScenarioForm.of(document)
    return show_form(request, form, None, reason=f"Imported from {file.name}"[:200])
