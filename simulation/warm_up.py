"""Compiling the kernels of the defaults before somebody waits for them: seconds on a new machine, 1
to 2 s from the cache. The others are compiled beside the running platform (``compile_ahead``).
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from typing import Any

from celery.signals import worker_init
from django.conf import settings

from simulation import cost, engine
from simulation.compile_ahead import (
    BOXES,
    LEAPFROG,
    MANY_BODIES,
    MULTIPOLES,
    compile_leapfrog,
)

logger = logging.getLogger(__name__)

# By then the worker has begun to fill the cache, and the first page has been shown.
WEB_AFTER_S = 8.0


@worker_init.connect
def compile_for_worker(**kwargs: Any) -> None:
    """Compile before the pool forks: its children inherit the code."""
    if settings.AII_PROCESS == "worker":
        compile_leapfrog()


def measure_for_web() -> None:
    """Time this machine beside the first pages, for the estimates of the form."""
    if settings.AII_PROCESS == "web":
        timer = threading.Timer(WEB_AFTER_S, _measure)
        timer.daemon = True
        timer.start()


def _measure() -> None:
    """Let another process compile, then load and time what it kept.

    Compiling holds the interpreter: in this process every page would wait for it.
    """
    stages: tuple[tuple[str, tuple[cost.ForceKind, ...]], ...] = (
        (LEAPFROG, ()),
        (MANY_BODIES, (None,)),
        (MULTIPOLES, engine.ACCURACIES),
        (BOXES, (cost.PERIODIC,)),
    )
    for title, kinds in stages:
        code = f"from simulation.compile_ahead import compile_beside; compile_beside({title!r})"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        if done.returncode != 0:
            logger.warning("the kernels could not be compiled: %s", done.stderr[-500:])
            return
        for kind in kinds:
            cost.measure(kind)
