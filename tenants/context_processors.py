"""What every page knows: the tenant, the member, what they may do, and where else they belong."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from tenants import selectors
from tenants.permissions import ALL_PERMISSIONS, has_permission
from tenants.single_sign_on.services import list_enabled


def tenancy(request: HttpRequest) -> dict[str, Any]:
    """Return the shell's context; sparse on pages outside a tenant."""
    tenant = getattr(request, "tenant", None)
    membership = getattr(request, "membership", None)
    context: dict[str, Any] = {
        "tenant": tenant,
        "membership": membership,
        "memberships": [],
        # Asked for by the sign-in page alone.
        "sign_on_providers": list_enabled,
        "debug_styleguide": settings.DEBUG,
    }
    context["perms_of"] = {
        code.replace(".", "_"): has_permission(membership, code) for code in ALL_PERMISSIONS
    }
    if membership is not None:
        context["memberships"] = [
            {
                "name": place.name,
                "role": place.role,
                "address": _address(request, place.host),
                "current": place.slug == tenant.slug,  # type: ignore[union-attr]
            }
            for place in selectors.list_places(request.user)  # type: ignore[arg-type]
        ]
    return context


def _address(request: HttpRequest, host: str) -> str:
    port = request.get_host().rpartition(":")[2]
    suffix = f":{port}" if port.isdigit() else ""
    return f"{request.scheme}://{host}{suffix}/"
