"""Kepler orbits: elements to position and velocity and back, ellipses and hyperbolas.

An orbit is a, e, inc, Omega, omega and the mean anomaly M, angles in radians. A hyperbola has e > 1
and a < 0; a parabola (e = 1) has no a and is refused.

*Anomalies.* Kepler's equation E - e sin E = M is solved by Newton's method from above: for
0 <= M <= pi the left side grows and is convex, so that from any point at or above the root the
iteration falls to it and cannot miss. Near e = 1 and E = 0 the difference E - e sin E cancels; it
is computed as (1 - e) E + e (E - sin E), the bracket by its series. A hyperbola likewise with
e sinh H - H = M.

*Angles that are not defined.* The node of an orbit in the reference plane is put on the x axis, and
the pericentre of a circle on its node. Near these the angles are ill-conditioned one by one, yet
not their sum: each is measured from the one before as it came out, so a round trip returns the
position and the velocity to round-off all the same.

Source: Murray & Dermott (1999), Solar System Dynamics, 2.3-2.8; Danby (1988), 6.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from simulation.engine.errors import BadRequest
from simulation.engine.scenarios import Bodies

FRAMES = ("heliocentric", "jacobi")
# Newton from above ends far sooner; at e = 1 - 1e-12 and M = 1e-15 it takes 12.
_ITERATIONS = 100
_SERIES_TERMS = 10


@dataclass(frozen=True)
class Elements:
    """Orbits as arrays of one shape (numbers broadcast), float64; angles in radians.

    ``a`` semi-major axis (negative for a hyperbola), ``e`` eccentricity, ``inc`` inclination in
    0 .. pi, ``Omega`` longitude of the ascending node, ``omega`` argument of pericentre, ``M`` mean
    anomaly (any real number for a hyperbola). Raises ``BadRequest`` for what is no orbit.
    """

    a: Any
    e: Any
    inc: Any = 0.0
    Omega: Any = 0.0
    omega: Any = 0.0
    M: Any = 0.0

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self)]
        given = [np.asarray(getattr(self, name), dtype=np.float64) for name in names]
        for name, values in zip(names, np.broadcast_arrays(*given), strict=True):
            if not np.all(np.isfinite(values)):
                raise BadRequest(f"The element {name} of an orbit must be finite.")
            object.__setattr__(self, name, values.copy())
        if np.any(self.e < 0.0):
            raise BadRequest("An eccentricity must not be negative.")
        if np.any(self.e == 1.0):
            raise BadRequest("A parabola (e = 1) has no semi-major axis; give an e beside 1.")
        if np.any((self.a > 0.0) != (self.e < 1.0)) or np.any(self.a == 0.0):
            raise BadRequest("An ellipse (e < 1) has a > 0, a hyperbola (e > 1) has a < 0.")
        if np.any((self.inc < 0.0) | (self.inc > np.pi)):
            raise BadRequest("An inclination lies between 0 and pi.")

    @classmethod
    def at_true_anomaly(
        cls, a: Any, e: Any, inc: Any = 0.0, Omega: Any = 0.0, omega: Any = 0.0, f: Any = 0.0
    ) -> Elements:
        """Return the orbits whose true anomaly is ``f``; a hyperbola's lies within its asymptotes.

        Raises ``BadRequest``.
        """
        return cls(a, e, inc, Omega, omega, mean_anomaly(e, f))

    @property
    def f(self) -> Any:
        """The true anomaly, -pi .. pi."""
        return true_anomaly(self.e, self.M)


def solve_kepler(e: Any, M: Any) -> np.ndarray:
    """Return E with E - e sin E = M (-pi <= E <= pi), or H with e sinh H - H = M where e > 1."""
    e, M = np.broadcast_arrays(np.asarray(e, np.float64), np.asarray(M, np.float64))
    bound = e < 1.0
    # A small M keeps its digits only if it is left alone.
    far = bound & (np.abs(M) > np.pi)
    turned = np.where(far, np.remainder(M + np.pi, 2.0 * np.pi) - np.pi, M)
    size = np.abs(turned)
    found = np.empty(e.shape)
    found[bound] = _elliptic(e[bound], size[bound])
    found[~bound] = _hyperbolic(e[~bound], size[~bound])
    return np.copysign(found, turned)


def true_anomaly(e: Any, M: Any) -> np.ndarray:
    """Return the true anomaly -pi .. pi of a mean anomaly. Murray & Dermott (1999), eq. 2.46."""
    e, M = np.broadcast_arrays(np.asarray(e, np.float64), np.asarray(M, np.float64))
    half = 0.5 * solve_kepler(e, M)
    ellipse = e < 1.0
    across = np.where(ellipse, np.sin(half), np.sinh(np.where(ellipse, 0.0, half)))
    along = np.where(ellipse, np.cos(half), np.cosh(np.where(ellipse, 0.0, half)))
    found = 2.0 * np.arctan2(np.sqrt(1.0 + e) * across, np.sqrt(np.abs(1.0 - e)) * along)
    return np.asarray(found)


def mean_anomaly(e: Any, f: Any) -> np.ndarray:
    """Return the mean anomaly of a true anomaly; ``BadRequest`` beyond a hyperbola's asymptotes."""
    e, f = np.broadcast_arrays(np.asarray(e, np.float64), np.asarray(f, np.float64))
    ellipse = e < 1.0
    if np.any(~ellipse & ~(1.0 + e * np.cos(f) > 0.0)):
        raise BadRequest("A true anomaly lies beyond the asymptotes of its hyperbola.")
    across = np.sqrt(np.abs(1.0 - e)) * np.sin(0.5 * f)
    along = np.sqrt(1.0 + e) * np.cos(0.5 * f)
    E = 2.0 * np.arctan2(across, along)
    H = 2.0 * np.arctanh(np.where(ellipse, 0.0, across / np.where(ellipse, 1.0, along)))
    closed = (1.0 - e) * E + e * _minus_sine(E)
    M = np.where(ellipse, closed, (e - 1.0) * H + e * _sinh_minus(H))
    return np.asarray(M)


def to_state(elements: Elements, mu: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return relative positions and velocities, each of the elements' shape + (3,).

    ``mu`` is G times the mass of both bodies, in the units of ``a``. Murray & Dermott (1999),
    eq. 2.41 and 2.122.
    """
    mu = _positive_mu(mu, elements.a.shape)
    a, e = elements.a, elements.e
    E = solve_kepler(e, elements.M)
    ellipse = e < 1.0
    H = np.where(ellipse, 0.0, E)
    cosine = np.where(ellipse, np.cos(E), np.cosh(H))
    sine = np.where(ellipse, np.sin(E), np.sinh(H))
    root = np.sqrt(np.abs(1.0 - e) * (1.0 + e))
    # a is negative on a hyperbola: |a| (e - cosh H) = a (cosh H - e).
    rest = _one_minus_cosine(E, ellipse)
    x, y = a * ((1.0 - e) - rest), np.abs(a) * root * sine
    r = a * ((1.0 - e) + e * rest)
    speed = np.sqrt(mu * np.abs(a)) / r
    vx, vy = -speed * sine, speed * root * cosine
    towards, across = _axes(elements)
    position = x[..., None] * towards + y[..., None] * across
    return position, vx[..., None] * towards + vy[..., None] * across


def from_state(position: Any, velocity: Any, mu: Any) -> Elements:
    """Return the orbits of relative positions and velocities (..., 3) about G m = ``mu``.

    Elements are right to round-off times their condition (1/|1 - e| for a, e and M). Raises
    ``BadRequest`` where there is no orbit: a fall along a line, a parabola. Murray & Dermott
    (1999), eq. 2.126-2.139.
    """
    position, velocity = np.asarray(position, np.float64), np.asarray(velocity, np.float64)
    mu = _positive_mu(mu, position.shape[:-1])
    h = np.cross(position, velocity)
    h_length = np.linalg.norm(h, axis=-1)
    r = np.linalg.norm(position, axis=-1)
    if not (np.all(np.isfinite(h_length)) and np.all(h_length > 0.0)):
        raise BadRequest(
            "A body that falls along a line, or stands still, has no orbital elements."
        )
    p = h_length**2 / mu
    outward = np.sum(position * velocity, axis=-1)
    e_cos, e_sin = p / r - 1.0, outward * h_length / (mu * r)
    e = np.hypot(e_cos, e_sin)
    inverse_a = 2.0 / r - np.sum(velocity**2, axis=-1) / mu
    if np.any(e == 1.0) or np.any((inverse_a > 0.0) != (e < 1.0)) or np.any(inverse_a == 0.0):
        raise BadRequest("An orbit is a parabola to round-off; it has no semi-major axis.")
    f = np.arctan2(e_sin, e_cos)
    in_plane = np.hypot(h[..., 0], h[..., 1])
    node = np.arctan2(np.where(in_plane > 0.0, h[..., 0], 0.0), np.where(in_plane, -h[..., 1], 1.0))
    line = np.stack([np.cos(node), np.sin(node), np.zeros_like(node)], axis=-1)
    ahead = np.cross(h / h_length[..., None], line)
    latitude = np.arctan2(np.sum(position * ahead, axis=-1), np.sum(position * line, axis=-1))
    M = mean_anomaly(e, f)
    M = np.where(e < 1.0, np.remainder(M, 2.0 * np.pi), M)
    return Elements(
        1.0 / inverse_a,
        e,
        np.arctan2(in_plane, h[..., 2]),
        np.remainder(node, 2.0 * np.pi),
        np.remainder(latitude - f, 2.0 * np.pi),
        M,
    )


def bodies_from_elements(
    names: Sequence[str], mass: Any, elements: Elements, *, frame: str = "heliocentric"
) -> Bodies:
    """Return a central body and those on orbits about it, N-body units, at rest as a whole.

    ``mass`` (N,) with the central body first; ``elements`` of N - 1 orbits. ``heliocentric`` orbits
    are about the central body with mu = m_0 + m_i, ``jacobi`` orbits about the centre of mass of
    all bodies before with mu = the sum of all masses up to and with i.
    """
    mass = np.asarray(mass, dtype=np.float64)
    elements_of_each = np.atleast_1d(elements.a)
    if len(names) != mass.size or mass.size != elements_of_each.size + 1:
        raise BadRequest(
            f"{len(names)} names, {mass.size} masses and {elements_of_each.size} orbits do not "
            "go together: one name and mass for each, and one orbit less."
        )
    at, moving = to_state(elements, _mu_of(mass, frame).reshape(elements.a.shape))
    at, moving = at.reshape(-1, 3), moving.reshape(-1, 3)
    position, velocity = np.zeros((mass.size, 3)), np.zeros((mass.size, 3))
    for whole, relative in ((position, at), (velocity, moving)):
        for i in range(1, mass.size):
            centre = whole[0] if frame == "heliocentric" else _mean(mass[:i], whole[:i])
            whole[i] = centre + relative[i - 1]
        whole -= _mean(mass, whole)
    return Bodies(tuple(names), mass, position, velocity)


def elements_of(bodies: Bodies, *, frame: str = "heliocentric") -> Elements:
    """Return the orbits (N - 1,) of all bodies but the first; what ``bodies_from_elements`` takes.

    Raises ``BadRequest`` where a body has none.
    """
    mass = bodies.mass
    if mass.size < 2:
        raise BadRequest("An orbit needs two bodies.")
    mu = _mu_of(mass, frame)
    relative = []
    for whole in (bodies.position, bodies.velocity):
        if frame == "heliocentric":
            relative.append(whole[1:] - whole[0])
        else:
            centres = [_mean(mass[:i], whole[:i]) for i in range(1, mass.size)]
            relative.append(whole[1:] - np.array(centres))
    return from_state(relative[0], relative[1], mu)


def find_body(names: Sequence[str], name: str) -> int:
    """Return the index of the body of that name, whatever its case; raise ``BadRequest``.

    The beginning of a name will do where only one body has it.
    """
    wanted = name.strip().casefold()
    folded = [known.casefold() for known in names]
    exact = [i for i, known in enumerate(folded) if known == wanted]
    close = [i for i, known in enumerate(folded) if wanted and known.startswith(wanted)]
    found = exact or close
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(names[i] for i in found[:10])
        raise BadRequest(f"More than one body is called {name!r}: {several}.")
    offered = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    raise BadRequest(f"There is no body {name!r}; there are {offered}.")


def _mu_of(mass: np.ndarray, frame: str) -> np.ndarray:
    if frame not in FRAMES:
        raise BadRequest(f"The frame of orbits is one of {', '.join(FRAMES)}, not {frame!r}.")
    if not (np.all(np.isfinite(mass)) and np.all(mass >= 0.0) and mass[0] > 0.0):
        raise BadRequest("Masses must be finite and not negative, the central one positive.")
    return np.cumsum(mass)[1:] if frame == "jacobi" else mass[0] + mass[1:]


def _mean(mass: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return np.asarray(mass @ vectors / np.sum(mass))


def _positive_mu(mu: Any, shape: tuple[int, ...]) -> np.ndarray:
    mu = np.asarray(mu, dtype=np.float64)
    if not (np.all(np.isfinite(mu)) and np.all(mu > 0.0)):
        raise BadRequest("G times the mass that an orbit is about must be positive and finite.")
    return np.broadcast_to(mu, shape)


def _axes(elements: Elements) -> tuple[np.ndarray, np.ndarray]:
    """Return the unit vectors to pericentre and 90 degrees ahead; Murray & Dermott eq. 2.119."""
    cos_node, sin_node = np.cos(elements.Omega), np.sin(elements.Omega)
    cos_peri, sin_peri = np.cos(elements.omega), np.sin(elements.omega)
    cos_inc, sin_inc = np.cos(elements.inc), np.sin(elements.inc)
    towards = [
        cos_node * cos_peri - sin_node * sin_peri * cos_inc,
        sin_node * cos_peri + cos_node * sin_peri * cos_inc,
        sin_peri * sin_inc,
    ]
    across = [
        -cos_node * sin_peri - sin_node * cos_peri * cos_inc,
        -sin_node * sin_peri + cos_node * cos_peri * cos_inc,
        cos_peri * sin_inc,
    ]
    return np.stack(towards, axis=-1), np.stack(across, axis=-1)


def _elliptic(e: np.ndarray, M: np.ndarray) -> np.ndarray:
    """Return E of 0 <= M <= pi."""
    # Each is at or above the root, the last because E - sin E >= E^3 / pi^2 up to pi.
    above = np.minimum(np.minimum(M + e, M / (1.0 - e)), np.pi)
    E = np.minimum(above, np.cbrt(np.pi**2 * M / np.maximum(e, 1e-16)))
    return _descend(
        E,
        lambda x: (1.0 - e) * x + e * _minus_sine(x) - M,
        lambda x: (1.0 - e) + 2.0 * e * np.sin(0.5 * x) ** 2,
    )


def _hyperbolic(e: np.ndarray, M: np.ndarray) -> np.ndarray:
    """Return H of M >= 0."""
    # At or above the root, for sinh H - H >= H^3/6; and sinh H = (M + H)/e turns one bound into
    # another that is close for large M.
    with np.errstate(over="ignore"):  # close to a parabola the second is no bound
        H = np.minimum(np.cbrt(6.0 * M / e), M / (e - 1.0))
    for _ in range(2):
        H = np.minimum(H, np.arcsinh((M + H) / e))
    return _descend(
        H,
        lambda x: (e - 1.0) * x + e * _sinh_minus(x) - M,
        lambda x: (e - 1.0) + 2.0 * e * np.sinh(0.5 * x) ** 2,
    )


def _descend(
    x: np.ndarray,
    value: Callable[[np.ndarray], np.ndarray],
    slope: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Newton's method from above on a convex, growing function: falls until rounding stops it."""
    for _ in range(_ITERATIONS):
        step = value(x) / slope(x)
        lower = x - np.maximum(step, 0.0)
        if np.array_equal(lower, x):
            break
        x = lower
    return x


def _series(x: np.ndarray, sign: float) -> np.ndarray:
    """Return |x^3/3! + sign x^5/5! + ...| by Horner, for |x| < 1."""
    x2 = x * x
    total = np.ones_like(x)
    for k in range(_SERIES_TERMS, 0, -1):
        total = 1.0 + sign * x2 / ((2 * k + 2) * (2 * k + 3)) * total
    return np.asarray(x * x2 / 6.0 * total)


def _minus_sine(x: np.ndarray) -> np.ndarray:
    """Return x - sin x without cancellation."""
    small = np.abs(x) < 1.0
    return np.where(small, _series(np.where(small, x, 0.0), -1.0), x - np.sin(x))


def _sinh_minus(x: np.ndarray) -> np.ndarray:
    """Return sinh x - x without cancellation."""
    small = np.abs(x) < 1.0
    return np.where(small, _series(np.where(small, x, 0.0), 1.0), np.sinh(x) - x)


def _one_minus_cosine(E: np.ndarray, ellipse: np.ndarray) -> np.ndarray:
    """Return 1 - cos E, or 1 - cosh E of a hyperbola, without cancellation."""
    half = 0.5 * E
    closed = 2.0 * np.sin(half) ** 2
    return np.where(ellipse, closed, -2.0 * np.sinh(np.where(ellipse, 0.0, half)) ** 2)
