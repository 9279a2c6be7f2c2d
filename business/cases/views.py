"""The pages of business cases. Each view parses, calls one service or selector, and renders."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from business.cases import forms, pdf_file, selectors, services, word_file
from business.cases.building import SECTIONS
from business.cases.gathering import words_of
from business.cases.models import CaseVersion
from business.scenarios import selectors as scenarios
from business.scenarios.views.common import person, whole
from tenants.errors import DomainError
from tenants.models import Tenant
from tenants.permissions import require_permission
from tenants.rate_limits import rate_class

ON_A_PAGE = 25
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


@require_GET
@require_permission("cases.view")
def cases(request: HttpRequest) -> HttpResponse:
    """List the cases; the address holds search and page."""
    search = request.GET.get("search", "").replace("\x00", "")[:100]
    found = selectors.list_latest(search)
    page = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "search": search,
        "total": page.paginator.count,
        "has_scenarios": scenarios.list_latest().exists(),
    }
    return render(request, "cases/list.html", context)


@require_http_methods(["GET", "POST"])
@require_permission("cases.edit")
def new_case(request: HttpRequest) -> HttpResponse:
    """Start a case from a scenario, and make its first version."""
    latest = list(scenarios.list_latest(sort="name").only("scenario__name", "scenario_id"))
    choices = [(str(each.scenario_id), each.scenario.name) for each in latest]
    form = forms.NewCase(_posted(request), scenarios=choices, initial=_first_guess(request))
    if request.method == "GET" or not form.is_valid():
        return _new_page(request, form, bool(choices))
    try:
        version = scenarios.get_version(
            UUID(form.cleaned_data["scenario"]), form.cleaned_data["version"]
        )
        made = services.start_case(
            acting_user=person(request),
            tenant=_tenant(request),
            version=version,
            case=form.to_input(),
            started_at=timezone.now(),
        )
    except DomainError as refusal:
        form.add_error(None, str(refusal))
        return _new_page(request, form, bool(choices), refusal.status)
    messages.success(
        request, "Version 1 is made. Judge the proposed risks and add notes where you have any."
    )
    return redirect(made.case)


def _first_guess(request: HttpRequest) -> dict[str, Any]:
    try:
        scenario_id = UUID(request.GET.get("scenario", ""))
        version = scenarios.get_version(scenario_id, whole(request.GET.get("version")))
    except (ValueError, DomainError):
        return {}
    return {
        "scenario": str(version.scenario_id),
        "version": version.number,
        "title": f"Business case: {version.scenario.name}"[: services.TITLE_MAX],
        "industry": version.document.get("industry", ""),
    }


def _new_page(
    request: HttpRequest, form: forms.NewCase, has_scenarios: bool, status: int = 422
) -> HttpResponse:
    context = {"form": form, "has_scenarios": has_scenarios}
    return render(
        request, "cases/new.html", context, status=status if request.method == "POST" else 200
    )


@require_GET
@require_permission("cases.view")
def case(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Show a version, and what a document made now would say otherwise."""
    version = _version_asked_for(request, case_id)
    found = version.case
    drift = None
    if version.is_latest:
        drift = selectors.find_drift(version, _tenant(request), timezone.now())
    context = {
        "case": found,
        "version": version,
        "versions": selectors.list_versions(found)[:50],
        "document": selectors.open_document(version),
        "is_intact": selectors.is_intact(version),
        "drift": drift,
        "numbers": list(found.scenario.versions.values_list("number", flat=True)[:50])
        if found.scenario
        else [],
    }
    return render(request, "cases/case.html", context)


@require_POST
@require_permission("cases.edit")
def make_version(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Make the document anew."""
    made = services.make_version(
        acting_user=person(request),
        tenant=_tenant(request),
        case_id=case_id,
        scenario_number=whole(request.POST.get("scenario_version")),
        made_at=timezone.now(),
    )
    messages.success(request, f"Version {made.number} is made. What changed is marked.")
    return redirect(made.case)


@require_http_methods(["GET", "POST"])
@require_permission("cases.edit")
def edit_case(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Change the heads and the notes."""
    found = selectors.get_case(case_id)
    words = words_of(found)
    initial = {
        "title": found.title,
        "industry": found.industry,
        **{name: words.get(name, "") for name in ("author", "prepared_for")},
        **{f"note_{key}": words.get(f"note.{key}", "") for key in SECTIONS},
    }
    form = forms.CaseForm(_posted(request), initial=initial)
    if request.method == "GET" or not form.is_valid():
        return _page(request, "cases/edit.html", {"form": form, "case": found})
    services.change_case(
        acting_user=person(request),
        case_id=case_id,
        case=form.to_input(),
        changed_at=timezone.now(),
    )
    messages.success(request, "Saved. It enters the next version.")
    return redirect(found)


@require_http_methods(["GET", "POST"])
@require_permission("cases.edit")
def edit_risks(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Change the register of risks."""
    found = selectors.get_case(case_id)
    names = ("title", "likelihood", "impact", "mitigation", "owner")
    rows = [{name: getattr(each, name) for name in names} for each in found.risks.all()]
    posted = _posted(request)
    formset = forms.RiskRows(posted, initial=None if posted else rows, prefix="risk")
    if request.method == "GET" or not formset.is_valid():
        return _page(request, "cases/risks.html", {"formset": formset, "case": found})
    kept = [
        form.to_input()
        for form in formset.forms
        if form.cleaned_data.get("title") and not form.cleaned_data.get("DELETE")
    ]
    services.change_risks(
        acting_user=person(request), case_id=case_id, risks=kept, changed_at=timezone.now()
    )
    messages.success(request, "Saved. It enters the next version.")
    if "more" in request.POST:
        return redirect("cases:risks", case_id)
    return redirect(found)


@require_POST
@require_permission("cases.edit")
def delete_case(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Delete a case whose title was typed."""
    title = services.delete_case(
        acting_user=person(request),
        case_id=case_id,
        confirmation=request.POST.get("confirmation", ""),
        deleted_at=timezone.now(),
    )
    messages.info(request, f"{title} was deleted with its versions.")
    return redirect("cases:cases")


@rate_class("export")
@require_GET
@require_permission("cases.view")
def pdf(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Send a version as PDF."""
    version = _version_asked_for(request, case_id)
    content = pdf_file.to_pdf(selectors.open_document(version), version.sha256)
    return _sent(request, version, content, "application/pdf", "pdf")


@rate_class("export")
@require_GET
@require_permission("cases.view")
def docx(request: HttpRequest, case_id: UUID) -> HttpResponse:
    """Send a version as a Word document."""
    version = _version_asked_for(request, case_id)
    content = word_file.to_docx(selectors.open_document(version), version.sha256)
    return _sent(request, version, content, _DOCX, "docx")


def _sent(
    request: HttpRequest, version: CaseVersion, content: bytes, content_type: str, form: str
) -> HttpResponse:
    services.record_export(
        acting_user=person(request), version=version, form=form, exported_at=timezone.now()
    )
    response = HttpResponse(content, content_type=content_type)
    name = slugify(version.document["title"])[:60] or "business-case"
    response["Content-Disposition"] = f'attachment; filename="{name}-v{version.number}.{form}"'
    return response


def _version_asked_for(request: HttpRequest, case_id: UUID) -> CaseVersion:
    return selectors.get_version(case_id, whole(request.GET.get("version")))


def _page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    return render(request, template, context, status=422 if request.method == "POST" else 200)


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _tenant(request: HttpRequest) -> Tenant:
    tenant = request.tenant  # type: ignore[attr-defined]
    assert isinstance(tenant, Tenant)
    return tenant
