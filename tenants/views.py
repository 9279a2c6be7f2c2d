"""The people of a tenant."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from tenants import selectors
from tenants.permissions import require_permission


@require_GET
@require_permission("tenants.view_members")
def list_members(request: HttpRequest) -> HttpResponse:
    """Show who belongs here, as what."""
    return render(
        request,
        "tenants/members.html",
        {"members": selectors.list_members(request.tenant)},  # type: ignore[attr-defined]
    )
