"""What the scheduler sends for scenarios."""

from __future__ import annotations

from typing import Any

SWEEP_EVERY_S = 60.0

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "scenarios.reap_simulations": {
        "task": "scenarios.reap_simulations",
        "schedule": SWEEP_EVERY_S,
        "options": {"expires": SWEEP_EVERY_S},
    }
}
