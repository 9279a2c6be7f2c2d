"""Kick-drift-kick leapfrog, order 2: one force evaluation a step."""

from __future__ import annotations

from simulation.engine.integrators.composition import Composition

LEAPFROG = Composition("leapfrog", "leapfrog kick-drift-kick, integer state", 2, (1.0,))
