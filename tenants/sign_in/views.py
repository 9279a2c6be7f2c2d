"""One's own sessions, a member's sessions, and the tenant's rules of signing in."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tenants import lockout
from tenants.models import User
from tenants.permissions import require_permission
from tenants.sessions import services as sessions
from tenants.sign_in import forms, services


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


@require_GET
def own_sessions(request: HttpRequest) -> HttpResponse:
    """Show where one is signed in."""
    key = request.session.session_key
    return render(
        request,
        "tenants/sign_in/sessions.html",
        {"sessions": sessions.list_sessions(_person(request).pk, current_key=key)},
    )


@require_POST
def end_own_session(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """End one of one's own sessions."""
    person = _person(request)
    services.end_session(
        acting_user=person, user_id=person.pk, public_id=public_id, ended_at=timezone.now()
    )
    messages.success(request, "That session has ended.")
    return redirect("sign_in:sessions")


@require_POST
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """End all of one's sessions but this one."""
    services.end_other_sessions(
        acting_user=_person(request), request=request, ended_at=timezone.now()
    )
    messages.success(request, "Every other session has ended, on all tenants' addresses.")
    return redirect("sign_in:sessions")


@require_GET
@require_permission("tenants.manage_members")
def member_sessions(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """Show an owner where a member is signed in."""
    membership = services.get_member(request.tenant, user_id)  # type: ignore[attr-defined]
    context = {
        "member": membership.user,
        "sessions": sessions.list_sessions(membership.user_id),
        "locked": lockout.list_locked(membership.user.email),
    }
    return render(request, "tenants/sign_in/member.html", context)


@require_POST
@require_permission("tenants.manage_members")
def end_member_sessions(request: HttpRequest, user_id: UUID) -> HttpResponse:
    """End a member's sessions in this tenant."""
    member = services.end_sessions_of_member(
        acting_user=_person(request),
        tenant=request.tenant,  # type: ignore[attr-defined]
        user_id=user_id,
        ended_at=timezone.now(),
    )
    messages.success(request, f"{member.email} is signed out of this tenant everywhere.")
    return redirect("sign_in:member", user_id=user_id)


@require_http_methods(["GET", "POST"])
@require_permission("tenants.manage_sign_in")
def rules(request: HttpRequest) -> HttpResponse:
    """Show the tenant's rules of signing in, and change them."""
    tenant = request.tenant  # type: ignore[attr-defined]
    if request.method == "POST":
        form = forms.Rules(request.POST)
        form.is_valid()  # A box that is ticked or not cannot be wrong.
        services.require_second_factor(
            acting_user=_person(request),
            tenant=tenant,
            for_all=form.cleaned_data["second_factor_for_all"],
            changed_at=timezone.now(),
        )
        messages.success(request, "Saved.")
        return redirect("sign_in:rules")
    form = forms.Rules(initial={"second_factor_for_all": tenant.second_factor_for_all})
    return render(request, "tenants/sign_in/rules.html", {"form": form, "unlock": forms.Unlock()})


@require_POST
@require_permission("tenants.manage_sign_in")
def unlock(request: HttpRequest) -> HttpResponse:
    """Let somebody try again who is locked out for wrong passwords."""
    form = forms.Unlock(request.POST)
    if not form.is_valid():
        rules_form = forms.Rules(
            initial={"second_factor_for_all": request.tenant.second_factor_for_all}  # type: ignore[attr-defined]
        )
        context = {"form": rules_form, "unlock": form}
        return render(request, "tenants/sign_in/rules.html", context, status=422)
    email = form.cleaned_data["email"]
    services.unlock(acting_user=_person(request), email=email, unlocked_at=timezone.now())
    messages.success(request, f"{email} may sign in again.")
    return redirect("sign_in:rules")
