"""The pages of members and roles, and the door for who is invited."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.mail import send_mail
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tenants.errors import Conflict, Invalid
from tenants.members import forms, joining, selectors, services
from tenants.models import Invitation, Membership
from tenants.permissions import CONFLICTS, PERMISSIONS, ROLES, has_permission, require_permission

logger = logging.getLogger(__name__)


@require_GET
@require_permission("tenants.view_members")
def members(request: HttpRequest) -> HttpResponse:
    """Show who belongs here, as what, and who is invited."""
    return _members_page(request, forms.Invite())


def _members_page(
    request: HttpRequest, form: forms.Invite, status: int = 200, **more: Any
) -> HttpResponse:
    tenant = _member(request).tenant
    context = {
        "members": selectors.list_members(tenant),
        "invitations": selectors.list_invitations(tenant, timezone.now()),
        "form": form,
        **more,
    }
    return render(request, "tenants/members.html", context, status=status)


@require_POST
@require_permission("tenants.manage_members")
def invite(request: HttpRequest) -> HttpResponse:
    """Invite a person: by mail, or by a link that is shown this once."""
    form = forms.Invite(request.POST)
    if not form.is_valid():
        return _members_page(request, form, status=422)
    try:
        invitation, code = services.invite(
            membership=_member(request),
            email=form.cleaned_data["email"],
            role=form.cleaned_data["role"],
            invited_at=timezone.now(),
        )
    except (services.AlreadyMember, Invalid) as refusal:
        form.add_error("email", str(refusal))
        return _members_page(request, form, status=422)
    # After the #, which no server sees and no log keeps.
    link = request.build_absolute_uri(f"{reverse('tenants:join')}#{code}")
    if settings.AII_SENDS_MAIL and _send(invitation, link):
        messages.success(request, f"{invitation.email} gets a mail with a link, good for 7 days.")
        return redirect("tenants:members")
    return _members_page(request, forms.Invite(), link=link, invited=invitation)


def _send(invitation: Invitation, link: str) -> bool:
    """Send the link; tell whether the mail server took it."""
    tenant = invitation.tenant.name
    try:
        send_mail(
            f"You are invited to {tenant}",
            f"{invitation.invited_by_email} invites you to {tenant} as "
            f"{invitation.get_role_display().lower()}.\n\n"
            f"Join here within 7 days, once:\n{link}\n\n"
            "If you do not expect this, do nothing.\n",
            None,
            [invitation.email],
        )
    except OSError as problem:
        logger.warning("an invitation could not be mailed: %s", type(problem).__name__)
        return False
    return True


@require_POST
@require_permission("tenants.manage_members")
def withdraw_invitation(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    """Make an invitation's link worthless."""
    done = services.withdraw_invitation(
        membership=_member(request), invitation_id=invitation_id, withdrawn_at=timezone.now()
    )
    messages.info(request, f"The invitation of {done.email} is withdrawn.")
    return redirect("tenants:members")


@require_GET
@require_permission("tenants.view_members")
def member(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Show one member; with ``?role=`` what another role would mean."""
    shown = selectors.get_member(_member(request).tenant, user_id)
    wanted = request.GET.get("role")
    form = forms.ChangeRole({"role": wanted, "seen_role": shown.role} if wanted else None)
    return _member_page(request, shown, form)


def _member_page(
    request: HttpRequest,
    shown: Membership,
    form: forms.ChangeRole,
    status: int = 200,
    refusal: str = "",
) -> HttpResponse:
    acting = _member(request)
    form.initial = {"role": shown.role, "seen_role": shown.role}
    wanted = form.cleaned_data["role"] if form.is_bound and form.is_valid() else shown.role
    gained, lost = selectors.compare_roles(shown.role, wanted)
    context = {
        "shown": shown,
        "form": form,
        "wanted": wanted,
        "wanted_name": Membership.Role(wanted).label,
        "gained": gained,
        "lost": lost,
        "may_manage": has_permission(acting, services.MANAGE, shown),
        "is_oneself": shown.user_id == acting.user_id,
        "refusal": refusal,
    }
    return render(request, "tenants/member.html", context, status=status)


@require_POST
@require_permission("tenants.manage_members")
def change_role(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Give a member another role."""
    shown = selectors.get_member(_member(request).tenant, user_id)
    form = forms.ChangeRole(request.POST)
    if not form.is_valid():
        return _member_page(request, shown, form, status=422)
    try:
        done = services.change_role(
            membership=_member(request),
            user_id=user_id,
            role=form.cleaned_data["role"],
            seen_role=form.cleaned_data["seen_role"],
            changed_at=timezone.now(),
        )
    except Conflict as refusal:
        return _member_page(request, shown, form, status=409, refusal=str(refusal))
    messages.success(request, f"{done.user.email} is {done.get_role_display().lower()} now.")
    return redirect("tenants:member", user_id=user_id)


@require_POST
@require_permission("tenants.manage_members")
def remove(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Take a member's access."""
    shown = selectors.get_member(_member(request).tenant, user_id)
    try:
        services.remove(
            membership=_member(request),
            user_id=user_id,
            confirmation=request.POST.get("confirmation", ""),
            removed_at=timezone.now(),
        )
    except (Conflict, services.NotConfirmed) as refusal:
        return _member_page(
            request, shown, forms.ChangeRole(), status=refusal.status, refusal=str(refusal)
        )
    messages.info(request, f"{shown.user.email} has no access any more.")
    return redirect("tenants:members")


@require_GET
@require_permission("tenants.view_members")
def roles(request: HttpRequest) -> HttpResponse:
    """Show the matrix of roles and permissions."""
    names = [role.name for role in ROLES]
    context = {
        "roles": [(Membership.Role(role.name).label, role) for role in ROLES],
        "rows": [(each, [name in each.roles for name in names]) for each in PERMISSIONS],
        "sentences": {each.name: each.sentence for each in PERMISSIONS},
        "conflicts": [
            (_sentence(each.first), _sentence(each.second), each.why) for each in CONFLICTS
        ],
        "own": names.index(_member(request).role),
    }
    return render(request, "tenants/roles.html", context)


def _sentence(name: str) -> str:
    return next(each.sentence for each in PERMISSIONS if each.name == name)


@sensitive_post_parameters()
@login_not_required
@require_http_methods(["GET", "POST"])
def join(request: HttpRequest) -> HttpResponse:
    """Take an invitation up; then the person signs in as everybody does."""
    form = forms.Join(request.POST if request.method == "POST" else None)
    if request.method == "GET":
        return render(request, "tenants/join.html", {"form": form})
    if form.is_valid():
        try:
            person = joining.join(
                tenant=request.tenant,  # type: ignore[attr-defined]
                joined_at=timezone.now(),
                **form.cleaned_data,
            )
        except joining.InvitationNotGood as refusal:
            form.add_error("code", str(refusal))
        except joining.PasswordRefused as refusal:
            form.add_error("password", str(refusal))
        else:
            messages.success(request, f"Welcome. Sign in as {person.email}.")
            return redirect("account_login")
    return render(request, "tenants/join.html", {"form": form}, status=422)


def _member(request: HttpRequest) -> Membership:
    membership = request.membership  # type: ignore[attr-defined]
    assert isinstance(membership, Membership)
    return membership
