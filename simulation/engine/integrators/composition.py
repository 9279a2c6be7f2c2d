"""Symmetric compositions of kick-drift-kick on integers: leapfrog and its higher orders.

A step of weights w_1 ... w_s runs leapfrog with steps w_1 dt ... w_s dt. Neighbouring kicks act at
the same positions, so they are one kick and the step costs s force evaluations:

    k(w_1/2)  d(w_1)  k((w_1 + w_2)/2)  d(w_2)  ...  d(w_s)  k(w_s/2)

Each kick and each drift adds a function of the half of the state that it leaves alone: a bijection
on integers, undone by subtracting the same integers. The weights are a palindrome, so the way back
uses the same list. Negative weights are kicks and drifts backwards.

*Energy.* A method of order p conserves H + dt^p H_(p+1) + O(dt^(p+2)). For order 2, ``kernels``
evaluates H2. The higher H_(p+1) are sums of brackets with p+1 entries: each further time derivative
brings a factor of a frequency W, and for a potential 1/r the p-th derivative is p!/2 times what p
powers of W make of the second. So

    |E - E(0)| <= c_p (p!/2) dt^p (B W^(p-2) + B(0) W(0)^(p-2)) (1 + (dt W)^2) + round-off,

B and W^2 as in ``kernels``. c_p is the method's own error on the harmonic oscillator, where its
modified energy is known in closed form: it is computed below from the weights, in units of
leapfrog's B on the same oscillator. Its W is the fastest pair's, so the bound is generous between
close encounters and tight in them.

Sources: Yoshida (1990), Phys. Lett. A 150, 262; Hairer, Lubich & Wanner (2006), V.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Composition:
    """An integrator on integers: leapfrog steps of the given weights (a palindrome of sum 1)."""

    name: str
    title: str
    order: int
    weights: tuple[float, ...]

    @property
    def stages(self) -> int:
        """Force evaluations of a step."""
        return len(self.weights)

    @cached_property
    def kicks(self) -> tuple[float, ...]:
        """The weight of the kick after each drift; the last one is also the one before the first.

        In units of dt.
        """
        following = (*self.weights[1:], 0.0)
        return tuple(
            (here + then) / 2.0 for here, then in zip(self.weights, following, strict=True)
        )

    @property
    def first_kick(self) -> float:
        """The weight of a step's first kick and of its last."""
        return self.kicks[-1]

    @property
    def largest_kick(self) -> float:
        """The largest weight of any kick, in size."""
        return max(abs(weight) for weight in self.kicks)

    @cached_property
    def energy_coefficient(self) -> float:
        """c_p (p!/2) of the module's page; 1 for leapfrog, whose B has its own coefficients."""
        if self.order == 2:
            return 1.0
        return _oscillator_coefficient(self) * math.factorial(self.order) / 2.0


def _oscillator_coefficient(method: Composition) -> float:
    """Return the size of the modified energy's leading term over leapfrog's, at w dt = h.

    A step is a matrix M with det 1; it keeps the quadratic form p^2 m01 - q^2 m10 + pq (m11 - m00).
    Its distance from p^2 + q^2 falls as h^p. Leapfrog's B is (1/12) p^2 + (1/24) q^2, h^2 left out.
    """
    h = 1e-2 ** (2.0 / method.order)
    step = np.eye(2)  # acts on (q, p), frequency 1
    kick, drift = np.eye(2), np.eye(2)
    for weight in method.weights:
        kick[1, 0], drift[0, 1] = -weight * h / 2.0, weight * h
        step = kick @ drift @ kick @ step
    q2, p2 = -step[1, 0], step[0, 1]
    form = np.array([q2, p2]) / math.sqrt(q2 * p2)
    return float(np.max(np.abs(form - 1.0))) / h**method.order * 12.0
