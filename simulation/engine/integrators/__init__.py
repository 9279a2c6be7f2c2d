"""The integrators on offer, one file each.

``Composition`` steps integers: exact momentum, reversible to the bit.
"""

from __future__ import annotations

from simulation.engine.integrators.composition import Composition
from simulation.engine.integrators.leapfrog import LEAPFROG
from simulation.engine.integrators.yoshida import YOSHIDA4, YOSHIDA6, YOSHIDA8

INTEGRATORS: dict[str, Composition] = {
    method.name: method for method in (LEAPFROG, YOSHIDA4, YOSHIDA6, YOSHIDA8)
}

__all__ = ["INTEGRATORS", "LEAPFROG", "YOSHIDA4", "YOSHIDA6", "YOSHIDA8", "Composition"]
