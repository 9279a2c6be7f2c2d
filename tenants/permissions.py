"""Who may do what: one table from role to permission, asked by name.

An owner runs the tenant; an operator starts and stops runs and answers alerts; an auditor also
sees the people; a viewer looks. Somebody without a membership gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from tenants.errors import Forbidden
from tenants.models import Membership

_VIEW = frozenset({"monitoring.view", "simulation.view"})
_OPERATE = frozenset(
    {
        "monitoring.acknowledge_alert",
        "simulation.request_run",
        "simulation.cancel_run",
        "simulation.inject_fault",
    }
)
_AUDIT = frozenset({"tenants.view_members"})
_OWN = frozenset({"tenants.manage_members"})

PERMISSIONS: dict[str, frozenset[str]] = {
    Membership.Role.OWNER: _VIEW | _OPERATE | _AUDIT | _OWN,
    Membership.Role.OPERATOR: _VIEW | _OPERATE,
    Membership.Role.AUDITOR: _VIEW | _AUDIT,
    Membership.Role.VIEWER: _VIEW,
}
ALL_PERMISSIONS = frozenset().union(*PERMISSIONS.values())


class PermissionDenied(Forbidden):
    """The role of this person does not include the permission."""

    code = "permission_denied"


def has_permission(membership: Membership | None, permission: str) -> bool:
    """Tell whether this membership includes the permission; nobody's membership includes
    nothing.
    """
    assert permission in ALL_PERMISSIONS, permission
    return membership is not None and permission in PERMISSIONS[membership.role]


def check_permission(membership: Membership | None, permission: str) -> None:
    """Raise ``PermissionDenied`` unless this membership includes the permission."""
    if not has_permission(membership, permission):
        role = membership.get_role_display().lower() if membership else "visitor"
        raise PermissionDenied(
            f"Your role here is {role}, which may not do this. Ask an owner of the tenant."
        )


def require_permission(permission: str) -> Callable[..., Any]:
    """Let a view run only for members whose role includes the permission."""
    assert permission in ALL_PERMISSIONS, permission

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            check_permission(getattr(request, "membership", None), permission)
            return view(request, *args, **kwargs)

        # Read by the test that walks every route.
        guarded.required_permission = permission  # type: ignore[attr-defined]
        return guarded

    return decorate
