"""Thin doors: the scheduler keeps rounds going; each tenant's workers answer them.

The workers know no key, and the scheduler reads no tenant's rows: who could decrypt a posting never
holds what is behind it, and the other way round.
"""

from __future__ import annotations

from typing import Any

from celery import current_app, shared_task
from django.conf import settings
from django.utils import timezone

from monitoring.totals import rounds, services
from monitoring.totals.schedule import LOOK_EVERY_S
from tenants.tasks import PlatformTask, TenantTask, queue_of


@shared_task(base=PlatformTask, name="totals.keep_rounds")
def keep_rounds(**_: Any) -> None:
    """Open a round when one is due, ask who has not answered, publish what is complete or late."""
    for schema, task, number in rounds.keep(timezone.now(), settings.AII_TOTALS_EVERY_S):
        current_app.send_task(
            task,
            kwargs={"number": number, "tenant_schema": schema},
            queue=queue_of(schema),
            # Asked again at the next look: nothing piles up behind long runs.
            expires=LOOK_EVERY_S,
            retry=False,
        )


@shared_task(base=TenantTask, name="totals.post")
def post(*, number: int, **_: Any) -> None:
    """Answer a round for one tenant. Safe to deliver twice."""
    services.post_totals(number=number, posted_at=timezone.now())


@shared_task(base=TenantTask, name="totals.check_openings")
def check_openings(*, number: int, **_: Any) -> None:
    """Open and check what was drawn of one tenant. Safe to deliver twice."""
    services.check_openings(number=number, opened_at=timezone.now())
