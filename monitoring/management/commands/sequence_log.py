"""``manage.py sequence_log``: give the log's entries their places and sign its heads, until told to
stop.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand

from audit.sequencing import Sequencing
from monitoring import heartbeat


class Command(BaseCommand):
    """Run the sequencer."""

    help = "Give the log's entries their places and sign its heads. SIGTERM ends it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until stopped; a second one waits for the first to end."""
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        sequencing = Sequencing()
        heartbeat.start(
            "sequencer",
            extra=lambda: {
                "is_working": sequencing.status.is_working,
                "waiting_s": round(sequencing.status.waiting_s, 1),
                "trouble": sequencing.status.trouble,
            },
        )
        sequencing.run(stopped)
        heartbeat.stop_all()
