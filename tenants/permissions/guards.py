"""The guard of a view: it names the permission, and the table knows the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse

from tenants.permissions.predicates import check_permission, find_permission
from tenants.permissions.table import Permission

# What else must hold before a view runs: each returns an answer of its own, or None to go on.
GUARDS: list[Callable[[HttpRequest, Permission], HttpResponse | None]] = []


def require_permission(name: str) -> Callable[..., Any]:
    """Let a view run only for members whose role includes the permission."""
    permission = find_permission(name)

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            check_permission(getattr(request, "membership", None), name)
            for guard in GUARDS:
                if (answer := guard(request, permission)) is not None:
                    return answer
            return view(request, *args, **kwargs)

        # Read by the tests that walk every route.
        guarded.required_permission = name  # type: ignore[attr-defined]
        return guarded

    return decorate
