"""The expansions of the fast multipole method against derivatives taken another way."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest

from simulation.engine.fmm import PRESETS, far, moves, passes
from simulation.engine.fmm.tables import tables


@cache
def taylor_of_the_potential(order, softening2, offset):
    """Return the derivatives of (r^2 + softening2)^(-1/2) at an offset, by multi-index.

    By multiplying out the binomial series of (s^2 + 2 x.d + d^2)^(-1/2) in 30 digits: no recursion.
    """
    with mpmath.workdps(30):
        s2 = sum(mpmath.mpf(c) ** 2 for c in offset) + mpmath.mpf(softening2)
        small = {}  # (2 x.d + d^2)/s^2 as a polynomial in d
        for axis in range(3):
            unit = tuple(int(i == axis) for i in range(3))
            small[unit] = 2 * mpmath.mpf(offset[axis]) / s2
            small[tuple(2 * i for i in unit)] = 1 / s2
        series, power = {}, {(0, 0, 0): mpmath.mpf(1)}
        for j in range(order + 1):
            weight = mpmath.binomial(mpmath.mpf(-1) / 2, j) / mpmath.sqrt(s2)
            for index, value in power.items():
                series[index] = series.get(index, 0) + weight * value
            product = {}
            for left, a in power.items():
                for right, b in small.items():
                    index = tuple(i + k for i, k in zip(left, right, strict=True))
                    if sum(index) <= order:
                        product[index] = product.get(index, 0) + a * b
            power = product
        return {
            index: float(value * math.prod(math.factorial(i) for i in index))
            for index, value in series.items()
        }


class TestExpansions:
    """Every constant of an expansion by itself: in the forces the small terms hide in the error."""

    @pytest.mark.parametrize("order", sorted({preset.order for preset in PRESETS.values()}))
    def test_far_fields_are_the_derivatives_of_the_potential(self, order):
        """One cell with one multipole acts on one other: L_n = (-1)^|m| M_m T_(n+m)."""
        terms, kept = far.indices(order), far.stored(order)
        length, softening2, offset = far.row_length(order), 0.25, (0.9, -0.7, 0.6)
        derivative = taylor_of_the_potential(order, softening2, offset)
        scale = [
            max(abs(v) for k, v in derivative.items() if sum(k) == d) for d in range(order + 1)
        ]
        # Cell 0 is the sink, cell 1 the source, cell 2 the empty one.
        centre = np.zeros((3, 4))
        centre[0, :3] = offset
        centre[:, 3] = 0.5, 0.25, 1.0
        for column, m in enumerate(kept):
            rows = np.zeros((3, length), np.float32)
            rows[1, column] = 4.0 ** sum(m)  # in units of the cell's size
            fields = np.full((2, len(terms)), np.nan)
            passes.far_fields(
                order,
                0,
                2,
                np.array([0, 1]),
                np.array([0, 1, 1]),
                np.array([1] + [2] * 16, np.int32),
                rows.ravel(),
                centre.ravel(),
                2,
                softening2,
                fields,
            )
            for n, found in zip(terms, fields[0], strict=True):
                if sum(n) + sum(m) > order:
                    assert found == 0.0
                    continue
                expected = (-1) ** sum(m) * derivative.get(_add(n, m), 0.0)
                # Single precision, in units of the largest derivative of the degree.
                assert abs(found - expected) <= 4e-6 * scale[sum(n) + sum(m)]
            assert not np.any(fields[1])

    @pytest.mark.parametrize("order", sorted({preset.order for preset in PRESETS.values()}))
    def test_moments_of_bodies_are_their_powers_over_factorials(self, order):
        """One body at a time: of a leaf's nineteen each takes its turn to weigh something."""
        tree = Tree(order)
        for body in range(tree.bodies):
            weight = np.zeros(tree.bodies + moves.LANES)
            weight[body] = 0.75
            # What is read beyond the leaf is somebody else's.
            weight[tree.bodies :] = 3.0
            moments, rows = tree.moments(weight)
            leaf, way = tree.leaf_of(body), tree.way_of(body, tree.leaf_of(body))
            for n, found in zip(far.indices(order), moments[leaf], strict=True):
                assert found == pytest.approx(0.75 * _power(way, n), rel=1e-13, abs=0.0)
            kept = [far.indices(order).index(n) for n in far.stored(order)]
            units = [0.5 ** sum(n) for n in far.stored(order)]
            assert np.allclose(rows[leaf, : len(kept)], moments[leaf, kept] * units, rtol=1e-6)
            assert not np.any(moments[[c for c in tree.leaves if c != leaf]])

    @pytest.mark.parametrize("order", sorted({preset.order for preset in PRESETS.values()}))
    def test_moments_of_a_cell_are_those_of_its_bodies(self, order):
        tree = Tree(order)
        for body in range(tree.bodies):
            weight = np.zeros(tree.bodies + moves.LANES)
            weight[body] = 0.75
            moments, rows = tree.moments(weight)
            exact = [0.75 * _power(tree.way_of(body, 0), n) for n in far.indices(order)]
            scale = np.max(np.abs(exact))
            assert np.allclose(moments[0], exact, rtol=1e-12, atol=1e-14 * scale)
            assert not np.any(moments[-1])
            assert not np.any(rows[-1])

    @pytest.mark.parametrize("order", sorted({preset.order for preset in PRESETS.values()}))
    def test_fields_are_let_down_to_the_bodies_term_by_term(self, order):
        """A field of one term at the root is that polynomial at every body, and its slopes."""
        tree, terms = Tree(order), far.indices(order)
        for at, n in enumerate(terms):
            fields = np.zeros((tree.cells, len(terms)))
            fields[0, at] = 1.0
            kicks = tree.kicks(fields)
            for body in range(tree.bodies):
                way = tree.way_of(body, 0)
                exact = [
                    _power(way, _add(n, [-(i == axis) for i in range(3)])) for axis in range(3)
                ]
                exact.append(_power(way, n))
                assert np.allclose(kicks[:, body], np.multiply(exact, 2.0**50), rtol=1e-9, atol=64)

    @pytest.mark.parametrize("order", sorted({preset.order for preset in PRESETS.values()}))
    def test_terms_are_complete(self, order):
        terms = far.indices(order)
        assert len(set(terms)) == len(terms) == math.comb(order + 3, 3)
        assert len(terms) % moves.LANES == 0


class Tree:
    """A root with three leaves, of nineteen, eight and one bodies: every kind of vector."""

    bodies, cells, leaves = 28, 4, (1, 2, 3)

    def __init__(self, order):
        self.order = order
        random = np.random.default_rng(order)
        self.first = np.array([0, 0, 19, 27], np.int32)
        self.last = np.array([28, 19, 27, 28], np.int32)
        self.child = np.array([1, 0, 0, 0], np.int32)
        self.children = np.array([3, 0, 0, 0], np.int32)
        self.x = random.uniform(-1.0, 1.0, (3, self.bodies + moves.LANES))
        self.centre = random.uniform(-0.5, 0.5, (self.cells + 1, 4))
        self.centre[:, 3] = 2.0

    def leaf_of(self, body):
        return next(c for c in self.leaves if self.first[c] <= body < self.last[c])

    def way_of(self, body, c):
        return self.x[:, body] - self.centre[c, :3]

    def moments(self, weight):
        """Return the moments and the rows of all cells and an empty one; NaN before."""
        table = tables(self.order)
        moments = np.full((self.cells + 1, table.terms), np.nan)
        rows = np.full((self.cells + 1, far.row_length(self.order)), np.nan, np.float32)
        passes.moments_of_leaves(
            self.order,
            0,
            self.cells,
            self.first,
            self.last,
            self.children,
            self.x,
            weight,
            self.centre,
            table.kept,
            table.degree,
            moments,
            rows,
        )
        passes.moments_upward(
            self.order,
            self.cells,
            self.child,
            self.children,
            self.centre,
            table.kept,
            table.degree,
            moments,
            rows,
        )
        return moments, rows

    def kicks(self, fields):
        """Return kicks and potentials (4, N) in quanta of 2^-50."""
        found = np.zeros((4, self.bodies), np.int64)
        passes.fields_downward(
            self.order, self.cells, self.child, self.children, self.centre, fields
        )
        within = passes.kicks_of_leaves(
            self.order,
            0,
            self.cells,
            self.first,
            self.last,
            self.children,
            self.x,
            np.full(self.bodies, 2.0**50),
            self.centre,
            fields,
            1.0,
            found[:3],
            found[3],
        )
        assert within
        return found


def _power(way, n):
    """Return d^n / n!; 0 where an exponent is below 0."""
    if min(n) < 0:
        return 0.0
    return math.prod(x**k / math.factorial(k) for x, k in zip(way, n, strict=True))


def _add(left, right):
    return tuple(i + k for i, k in zip(left, right, strict=True))
