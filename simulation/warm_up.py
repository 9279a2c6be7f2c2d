"""Compiling the kernels before somebody waits for them: 7 s on a new machine, 1 to 2 s from the
cache.
"""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_init
from django.conf import settings

from simulation import engine

# By then the worker has filled the cache, and the first page has been shown.
WEB_AFTER_S = 8.0


def compile_kernels() -> None:
    """Run one step of a small scenario there and back, which compiles or loads every kernel."""
    engine.advance(engine.prepare("kepler", steps=1), 1, retrace=True)


@worker_init.connect
def compile_for_worker(**kwargs: Any) -> None:
    """Compile before the pool forks: its children inherit the code."""
    if settings.AII_PROCESS == "worker":
        compile_kernels()


def compile_for_web() -> None:
    """Compile beside the first pages; the form's estimate needs the kernels."""
    if settings.AII_PROCESS == "web":
        timer = threading.Timer(WEB_AFTER_S, compile_kernels)
        timer.daemon = True
        timer.start()
