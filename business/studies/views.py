"""The pages of the case studies. They show shipped results and write nothing."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from business.studies import report, selectors
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class


@require_GET
@require_permission("studies.view")
def studies(request: HttpRequest) -> HttpResponse:
    """List the studies, each with its answer."""
    return render(request, "studies/list.html", {"studies": selectors.list_studies()})


@require_GET
@require_permission("studies.view")
def study(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one study: the answer, what was measured and promised, and where it breaks."""
    return render(request, "studies/study.html", {"study": selectors.get_study(slug)})


@rate_class("export")
@require_GET
@require_permission("studies.view")
def pdf(request: HttpRequest, slug: str) -> HttpResponse:
    """Send one study as a PDF."""
    content = report.to_pdf(selectors.get_study(slug))
    response = HttpResponse(content, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="aii-case-study-{slug}.pdf"'
    return response


@rate_class("export")
@require_GET
@require_permission("studies.view")
def result(request: HttpRequest, slug: str) -> HttpResponse:
    """Send the kept result that the page is made from."""
    response = JsonResponse(selectors.get_result(slug))
    response["Content-Disposition"] = f'attachment; filename="aii-case-study-{slug}.json"'
    return response
