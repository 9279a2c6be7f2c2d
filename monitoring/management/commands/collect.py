"""``manage.py collect``: sample every tenant each second, on the second, until told to stop."""

from __future__ import annotations

import math
import signal
import threading
import time
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import heartbeat
from monitoring.collector import Collector


class Command(BaseCommand):
    """Run the collector."""

    help = "Sample every tenant each second and publish what changed. SIGTERM ends it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Tick on each full second; a tick that takes longer skips the seconds that it missed."""
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        heartbeat.start("collector")
        collector = Collector()
        while True:
            second = math.floor(time.time()) + 1
            if stopped.wait(max(0.0, second - time.time())):
                break
            collector.tick(datetime.fromtimestamp(second, tz=UTC), (time.time() - second) * 1000)
        heartbeat.stop_all()
