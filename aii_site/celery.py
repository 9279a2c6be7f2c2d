"""The Celery application: each tenant's queue is served, new tenants' queues as they appear."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aii_site.settings.development")

app = Celery("aii")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_after_setup.connect
def serve_each_tenant(sender: str, instance: Any, **kwargs: Any) -> None:
    """Take work from the platform's queue and from every tenant's."""
    from tenants.selectors import list_schemas
    from tenants.tasks import queue_of

    for schema in list_schemas():
        instance.app.amqp.queues.select_add(queue_of(schema))
