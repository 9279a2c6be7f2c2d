"""Pairs in vectors: the integers of one pair at a time, whatever the width and the blocks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import mpmath
import numba as nb
import numpy as np
import pytest

from simulation.engine.arithmetic import ROUNDER_BITS
from simulation.engine.forces import Kick
from simulation.engine.forces.direct import FEW, DirectSummation, pair_kicks
from simulation.engine.forces.pairs import (
    AWAY,
    COLUMNS,
    FEW_SINKS,
    PADDING,
    SINGLE_AWAY,
    SINKS,
    inverse_root,
    make_rows,
)
from simulation.engine.forces.tiles import may_leave_range
from simulation.engine.forces.vectors import SINGLE, SINGLE_ROUNDER_BITS


def cloud(bodies: int, massless: str = "none") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(bodies)
    x = np.ascontiguousarray(random.normal(size=(3, bodies)))
    sink = random.uniform(0.5, 2.0, bodies) * 2.0**16
    source = sink.copy()
    source[{"none": [], "first": [0], "last": [-1], "some": slice(3, None, 7)}[massless]] = 0.0
    return x, sink, source


def one_by_one(x, sink, source, softening2):
    bodies = sink.size
    kicks, potentials = np.empty((3, bodies), np.int64), np.empty(bodies, np.int64)
    assert pair_kicks(x, sink, source, softening2, 0.5, 51, 0, bodies, kicks, potentials)
    return kicks, potentials


@pytest.mark.parametrize("massless", ["none", "first", "last", "some"])
@pytest.mark.parametrize("softening2", [0.0, 1e-4])
@pytest.mark.parametrize("bodies", [FEW - 1, FEW, FEW + 1, 611])
def test_blocks_give_the_integers_of_single_pairs(bodies, softening2, massless):
    x, sink, source = cloud(bodies, massless)
    expected, expected_u = one_by_one(x, sink, source, softening2)
    for threads in (1, 3):
        kicks, potentials = np.empty_like(expected), np.empty_like(expected_u)
        force = DirectSummation(threads)
        kick = Kick(sink, source, softening2, 0.5, 51)
        assert force.evaluate(x, kick, kicks, potentials).within
        np.testing.assert_array_equal(kicks, expected)
        np.testing.assert_array_equal(potentials, expected_u)
        # Potentials are left out on request: nothing else changes.
        force.evaluate(x, replace(kick, potential_per_charge=0.0), kicks, potentials)
        np.testing.assert_array_equal(kicks, expected)
        assert not np.any(potentials)


@pytest.mark.parametrize(("lanes", "feeling"), [(2, SINKS), (4, FEW_SINKS), (8, SINKS)])
def test_the_width_of_the_vectors_changes_nothing(lanes, feeling):
    rows = make_rows(both=True, feeling=feeling, lanes=lanes)
    # What the sums hold of all sinks, modulo 2^64.
    rounders = np.array([feeling * ROUNDER_BITS % 2**64], np.uint64).view(np.int64)

    @nb.njit(error_model="numpy")
    def run(near, sums, inverse, many, sinks, per_charge, watched, given):
        return rows(near, sums, inverse, 0, many, sinks, 1e-4, per_charge, watched, given)

    cases = itertools.product((1, 7, 8, 9, 40, 101), (0.5, 0.0), (True, False))
    for sources, per_charge, watched in cases:
        x, sink, _ = cloud(sources + feeling)
        near = np.zeros((4, sources + PADDING))
        near[0] = AWAY
        near[:3, :sources], near[3, :sources] = x[:, feeling:], sink[feeling:]
        sums, given = np.zeros((4, sources + PADDING), np.int64), np.empty((SINKS, 4), np.int64)
        sinks = np.ascontiguousarray(np.vstack([x[:, :feeling], sink[:feeling]]).T)
        scratch = np.empty((SINKS, COLUMNS + PADDING))
        seen = run(near, sums, scratch, sources, sinks, per_charge, watched, given)
        assert (seen != 0) == watched

        for one in range(feeling):
            # A row does not bring its sinks together.
            kept = np.r_[one, feeling : feeling + sources]
            alone = np.ascontiguousarray(x[:, kept])
            kicks, potentials = one_by_one(alone, sink[kept], sink[kept], 1e-4)
            potential = potentials[0] if per_charge else 0
            np.testing.assert_array_equal(given[one], [*kicks[:, 0], potential])
        pulled = sums[:3, :sources] + rounders
        np.testing.assert_array_equal(pulled.sum(axis=1), -given[:feeling, :3].sum(axis=0))
        assert (sums[3, :sources] - rounders).sum() == given[:feeling, 3].sum()


def test_single_precision_gives_the_same_integers_at_any_width():
    rounders = np.int32(FEW_SINKS * SINGLE_ROUNDER_BITS - 2**32)
    for sources in (1, 8, 101):
        random = np.random.default_rng(sources)
        near = np.zeros((4, sources + PADDING), np.float32)
        near[:, :sources] = random.normal(size=(4, sources))
        near[3, :sources] = 2.0**11 * random.uniform(0.5, 1.0, sources)
        near[0, sources:] = SINGLE_AWAY
        sinks = random.normal(size=(SINKS, 4)).astype(np.float32)
        sinks[:, 3] = 2.0**11
        found = []
        for lanes in (4, 8, 16):
            sums = np.zeros((4, sources + PADDING), np.int32)
            given = np.empty((SINKS, 4), np.int32)
            single_row(lanes)(near, sums, sources, sinks, given)
            found.append((given[:FEW_SINKS].T, sums[:3, :sources] + rounders))
        given, pulled = found[1]
        for other in found:
            np.testing.assert_array_equal(other[0], given)
            np.testing.assert_array_equal(other[1], pulled)
        np.testing.assert_array_equal(pulled.sum(axis=1), -given[:3].sum(axis=1))

        away = near[:3, :sources, None] - sinks[:FEW_SINKS, :3].T[:, None].astype(np.float64)
        r2 = (away**2).sum(axis=0) + 1.0
        cc = 2.0**11 * near[3, :sources, None]
        expected = np.array([*(cc * away / r2**1.5), 0.5 * cc / np.sqrt(r2)])
        # Half a quantum a pair, and the last bits of single precision.
        allowed = 0.5 + 4e-7 * np.abs(expected)
        assert np.all(np.abs(given - expected.sum(axis=1)) <= allowed.sum(axis=1))
        assert np.all(np.abs(pulled + expected[:3].sum(axis=2)) <= allowed[:3].sum(axis=2))


def single_row(lanes):
    rows = make_rows(both=True, feeling=FEW_SINKS, lanes=lanes, precision=SINGLE)

    @nb.njit(error_model="numpy")
    def run(near, sums, many, sinks, given):
        scratch = np.empty((SINKS, COLUMNS + PADDING), np.float32)
        rows(near, sums, scratch, 0, many, sinks, np.float32(1.0), np.float32(0.5), False, given)

    return run


def test_inverse_roots_are_those_of_the_reals_at_every_size():
    @nb.njit(error_model="numpy")
    def roots(some):
        return np.array([inverse_root(a) for a in some])

    random = np.random.default_rng(0)
    some = np.ldexp(random.uniform(1.0, 4.0, 20_000), random.integers(-1022, 1020, 20_000))
    found = roots(some)
    with mpmath.workprec(120):
        for a, y in zip(some[:2000], found[:2000], strict=True):
            exact = 1 / mpmath.sqrt(mpmath.mpf(float(a)))
            assert abs(mpmath.mpf(float(y)) - exact) <= float(np.spacing(y))
    # The rest against two roundings of the processor's.
    np.testing.assert_array_max_ulp(found, 1.0 / np.sqrt(some), maxulp=2)


@pytest.mark.parametrize("bodies", [FEW - 1, FEW, FEW + 45])
def test_a_pair_beyond_its_range_is_noticed_wherever_it_stands(bodies):
    x, sink, source = cloud(bodies)
    kicks, potentials = np.empty((3, bodies), np.int64), np.empty(bodies, np.int64)
    kick = Kick(sink, source, 0.0, 0.5, 51)
    for i, j in ((0, 1), (2, bodies - 1), (bodies - 2, bodies - 1), (5, bodies // 2)):
        close = x.copy()
        close[:, j] = close[:, i] + np.array([1e-9, 0.0, 0.0])
        assert not DirectSummation().evaluate(close, kick, kicks, potentials).within
    assert DirectSummation().evaluate(x, kick, kicks, potentials).within


@pytest.mark.parametrize("per_charge", [0.5, 100.0])  # The pull is larger, or the potential.
def test_softened_pairs_are_judged_as_one_by_one_whether_watched_or_not(per_charge):
    x, sink, source = cloud(FEW + 45)
    heaviest, second = np.argsort(sink)[-2:]
    x[:, second] = x[:, heaviest]
    kicks, potentials = np.empty((3, sink.size), np.int64), np.empty(sink.size, np.int64)
    watched, within = [], []
    for pair_bits in range(30, 52):
        law = (1e-3, per_charge, pair_bits)
        watched.append(may_leave_range((x, sink, source), *law))
        within.append(
            DirectSummation().evaluate(x, Kick(sink, source, *law), kicks, potentials).within
        )
        assert within[-1] == pair_kicks(x, sink, source, *law, 0, sink.size, kicks, potentials)
    assert set(watched) == set(within) == {True, False}


def test_what_is_no_number_is_noticed_with_softening_too():
    x, charge, _ = cloud(FEW + 45)
    kicks, potentials = np.empty((3, charge.size), np.int64), np.empty(charge.size, np.int64)

    def within(softening2: float = 1e-4) -> bool:
        kick = Kick(charge, charge, softening2, 0.5, 51)
        return DirectSummation().evaluate(x, kick, kicks, potentials).within

    assert within()
    assert not within(np.nan)
    assert not within(np.inf)
    for numbers, wrong in itertools.product((x[1], charge), (np.nan, np.inf, -np.inf)):
        for body in (0, 17, charge.size - 1):
            kept, numbers[body] = numbers[body], wrong
            assert not within()
            numbers[body] = kept
    assert within()
