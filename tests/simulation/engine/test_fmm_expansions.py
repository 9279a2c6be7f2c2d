"""The expansions of the fast multipole method against derivatives taken another way."""

import math
from functools import cache

import mpmath
import numpy as np
import pytest

from simulation.engine.fmm import PRESETS, far, lanes, passes
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
            fields = np.zeros((2, len(terms)))
            passes.far_fields(
                order,
                0,
                1,
                np.array([0, 1, 1]),
                np.array([1] + [2] * 16, np.int32),
                rows.ravel(),
                centre.ravel(),
                2,
                softening2,
                tables(order).degree,
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
    def test_powers_are_those_over_factorials(self, order):
        table = tables(order)
        # A lane never sees another.
        ways = np.outer((0.7, -1.3, 0.9), np.linspace(-1.0, 1.4, lanes.LANES))
        found = np.empty((table.terms, lanes.LANES))
        passes.powers_of(ways, table.step, table.share, found)
        for t, row in zip(far.indices(order), found, strict=True):
            for d, value in zip(ways.T, row, strict=True):
                exact = math.prod(x**k / math.factorial(k) for x, k in zip(d, t, strict=True))
                assert value == pytest.approx(exact, rel=1e-14)

    @pytest.mark.parametrize("order", sorted({preset.order for preset in PRESETS.values()}))
    def test_shifts_and_slopes_are_complete(self, order):
        table, terms = tables(order), far.indices(order)
        assert len(set(terms)) == len(terms) == math.comb(order + 3, 3)
        shifts = {tuple(terms[i] for i in row) for row in table.shift}
        assert len(shifts) == len(table.shift) == math.comb(order + 6, 6)
        assert all(_add(k, rest) == n for n, k, rest in shifts)
        slopes = [[terms[i] for i in row] for row in table.slope]
        assert [row[0] for row in slopes] == [t for t in terms if sum(t) < order]
        for t, *raised in slopes:
            assert raised == [_add(t, e) for e in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]


def _add(left, right):
    return tuple(i + k for i, k in zip(left, right, strict=True))
