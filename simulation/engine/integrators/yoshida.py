"""Yoshida's symmetric compositions of leapfrog: orders 4, 6 and 8 with 3, 7 and 15 evaluations.

Exact momentum and reversal as leapfrog's; the energy strays by dt^4, dt^6 or dt^8. Source: Yoshida
(1990), Phys. Lett. A 150, 262, eq. 2.11 and tables 1 (solution A) and 2 (solution D).
"""

from __future__ import annotations

from simulation.engine.integrators.composition import Composition

_CUBE_ROOT_OF_2 = 1.2599210498948731648
_SIX = (0.784513610477560, 0.235573213359357, -1.17767998417887)
_EIGHT = (
    0.914844246229740,
    0.253693336566229,
    -1.44485223686048,
    -0.158240635368243,
    1.93813913762276,
    -1.96061023297549,
    0.102799849391985,
)


def _palindrome(outer: tuple[float, ...]) -> tuple[float, ...]:
    """Return the weights with the middle one that makes their sum 1."""
    return (*outer, 1.0 - 2.0 * sum(outer), *reversed(outer))


YOSHIDA4 = Composition(
    "yoshida4", "Yoshida order 4, integer state", 4, _palindrome((1.0 / (2.0 - _CUBE_ROOT_OF_2),))
)
YOSHIDA6 = Composition("yoshida6", "Yoshida order 6, integer state", 6, _palindrome(_SIX))
YOSHIDA8 = Composition("yoshida8", "Yoshida order 8, integer state", 8, _palindrome(_EIGHT))
