"""The Celery application: each tenant's queue is served, new tenants' queues as they appear."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import celeryd_after_setup

from business.scenarios.schedule import BEAT_SCHEDULE as SCENARIOS_SCHEDULE
from monitoring.schedule import BEAT_SCHEDULE as LOG_SCHEDULE
from monitoring.totals.schedule import BEAT_SCHEDULE as TOTALS_SCHEDULE
from simulation.schedule import BEAT_SCHEDULE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aii_site.settings.development")

app = Celery("aii")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Schedules are code: a new release cannot meet an old one's rows.
app.conf.beat_schedule = {
    "tenants.serve_new_queues": {
        "task": "tenants.serve_new_queues",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    },
    "tenants.delete_expired_sessions": {
        "task": "tenants.delete_expired_sessions",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    **BEAT_SCHEDULE,
    **TOTALS_SCHEDULE,
    **LOG_SCHEDULE,
    **SCENARIOS_SCHEDULE,
}


@celeryd_after_setup.connect
def serve_each_tenant(sender: str, instance: Any, **kwargs: Any) -> None:
    """Take work from every tenant's queue; the scheduler takes the platform's alone."""
    from tenants.selectors import list_schemas
    from tenants.tasks import WORKER_NAME, queue_of

    if not sender.startswith(f"{WORKER_NAME}@"):
        return
    for schema in list_schemas():
        instance.app.amqp.queues.select_add(queue_of(schema))
