"""The integrators on offer, one file each.

``Composition`` steps integers: exact momentum, reversible to the bit. ``RealMethod`` steps doubles:
planetary systems and close encounters, far more accurately.
"""

from __future__ import annotations

from typing import Any

from simulation.engine.integrators.composition import Composition
from simulation.engine.integrators.leapfrog import LEAPFROG
from simulation.engine.integrators.real import REAL_METHODS, RealMethod
from simulation.engine.integrators.yoshida import YOSHIDA4, YOSHIDA6, YOSHIDA8

# Each has a name, a title, an order and stages; those of REAL_METHODS are ``RealMethod``, the
# others ``Composition``.
INTEGRATORS: dict[str, Any] = {
    method.name: method for method in (LEAPFROG, YOSHIDA4, YOSHIDA6, YOSHIDA8)
}
INTEGRATORS.update(REAL_METHODS)

__all__ = [
    "INTEGRATORS",
    "LEAPFROG",
    "REAL_METHODS",
    "YOSHIDA4",
    "YOSHIDA6",
    "YOSHIDA8",
    "Composition",
    "RealMethod",
]
