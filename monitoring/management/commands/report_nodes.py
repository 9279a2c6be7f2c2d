"""``manage.py report_nodes``: report host, database and Redis each second until told to stop."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

from django.core.management.base import BaseCommand

from monitoring import heartbeat, reporter


class Command(BaseCommand):
    """Run the reporter."""

    help = "Report this host, the database and Redis as nodes each second. SIGTERM ends it."

    def handle(self, *args: Any, **options: Any) -> None:
        """Start one thread for each thing that is measured, and wait for the signal."""
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        heartbeat.start("reporter")
        heartbeat.start("host", socket.gethostname(), reporter.HostMeter().measure)
        heartbeat.start("database", "postgres", reporter.measure_database)
        heartbeat.start("redis", "redis", reporter.measure_redis)
        stopped.wait()
        heartbeat.stop_all()
