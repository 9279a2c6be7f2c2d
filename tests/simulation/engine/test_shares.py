"""How the work of a run is cut into tasks, dealt out to ranks and spot-checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.engine.distribution import balance
from simulation.engine.distribution.shares import Speeds, Tiles, deal, spot_checks


class TestTouched:
    @settings(max_examples=50, deadline=None)
    @given(
        st.integers(1, 500),
        st.lists(st.tuples(st.integers(0, 499), st.integers(1, 200)), max_size=9),
        st.integers(0, 2**32 - 1),
    )
    def test_only_blocks_that_are_touched_count(self, bodies, runs, seed):
        random = np.random.default_rng(seed)
        first = np.array([begin % bodies for begin, _ in runs], np.int64)
        last = np.minimum(first + [many for _, many in runs], bodies).astype(np.int64)
        touched = balance.no_blocks(bodies)
        balance.touch(touched, first, last)
        own = np.zeros(bodies, np.bool_)
        for begin, end in zip(first, last, strict=True):
            own[
                begin // balance.BLOCK * balance.BLOCK : -(-end // balance.BLOCK) * balance.BLOCK
            ] = True
        np.testing.assert_array_equal(balance.bodies_of(touched, bodies), np.flatnonzero(own))

        partial = random.integers(-(2**50), 2**50, (2, 4, bodies))
        source = random.integers(0, 2, bodies).astype(float)
        total = np.ones_like(partial)
        balance.add_touched(partial, touched, total)
        np.testing.assert_array_equal(total, np.where(own, partial + 1, 1))
        *kicks, rest = balance.look_at(partial, source, touched)
        heavy = own & (source > 0.0)
        assert kicks == [int(np.sum(partial[0, axis, heavy])) for axis in range(3)]
        assert rest == int(np.sum(partial[0, 3, own]) + np.sum(partial[1][:, own]))


class TestShares:
    @settings(max_examples=50, deadline=None)
    @given(
        st.lists(st.floats(0.1, 100.0), min_size=1, max_size=80),
        st.integers(1, 9),
        st.sampled_from(["load", "locality"]),
        st.booleans(),
    )
    def test_every_task_is_dealt_once(self, costs, ranks, strategy, in_runs):
        speed = {rank: 1.0 + rank for rank in range(ranks)}
        dealt = deal(strategy, np.array(costs), tuple(range(ranks)), speed, in_runs=in_runs)
        assert sorted(task for tasks in dealt.values() for task in tasks) == list(range(len(costs)))
        if in_runs and len(costs) >= ranks:
            assert all(dealt.values())

    def test_load_follows_measured_speed(self):
        costs = np.ones(300)
        dealt = deal("load", costs, (0, 1), {0: 1.0, 1: 2.0})
        assert [len(dealt[0]), len(dealt[1])] == [100, 200]
        dealt = deal("load", costs, (0, 1), {0: 1.0, 1: 2.0}, in_runs=True)
        assert len(dealt[0]) == pytest.approx(100, abs=1)

    def test_locality_gives_ranks_few_blocks(self):
        tiles = Tiles.of(1 << 14, 4)
        dealt = deal("locality", tiles.pairs, (0, 1, 2, 3), {})
        blocks = len(np.unique(tiles.bounds[:, 0]))
        touched = [len(np.unique(tiles.bounds[list(tasks)][:, [0, 2]])) for tasks in dealt.values()]
        assert np.mean(touched) < 0.75 * blocks

    def test_speeds_move_only_with_what_is_measured(self):
        speeds = Speeds()
        assert speeds.of((0, 1)) == {0: 1.0, 1: 1.0}
        for _ in range(20):
            speeds.note(0, 1.0, 1.0)
            speeds.note(1, 1.0, 0.5)
        found = speeds.of((0, 1))
        assert found[1] / found[0] == pytest.approx(2.0, rel=0.1)
        speeds.note(0, 1.0, 1.01)
        assert speeds.of((0, 1)) is found

    def test_all_tasks_are_checked_in_turn_by_another_rank(self):
        tasks = {rank: tuple(range(64 * rank, 64 * rank + 64)) for rank in range(3)}
        seen = set()
        for evaluation in range(64):
            checks = spot_checks(tasks, evaluation, 1 / 64)
            assert {check.owner for check in checks} == {0, 1, 2}
            assert all(check.task in tasks[check.owner] for check in checks)
            assert all(check.checker != check.owner for check in checks)
            seen |= {check.task for check in checks}
        assert seen == set(range(192))
