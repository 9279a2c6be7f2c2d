"""What the scheduler sends for the log."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "monitoring.anchor_log": {
        "task": "monitoring.anchor_log",
        "schedule": crontab(minute=0),
        "options": {"expires": 3600},
    },
    "monitoring.verify_logs": {
        "task": "monitoring.verify_logs",
        "schedule": crontab(hour=3, minute=20),
        "options": {"expires": 24 * 3600},
    },
}
