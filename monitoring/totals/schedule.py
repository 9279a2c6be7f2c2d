"""What the scheduler sends for the audit across tenants."""

from __future__ import annotations

from typing import Any

LOOK_EVERY_S = 30.0

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "totals.keep_rounds": {
        "task": "totals.keep_rounds",
        "schedule": LOOK_EVERY_S,
        "options": {"expires": LOOK_EVERY_S},
    }
}
