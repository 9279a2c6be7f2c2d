"""Bodies of somebody's own: the bytes of a file in, a scenario out. No database."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np

from simulation import engine
from simulation.engine import BadRequest, Bodies, Scenario, units

# What a page may be given; the command takes more.
BYTES_MAX, BODIES_MAX = 2 * 2**20, 10_000
UNITS = ("N-body", "au-Msun-yr", "SI")
NAME = "custom"


def read(content: bytes, units_name: str | None = None, **limits: Any) -> Bodies:
    """Return the bodies of a CSV file in N-body units; ``limits`` as ``engine.read_bodies`` takes.

    Raises ``BadRequest``.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest("The file is no text in UTF-8.") from None
    bodies = engine.read_bodies(text, **limits)
    if units_name is None:
        return bodies
    return units.convert_bodies(bodies, units.find_units(units_name), units.nbody_units())


def sha256_of(content: bytes) -> str:
    """Return the digest by which a result names its input, that of ``sha256sum``."""
    return hashlib.sha256(content).hexdigest()


def scenario_of(
    content: bytes,
    units_name: str | None = None,
    *,
    title: str = "Custom bodies",
    softening_tu: float = 0.0,
) -> Scenario:
    """Return the scenario of a file of bodies. O(N^2) in its bodies; raises ``BadRequest``."""
    return engine.scenario_from_bodies(
        read(content, units_name),
        name=NAME,
        title=title,
        softening_tu=softening_tu,
        input_sha256=sha256_of(content),
    )


@lru_cache(maxsize=8)
def scenario_again(content: bytes, units_name: str, title: str, softening_tu: float) -> Scenario:
    """Return the same, kept for a form that is asked about the same file at each change."""
    return scenario_of(content, units_name, title=title, softening_tu=softening_tu)


def check_apart(bodies: Bodies) -> None:
    """Raise ``BadRequest`` where two bodies are in one place, and say which."""
    order = np.lexsort(bodies.position.T)
    sorted_ = bodies.position[order]
    same = np.flatnonzero(np.all(sorted_[1:] == sorted_[:-1], axis=1))
    if same.size:
        one, other = sorted((int(order[same[0]]), int(order[same[0] + 1])))
        raise BadRequest(
            f"{bodies.names[one]} and {bodies.names[other]} are in the same place; move one of "
            "them."
        )
