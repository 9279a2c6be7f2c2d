"""The page of second roles: who has one until when, the exceptions, and a form for another."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from tenants.errors import Conflict, Invalid
from tenants.members.services import MemberUnknown
from tenants.models import Membership
from tenants.permissions import require_permission
from tenants.permissions.predicates import NotYours
from tenants.second_roles import forms, selectors, services

ROWS_ON_A_PAGE = 50


@require_GET
@require_permission("tenants.view_members")
def second_roles(request: HttpRequest) -> HttpResponse:
    """Show who has a second role, and what the history says."""
    return _page(request, forms.Grant(people=_people(request)))


def _page(request: HttpRequest, form: forms.Grant, status: int = 200) -> HttpResponse:
    now = timezone.now()
    page = Paginator(selectors.list_all(), ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": [(each, each.is_held(now)) for each in page],
        "breaches": selectors.list_breaches(_member(request).tenant_id, now),
        "form": form,
    }
    return render(request, "tenants/second_roles.html", context, status=status)


@require_POST
@require_permission("tenants.manage_members")
def grant(request: HttpRequest) -> HttpResponse:
    """Give a second role."""
    form = forms.Grant(request.POST, people=_people(request))
    if not form.is_valid():
        return _page(request, form, status=422)
    cleaned = form.cleaned_data
    try:
        given = services.grant(
            membership=_member(request),
            user_id=UUID(cleaned["person"]),
            role=cleaned["role"],
            reason=cleaned["reason"],
            expires_at=cleaned["until"],
            is_exception=cleaned["is_exception"],
            granted_at=timezone.now(),
        )
    except (Conflict, Invalid, NotYours, MemberUnknown) as refusal:
        form.add_error(None, str(refusal))
        return _page(request, form, status=refusal.status)
    messages.success(request, f"{given.user_email} is {given.get_role_display().lower()} as well.")
    return redirect("tenants:second_roles")


@require_POST
@require_permission("tenants.manage_members")
def end(request: HttpRequest, second_role_id: UUID) -> HttpResponse:
    """End a second role."""
    given = services.end(
        membership=_member(request), second_role_id=second_role_id, ended_at=timezone.now()
    )
    messages.info(request, f"{given.user_email} is {given.get_role_display().lower()} no longer.")
    return redirect("tenants:second_roles")


def _people(request: HttpRequest) -> list[tuple[str, str]]:
    own = _member(request)
    others = Membership.objects.filter(tenant_id=own.tenant_id).exclude(user=own.user_id)
    found = others.select_related("user").order_by("user__email")
    return [(str(each.user_id), f"{each.user.email}, {each.role.lower()}") for each in found]


def _member(request: HttpRequest) -> Membership:
    membership = request.membership  # type: ignore[attr-defined]
    assert isinstance(membership, Membership)
    return membership
