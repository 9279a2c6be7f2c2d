"""Which tables belong in which schema, for migrations."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.conf import settings

from tenants.context import PUBLIC_SCHEMA, chosen


class SchemaRouter:
    """Shared apps migrate into public, tenant apps into each tenant's schema; only as the owner."""

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        """Say no to an app that has no place in the schema at hand."""
        state = chosen()
        # Without a schema at hand nothing is being written: the autodetector asks for all.
        if state is None:
            return None
        name = apps.get_app_config(app_label).name
        place = settings.SHARED_APPS if state.schema == PUBLIC_SCHEMA else settings.TENANT_APPS
        return None if name in place else False

    def allow_relation(self, first: Any, second: Any, **hints: Any) -> bool:
        """Both aliases are one database, under two roles."""
        return True
