"""Scheduled work on sessions."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from django.utils import timezone

from tenants.context import tenant_context
from tenants.selectors import list_schemas
from tenants.sessions.services import delete_expired
from tenants.tasks import PlatformTask


@shared_task(base=PlatformTask, name="tenants.delete_expired_sessions")
def delete_expired_sessions(**_: Any) -> None:
    """Delete every tenant's expired sessions, some thousands of each at a time."""
    for schema in list_schemas():
        with tenant_context(schema):
            delete_expired(now=timezone.now())
