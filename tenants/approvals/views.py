"""The pages of approvals: what waits, one request, and the decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from tenants.approvals import forms, selectors, services
from tenants.approvals.kinds import KINDS
from tenants.approvals.models import ApprovalRequest
from tenants.models import Membership
from tenants.permissions import has_permission, require_permission

ROWS_ON_A_PAGE = 50


@require_GET
@require_permission("approvals.view")
def requests(request: HttpRequest) -> HttpResponse:
    """List what waits, or what is decided; the address holds which."""
    now = timezone.now()
    tab = "decided" if request.GET.get("tab") == "decided" else "waiting"
    rows = selectors.list_open(now) if tab == "waiting" else selectors.list_closed(now)
    page = Paginator(rows, ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    mine = set(selectors.list_waiting_for(_member(request), now).values_list("pk", flat=True))
    context = {
        "tab": tab,
        "page": page,
        "rows": [(each, KINDS[each.kind].title, each.pk in mine, _state(each)) for each in page],
        "for_me": len(mine),
        "open_count": selectors.list_open(now).count(),
    }
    return render(request, "approvals/requests.html", context)


@require_GET
@require_permission("approvals.view")
def request_page(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Show one request: what would be done, why, and what became of it."""
    return _page(request, request_id, forms.Decision())


def _page(
    request: HttpRequest, request_id: UUID, form: forms.Decision, status: int = 200
) -> HttpResponse:
    shown = selectors.get_request(request_id)
    member, kind = _member(request), KINDS[shown.kind]
    is_open = shown.is_open(timezone.now())
    form.initial["seen_sha256"] = shown.parameters_sha256
    context: dict[str, Any] = {
        "shown": shown,
        "kind": kind,
        "terms": kind.describe(shown.parameters),
        "state": _state(shown),
        "form": form,
        "may_decide": is_open and has_permission(member, kind.approve, shown),
        "may_withdraw": is_open
        and has_permission(member, "approvals.withdraw")
        and shown.requested_by_id == member.user_id,
        "is_mine": shown.requested_by_id == member.user_id,
        "is_open": is_open,
    }
    return render(request, "approvals/request.html", context, status=status)


def _state(shown: ApprovalRequest) -> str:
    if shown.state == ApprovalRequest.State.WAITING and not shown.is_open(timezone.now()):
        return ApprovalRequest.State.EXPIRED
    return shown.state


@require_POST
@require_permission("approvals.decide")
def approve(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Approve, and lead to what was done."""
    form = forms.Decision(request.POST)
    if not form.is_valid():
        return _page(request, request_id, form, status=422)
    done = services.approve(
        membership=_member(request),
        request_id=request_id,
        seen_sha256=form.cleaned_data["seen_sha256"],
        approved_at=timezone.now(),
        note=form.cleaned_data["note"],
    )
    messages.success(request, f"Approved and done: {done.outcome_label}.")
    return redirect(done)


@require_POST
@require_permission("approvals.decide")
def decline(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Decline, with a note."""
    form = forms.Decision(request.POST)
    if not form.is_valid():
        return _page(request, request_id, form, status=422)
    try:
        done = services.decline(
            membership=_member(request),
            request_id=request_id,
            declined_at=timezone.now(),
            note=form.cleaned_data["note"],
        )
    except services.ReasonMissing as refusal:
        form.add_error("note", str(refusal))
        return _page(request, request_id, form, status=422)
    messages.info(request, "Declined. Nothing was done.")
    return redirect(done)


@require_POST
@require_permission("approvals.withdraw")
def withdraw(request: HttpRequest, request_id: UUID) -> HttpResponse:
    """Take one's own request back."""
    done = services.withdraw(
        membership=_member(request), request_id=request_id, withdrawn_at=timezone.now()
    )
    messages.info(request, "Withdrawn. Nothing was done.")
    return redirect(done)


def _member(request: HttpRequest) -> Membership:
    membership = request.membership  # type: ignore[attr-defined]
    assert isinstance(membership, Membership)
    return membership
