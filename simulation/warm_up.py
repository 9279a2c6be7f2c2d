"""Compiling the kernels of the defaults before somebody waits for them: seconds on a new machine, 1
to 2 s from the cache. The others are compiled beside the running platform (``compile_ahead``).
"""

from __future__ import annotations

import threading
from typing import Any

from celery.signals import worker_init
from django.conf import settings

from simulation.compile_ahead import compile_leapfrog

# By then the worker has filled the cache, and the first page has been shown.
WEB_AFTER_S = 8.0


@worker_init.connect
def compile_for_worker(**kwargs: Any) -> None:
    """Compile before the pool forks: its children inherit the code."""
    if settings.AII_PROCESS == "worker":
        compile_leapfrog()


def compile_for_web() -> None:
    """Compile beside the first pages; the form's estimate needs the kernels."""
    if settings.AII_PROCESS == "web":
        timer = threading.Timer(WEB_AFTER_S, compile_leapfrog)
        timer.daemon = True
        timer.start()
