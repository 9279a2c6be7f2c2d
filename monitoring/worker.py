"""Heartbeats of task workers and of the scheduler; imported by ``monitoring.tasks`` alone."""

from __future__ import annotations

from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from monitoring import heartbeat


@worker_ready.connect
def start_for_worker(**kwargs: Any) -> None:
    """Report this worker, or the scheduler, its children included."""
    heartbeat.start("scheduler" if settings.AII_PROCESS == "scheduler" else "worker")


@worker_shutting_down.connect
def stop_for_worker(**kwargs: Any) -> None:
    """Say goodbye: this end is in order."""
    heartbeat.stop_all()
