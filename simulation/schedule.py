"""What the scheduler sends for this app."""

from __future__ import annotations

from typing import Any

SWEEP_EVERY_S = 5.0

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "simulation.reap_runs": {
        "task": "simulation.reap_runs",
        "schedule": SWEEP_EVERY_S,
        # A sweep that waited is worth nothing: the next one does its work.
        "options": {"expires": SWEEP_EVERY_S},
    }
}
