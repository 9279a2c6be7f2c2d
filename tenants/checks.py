"""Deployment checks: what would take a fence away."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import Tags, Warning, register


@register(Tags.security, deploy=True)
def check_roles_apart(app_configs: Any, **kwargs: Any) -> list[Warning]:
    """Warn when the application logs in as the role that owns the tables."""
    owner = settings.DATABASES.get("owner", {}).get("USER")
    if owner is not None and owner == settings.DATABASES["default"]["USER"]:
        return [
            Warning(
                "The application logs in as the owner of the tables, so no second fence stands.",
                hint="Give DATABASE_URL a NOINHERIT role, and DATABASE_OWNER_URL the owner.",
                id="tenants.W001",
            )
        ]
    return []
