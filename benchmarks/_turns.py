"""Timing what takes turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

# A processor of a shared machine that has waited takes about a second to come back to its speed:
# 250 ms instead of 185 for an evaluation after 7 s.
AWAKE_S = 1.0


def seconds_of(work: Callable[[], Any]) -> float:
    """Return the seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def awake(work: Callable[[], float]) -> Callable[[], float]:
    """Return work that is done for a second before the turn that counts."""

    def once() -> float:
        begun = time.perf_counter()
        while time.perf_counter() - begun < AWAKE_S:
            work()
        return work()

    return once


def interleave(turns: int, *works: Callable[[], float]) -> list[float]:
    """Let each take its turn, several times; return the medians."""
    found: list[list[float]] = [[] for _ in works]
    for _ in range(turns):
        for times, work in zip(found, works, strict=True):
            times.append(work())
    return [statistics.median(times) for times in found]
