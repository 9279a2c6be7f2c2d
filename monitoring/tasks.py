"""Scheduled work on the log: an anchor an hour, a full verification a day. Celery imports this
module in its processes, which then report themselves.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg
from celery import current_app, shared_task
from django.utils import timezone

from audit.anchors import anchor_newest, kept_heads
from audit.database import connect
from audit.signing import KeyUnusable, read_keys
from audit.verification import verify
from monitoring import worker
from monitoring.services.log import record_verification
from tenants.context import current_schema
from tenants.selectors import list_schemas
from tenants.tasks import PlatformTask, TenantTask, queue_of

logger = logging.getLogger(__name__)


@shared_task(base=PlatformTask, name="monitoring.anchor_log")
def anchor_log(**_: Any) -> None:
    """Tell the newest head of the log outside the database."""
    with connect("aii-anchor") as connection:
        for anchor in anchor_newest(connection, timezone.now()):
            if anchor.trouble:
                logger.error(
                    "the log's head was not anchored (%s): %s", anchor.means, anchor.trouble
                )


@shared_task(base=PlatformTask, name="monitoring.verify_logs")
def verify_logs(**_: Any) -> None:
    """Ask the workers to verify every tenant's log, each in its own queue."""
    for schema in list_schemas():
        current_app.send_task(
            "monitoring.verify_log", kwargs={"tenant_schema": schema}, queue=queue_of(schema)
        )


@shared_task(base=TenantTask, name="monitoring.verify_log")
def verify_log(**_: Any) -> None:
    """Recompute the tenant's log and the tree of all heads, and record what was found."""
    try:
        keys = read_keys()
    except KeyUnusable as missing:
        logger.error("the log was not verified: %s", missing)
        return
    kept = kept_heads()
    with connect("aii-verify") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            report = verify(connection, keys, tenant=current_schema(), kept=kept)
    record_verification(report=report, verified_at=timezone.now())


__all__ = ["anchor_log", "verify_log", "verify_logs", "worker"]
