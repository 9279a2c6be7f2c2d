# mypy: disable-error-code="no-untyped-def"
# Numba infers the types of kernels; the docstrings state shapes and types.
"""Forces in a periodic box: those of all images of every body.

A body feels the nearest image of every other body by Newton's law, and all other images
together with the uniform background that makes the sum finite by a correction, Ewald's sum less the
nearest image's 1/r:

    u(x) = 1/r + psi(x),
    psi = - erf(a r)/r + sum_(n != 0) erfc(a |x-n|)/|x-n| - pi/a^2
          + (1/pi) sum_(h != 0) exp(-pi^2 h^2/a^2) cos(2 pi h.x)/h^2      (L = 1, a = 2)

The difference to the nearest image, x - L rint(x/L), is exact and odd. psi is even in each
coordinate, is tabulated on |x| and interpolated by cubic B-splines; the force is the gradient of
the interpolant, so that it has a potential, and its sign is that of the coordinate: odd by
construction, and momentum stays exact. On a face, half a box away, the pulls of both sides cancel,
and the component is set to 0: what a body feels from either side differs there by the table's
error alone (2e-5 of m/L^2). Softening is that of all images: were the nearest softened alone, its
pull would jump on the faces by 3 eps^2/r^4, and the energy with it; psi takes in the difference
1/sqrt(r^2 + eps^2) - 1/r of the images up to six boxes away, the same at the origin taken off, and
an integral over those beyond.

*The table* must be the same on every machine, or digests would differ: it is computed by +, -, *,
/ and square roots alone, in one order, with an exponential of its own, and rounded to 2^-44. The
coefficients are those of the quasi-interpolant f - (second difference)/6 along each axis, of fourth
order. Cosines at nodes i/64 are 64 numbers.

Cost: some 200 operations a pair, O(N^2). Sources: Hernquist, Bouchet & Suto (1991), ApJS 75, 231,
eq. 2.14; de Boor (2001), A Practical Guide to Splines, XII (quasi-interpolants).
"""

from __future__ import annotations

from functools import cache, cached_property

import numba as nb
import numpy as np

from simulation.engine.arithmetic import ROUNDER, ROUNDER_BITS, bits_of, fma, kernel
from simulation.engine.forces import Kick
from simulation.engine.forces.direct import PairSummation

# Cells of the table from 0 to L/2, and nodes that the quasi-interpolant needs beyond either end.
CELLS = 32
_BEYOND = 2
_ALPHA = 2.0
_IMAGES = 3
_SOFTENED = 6
_FACE = 1.4679320597172214  # the integral of (1 + y^2 + z^2)^(-5/2) over -1 < y, z < 1
_WAVES2 = 16
_TABLE_BITS = 44
# |grad psi| L^2 and |psi| L stay below these on the cube of nearest images.
_GRADIENT_MAX, POTENTIAL_MAX = 4.5, 3.0
_LN2 = 0.6931471805599453
_ROOT_PI = 1.7724538509055159


@kernel
def _exponential(x):
    """Return exp(-x) for x >= 0 by 2^-k and Taylor's series; no library function."""
    k = nb.int64(x / _LN2)
    if k > 1000:
        return 0.0
    rest = x - k * _LN2
    total = 1.0
    for i in range(24, 0, -1):
        total = 1.0 - rest / i * total
    for _ in range(k):
        total *= 0.5
    return total


@kernel
def _erf_over(z):
    """Return erf(z)/z: 2/sqrt(pi) exp(-z^2) sum 2^n z^2n / (2n+1)!!, all terms positive."""
    z2 = z * z
    term = 1.0
    total = 1.0
    for n in range(1, 200):
        term *= 2.0 * z2 / (2 * n + 1)
        total += term
    return 2.0 / _ROOT_PI * _exponential(z2) * total


@kernel
def _cosines():
    """Return cos(2 pi k / (2 CELLS)), k = 0 .. 2 CELLS - 1, by half angles and rotation."""
    c = 0.0
    s = 1.0
    steps = 4
    while steps < 2 * CELLS:
        s = np.sqrt((1.0 - c) / 2.0)
        c = np.sqrt((1.0 + c) / 2.0)
        steps *= 2
    table = np.empty(2 * CELLS)
    x = 1.0
    y = 0.0
    for k in range(2 * CELLS):
        table[k] = x
        x, y = x * c - y * s, x * s + y * c
    return table


@kernel
def _near_images(x, y, z):
    """Return the part of psi that is summed over bodies: -erf(a r)/r and the erfc of images."""
    total = 0.0
    for a in range(-_IMAGES, _IMAGES + 1):
        for b in range(-_IMAGES, _IMAGES + 1):
            for c in range(-_IMAGES, _IMAGES + 1):
                r = np.sqrt((x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c))
                if a == 0 and b == 0 and c == 0:
                    total -= _ALPHA * _erf_over(_ALPHA * r)
                elif _ALPHA * r < 6.0:
                    total += 1.0 / r - _ALPHA * _erf_over(_ALPHA * r)
    return total


@kernel
def _psi(i, j, k, softening2, cosines):
    """Return psi at the node (i, j, k) / (2 CELLS), L = 1, all images softened."""
    spacing = 0.5 / CELLS
    total = _near_images(i * spacing, j * spacing, k * spacing) - np.pi / (_ALPHA * _ALPHA)
    for a in range(-4, 5):
        for b in range(-4, 5):
            for c in range(-4, 5):
                h2 = a * a + b * b + c * c
                if 0 < h2 <= _WAVES2:
                    weight = _exponential(np.pi * np.pi * h2 / (_ALPHA * _ALPHA)) / (np.pi * h2)
                    total += weight * cosines[(a * i + b * j + c * k) % (2 * CELLS)]
    if softening2 > 0.0:
        total += _softened_images(i * spacing, j * spacing, k * spacing, softening2)
    return total


@kernel
def _softened_images(x, y, z, softening2):
    """Return what softening takes from the images n != 0, less the same at the origin."""
    total = 0.0
    for a in range(-_SOFTENED, _SOFTENED + 1):
        for b in range(-_SOFTENED, _SOFTENED + 1):
            for c in range(-_SOFTENED, _SOFTENED + 1):
                n2 = float(a * a + b * b + c * c)
                if n2 > 0.0:
                    r2 = (x - a) * (x - a) + (y - b) * (y - b) + (z - c) * (z - c)
                    total += 1.0 / np.sqrt(r2 + softening2) - 1.0 / np.sqrt(r2)
                    total -= 1.0 / np.sqrt(n2 + softening2) - 1.0 / np.sqrt(n2)
    # The images beyond: -eps^2/2 (1/|x-n|^3 - 1/|n|^3), integrated outside the cube of half side
    # 6.5; what is left of it is x^2/6 times the flux of grad r^-3 through the cube's faces.
    outside = _SOFTENED + 0.5
    return total - softening2 * 1.5 * _FACE / (outside * outside) * (x * x + y * y + z * z)


@kernel
def _nodes(count, softening2):
    """Return psi (count, count, count) at nodes 0 .. count - 1; each of six equal ones once."""
    cosines = _cosines()
    found = np.empty((count, count, count))
    for i in range(count):
        for j in range(i + 1):
            for k in range(j + 1):
                value = _psi(i, j, k, softening2, cosines)
                found[i, j, k] = value
                found[i, k, j] = value
                found[j, i, k] = value
                found[j, k, i] = value
                found[k, i, j] = value
                found[k, j, i] = value
    return found


@cache
def ewald_table(softening: float = 0.0) -> np.ndarray:
    """Return the B-spline coefficients (CELLS + 3,) * 3 of psi; entry [0] belongs to node -1.

    ``softening`` in units of the box. Computed once a process, in one to three seconds; the same
    bits on every machine.
    """
    half = _nodes(CELLS + 1 + _BEYOND, softening * softening)
    mirror = np.abs(np.arange(-_BEYOND, CELLS + 1 + _BEYOND))
    values = half[np.ix_(mirror, mirror, mirror)]
    for axis in range(3):
        values = np.moveaxis(values, axis, 0)
        middle = values[1:-1]
        values = middle - (values[2:] - 2.0 * middle + values[:-2]) / 6.0
        values = np.moveaxis(values, 0, axis)
    scale = 2.0**_TABLE_BITS
    return np.ascontiguousarray(np.rint(values * scale) / scale)


@kernel
def _weights(t, value, slope):
    """Write the weights (4,) of a cubic B-spline and of its derivative at t in 0 .. 1."""
    s = 1.0 - t
    value[0] = s * s * s / 6.0
    value[1] = (t * t * (3.0 * t - 6.0) + 4.0) / 6.0
    value[2] = (s * s * (3.0 * s - 6.0) + 4.0) / 6.0
    value[3] = t * t * t / 6.0
    slope[0] = -0.5 * s * s
    slope[1] = t * (1.5 * t - 2.0)
    slope[2] = s * (2.0 - 1.5 * s)
    slope[3] = 0.5 * t * t


@kernel
def interpolate(dx, dy, dz, table, weight, slope, found):
    """Write psi and its gradient (4,) at (dx, dy, dz) in -1/2 .. 1/2, L = 1. Odd to the bit.

    ``weight``, ``slope`` (3, 4) are scratch.
    """
    cell = np.empty(3, np.int64)
    for a in range(3):
        size = np.abs(dx if a == 0 else (dy if a == 1 else dz)) * (2.0 * CELLS)
        cell[a] = min(nb.int64(size), CELLS - 1)
        _weights(size - cell[a], weight[a], slope[a])
    psi = 0.0
    gx = 0.0
    gy = 0.0
    gz = 0.0
    for i in range(4):
        for j in range(4):
            along = 0.0
            change = 0.0
            for k in range(4):
                c = table[cell[0] + i, cell[1] + j, cell[2] + k]
                along += weight[2, k] * c
                change += slope[2, k] * c
            both = weight[0, i] * weight[1, j]
            psi += both * along
            gx += slope[0, i] * weight[1, j] * along
            gy += weight[0, i] * slope[1, j] * along
            gz += both * change
    found[0] = psi
    # The sign is 0 at 0, where rounding may leave a little of what cancels.
    found[1] = 2.0 * CELLS * np.sign(dx) * gx
    found[2] = 2.0 * CELLS * np.sign(dy) * gy
    found[3] = 2.0 * CELLS * np.sign(dz) * gz


@kernel
def _add_pair(bodies, law, box, table, i, j, scratch, partial, ledger):
    """Add what two bodies and all their images do to each other; return the bits seen."""
    x, sink, source = bodies
    softening2, per_charge = law
    weight, slope, found, d = scratch
    inverse_box = 1.0 / box
    for a in range(3):
        d[a] = x[a, j] - x[a, i]
        d[a] -= box * np.rint(d[a] * inverse_box)
    interpolate(
        d[0] * inverse_box, d[1] * inverse_box, d[2] * inverse_box, table, weight, slope, found
    )
    r2 = fma(d[0], d[0], fma(d[1], d[1], fma(d[2], d[2], softening2)))
    inverse = 1.0 / np.sqrt(r2)
    inverse2 = inverse * inverse
    # Both kicks of two bodies with mass are opposite integers; without mass one pulls nobody.
    mutual = source[i] > 0.0 and source[j] > 0.0
    seen = nb.int64(0)
    for way in range(1 if mutual else 2):
        at, other, sign = (j, i, -1.0) if way else (i, j, 1.0)
        cc = sink[at] * source[other]
        w = cc * inverse * inverse2
        far = cc * inverse_box * inverse_box
        for a in range(3):
            if 2.0 * np.abs(d[a]) != box:
                pull = sign * fma(w, d[a], -(far * found[a + 1]))
                kick = bits_of(pull + ROUNDER) - ROUNDER_BITS
                partial[a, at] += kick
                if mutual:
                    partial[a, other] -= kick
        u = cc * fma(found[0], inverse_box, inverse) * per_charge
        potential = bits_of(u + ROUNDER) - ROUNDER_BITS
        partial[3, at] += potential
        ledger[0] += potential
        if mutual:
            partial[3, other] += potential
            ledger[0] += potential
        # At least the size of each component, and of the potential.
        seen |= bits_of(fma(cc, inverse2, far * _GRADIENT_MAX) + ROUNDER)
        seen |= bits_of(np.abs(u) + ROUNDER)
    return seen


@kernel
def add_periodic_tiles(
    x, sink, source, softening2, per_charge, pair_bits, tiles, box, table, partial, ledger
):
    """Do what ``tiles.add_tiles`` does, which see, in a periodic box; ``box`` is the side L, a
    power of two, ``table`` from ``ewald_table``.
    """
    scratch = np.empty((3, 4)), np.empty((3, 4)), np.empty(4), np.empty(3)
    bodies, law = (x, sink, source), (softening2, per_charge)
    seen = nb.int64(0)
    for t in range(tiles.shape[0]):
        first, last, begin, end = tiles[t, 0], tiles[t, 1], tiles[t, 2], tiles[t, 3]
        for i in range(first, last):
            for j in range(i + 1 if first == begin else begin, end):
                seen |= _add_pair(bodies, law, box, table, i, j, scratch, partial, ledger)
    return (seen & ~nb.int64(ROUNDER_BITS)) >> pair_bits == 0


class PeriodicSummation(PairSummation):
    """The exact sum over all pairs and all their images; each pair is computed once."""

    def __init__(self, box: float, softening_tu: float, threads: int = 1) -> None:
        """Take the side of the box in length units, a power of two, and the softening."""
        super().__init__(threads)
        self.box = box
        self._softening = softening_tu / box

    @cached_property
    def _table(self) -> np.ndarray:
        return ewald_table(self._softening)

    def add_tiles(
        self, x: np.ndarray, kick: Kick, tiles: np.ndarray, total: np.ndarray, ledger: np.ndarray
    ) -> bool:
        """Add tiles; see ``PairSummation``."""
        return bool(
            add_periodic_tiles(
                x,
                kick.sink,
                kick.source,
                kick.softening2,
                kick.potential_per_charge,
                kick.pair_bits,
                tiles,
                self.box,
                self._table,
                total,
                ledger,
            )
        )
