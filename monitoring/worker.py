"""Heartbeats of task workers and of the scheduler; imported by ``monitoring.tasks`` alone."""

from __future__ import annotations

from typing import Any

from celery.signals import beat_init, worker_ready, worker_shutting_down

from monitoring import heartbeat


@worker_ready.connect
def start_for_worker(**kwargs: Any) -> None:
    """Report this worker, its children included."""
    heartbeat.start("worker")


@beat_init.connect
def start_for_scheduler(**kwargs: Any) -> None:
    """Report the scheduler."""
    heartbeat.start("scheduler")


@worker_shutting_down.connect
def stop_for_worker(**kwargs: Any) -> None:
    """Say goodbye: this end is in order."""
    heartbeat.stop_all()
