# mypy: disable-error-code="no-untyped-def"
"""Two bodies, solved: the motion about a fixed mass in universal variables, for any orbit.

With b = 2 GM/r - v^2, the functions G_n = s^n c_n(b s^2) (Stumpff's c_n) give position and time as
functions of the anomaly s, dt = r ds:

    dt = r G_1 + (x.v) G_2 + GM G_3,    x' = f x + g v,    f = 1 - GM G_2/r,    g = dt - GM G_3.

One formula serves ellipse, parabola and hyperbola. dt grows with s (its derivative is the distance
r' > 0), so the root is unique: Newton's iteration inside a bracket always ends. A step that is not
half the one before the last is left to halving the bracket: Newton's own may go to and fro between
two places for ever. It starts from the series of s in dt to third order. A step below 1e-9 of s is
the last: the next would be below 1e-18.

Only +, -, *, / and square roots, which IEEE 754 defines to the last bit: the c_n come from their
series, after halving the argument, and are doubled back. The bits do not depend on a library.

Sources: Stiefel & Scheifele (1971), ch. 11; Rein & Tamayo (2015), MNRAS 452, 376 (WHFast).
"""

from __future__ import annotations

import math

from simulation.engine.arithmetic import fma, kernel

# Newton gains digits quadratically; what is slower than this is left to the bracket, and halving a
# double's range ends after about two thousand.
_ITERATIONS_MAX = 4096
_HALVINGS_MAX = 1024
_LAST_CHANGE = 1e-9
# Below it the series to 1/17! is exact in a double: 0.25^8 * 3!/19! = 8e-22.
_SERIES_MAX = 0.25
# Below it four terms are: 0.002^4 * 2!/10! = 9e-18.
_FEW_MAX = 0.002
# 1/(2n + 2)! and 1/(2n + 3)!: constants, because a division costs ten products.
_C2 = tuple(1.0 / math.factorial(2 * n + 2) for n in range(8))
_C3 = tuple(1.0 / math.factorial(2 * n + 3) for n in range(8))


@kernel
def _stumpff(z):
    """Return c_1, c_2, c_3 of z: series of cos and sin of sqrt(z), also for z <= 0."""
    halvings = 0
    # An overflow to infinity ends too.
    while (z > _SERIES_MAX or z < -_SERIES_MAX) and halvings < _HALVINGS_MAX:
        z *= 0.25
        halvings += 1
    if -_FEW_MAX < z < _FEW_MAX:
        c2, c3 = fma(-z, _C2[3], _C2[2]), fma(-z, _C3[3], _C3[2])
        c2, c3 = fma(-z, c2, _C2[1]), fma(-z, c3, _C3[1])
        c2, c3 = fma(-z, c2, _C2[0]), fma(-z, c3, _C3[0])
        return 1.0 - z * c3, c2, c3
    c2, c3 = _C2[7], _C3[7]
    for n in range(6, -1, -1):
        c2, c3 = fma(-z, c2, _C2[n]), fma(-z, c3, _C3[n])
    c1 = 1.0 - z * c3
    for _ in range(halvings):
        # cos 2u = 2 cos^2 u - 1 and its like, in terms that do not cancel.
        c0 = 1.0 - z * c2
        c3 = 0.25 * (c2 + c0 * c3)
        c2 = 0.5 * c1 * c1
        c1 = c0 * c1
        z *= 4.0
    return c1, c2, c3


@kernel
def _anomaly(dt, r, per_r, rv, gm, beta):
    """Return G_1, G_2, G_3 of the time dt >= 0."""
    low, high = 0.0, math.inf
    zeta = gm - beta * r
    first = dt * per_r
    turn = rv * first * per_r
    third = 0.5 * rv * rv * per_r - zeta * (1.0 / 6.0)
    s = first * (1.0 - 0.5 * turn + first * first * per_r * third)
    before = -1.0
    moved = moved_before = math.inf
    if not 0.0 < s < 2.0 * first:
        s = first
    for _ in range(_ITERATIONS_MAX):
        c1, c2, c3 = _stumpff(beta * s * s)
        g1, g2 = s * c1, s * s * c2
        g3 = s * s * s * c3
        # r s + (x.v) G_2 + (GM - b r) G_3 is the time: less cancels than in r G_1 + GM G_3.
        excess = r * s + rv * g2 + zeta * g3 - dt
        # A hyperbola's overflow is too far as well: written so that NaN counts as excess.
        if not excess <= 0.0:
            high = min(high, s)
        else:
            low = max(low, s)
        change = -excess / (r + rv * g1 + zeta * g2)
        if abs(change) < _LAST_CHANGE * s:
            # The last step moves the G-functions by their own derivatives, G_n' = G_(n-1).
            g3 += change * (g2 + 0.5 * change * g1)
            g2 += change * (g1 + 0.5 * change * (1.0 - beta * g2))
            g1 = s * c1 + change * (1.0 - beta * s * s * c2)
            break
        following = s + change
        if abs(change) > 0.5 * moved_before or not low <= following <= high:
            following = 2.0 * low + first if high == math.inf else 0.5 * (low + high)
        if following in (s, before):
            break
        moved_before, moved = moved, abs(following - s)
        before, s = s, following
    return g1, g2, g3


@kernel
def drift_on_orbit(x, v, i, gm, dt):
    """Move x[i], v[i] of (N, 3) in place along their orbit about the mass ``gm`` at 0 for dt.

    Backwards is forwards with the velocity turned round: the same arithmetic there and back.
    """
    turn = 1.0 if dt >= 0.0 else -1.0
    x0, x1, x2 = x[i, 0], x[i, 1], x[i, 2]
    v0, v1, v2 = turn * v[i, 0], turn * v[i, 1], turn * v[i, 2]
    dt = abs(dt)
    r = math.sqrt(x0 * x0 + x1 * x1 + x2 * x2)
    rv = x0 * v0 + x1 * v1 + x2 * v2
    per_r = 1.0 / r
    pull = gm * per_r
    beta = 2.0 * pull - (v0 * v0 + v1 * v1 + v2 * v2)
    g1, g2, g3 = _anomaly(dt, r, per_r, rv, gm, beta)
    per_reached = 1.0 / (r + rv * g1 + (gm - beta * r) * g2)
    # Differences from the identity: what they multiply is small against the sum.
    f = -g2 * pull
    g = dt - gm * g3
    f_dot = -g1 * pull * per_reached
    g_dot = -g2 * gm * per_reached
    x[i, 0] = x0 + (f * x0 + g * v0)
    x[i, 1] = x1 + (f * x1 + g * v1)
    x[i, 2] = x2 + (f * x2 + g * v2)
    v[i, 0] = turn * (v0 + (f_dot * x0 + g_dot * v0))
    v[i, 1] = turn * (v1 + (f_dot * x1 + g_dot * v1))
    v[i, 2] = turn * (v2 + (f_dot * x2 + g_dot * v2))
