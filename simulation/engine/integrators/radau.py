"""The numbers of Gauss-Radau quadrature of order 15: its points, and the way between the two forms
of the polynomial through them, worked out in fractions.

Source: Everhart (1985), ASSL 115, 185.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

POINTS = (
    0.0,
    0.0562625605369221464656522,
    0.1802406917368923649875799,
    0.3526247171131696373739078,
    0.5471536263305553830014486,
    0.7342101772154105315232106,
    0.8853209468390957680903598,
    0.9775206135612875018911745,
)


def _newton_to_power() -> np.ndarray:
    """Return C (7, 7): b_k = sum_n C[k, n] g_n, the coefficients of t (t - h_1) ... (t - h_n)."""
    table = np.zeros((7, 7))
    product = [Fraction(0), Fraction(1)]
    for n in range(7):
        for k in range(1, len(product)):
            table[k - 1, n] = float(product[k])
        point = Fraction(POINTS[n + 1])
        longer = [Fraction(0), *product]
        for k, value in enumerate(product):
            longer[k] -= point * value
        product = longer
    return table


def _power_to_newton() -> np.ndarray:
    """Return the inverse of ``_newton_to_power``: unit upper triangular, by back substitution."""
    power = [[Fraction(float(v)) for v in row] for row in _newton_to_power()]
    table = np.zeros((7, 7))
    for column in range(7):
        solved = [Fraction(0)] * 7
        for k in range(6, -1, -1):
            rest = sum((power[k][n] * solved[n] for n in range(k + 1, 7)), Fraction(0))
            solved[k] = Fraction(int(k == column)) - rest
        table[:, column] = [float(value) for value in solved]
    return table


TO_POWER = _newton_to_power()
TO_NEWTON = _power_to_newton()
# 1/(h_n - h_k).
PER_GAP = np.array(
    [[1.0 / (a - b) if a > b else 0.0 for b in POINTS] for a in POINTS], dtype=np.float64
)
# b_j's part of x and v at the end of t: t^(j+3)/((j+2)(j+3)) and t^(j+2)/(j+2), j from 0.
X_PARTS = tuple(1.0 / ((j + 2) * (j + 3)) for j in range(7))
V_PARTS = tuple(1.0 / (j + 2) for j in range(7))
BINOMIAL = np.array([[float(math.comb(j + 1, k + 1)) for j in range(7)] for k in range(7)])
