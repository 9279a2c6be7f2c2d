"""How the work of a run is cut into tasks, dealt out to ranks and spot-checked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.engine.distribution.shares import Speeds, Tiles, deal, spot_checks


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
