"""Runs with collisions: the search for pairs, checkpoints, and what is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest, Fault, State, collisions
from tests.simulation.engine.colliding import bodies_of, crowd, head_on, prepare


class TestTouching:
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(2, 40))
    def test_finds_the_pairs_of_a_plain_search(self, seed, count):
        bodies = crowd(seed, count)
        radii = list(np.random.default_rng(seed).uniform(0.01, 0.5, count))
        state = prepare(bodies, softening_tu=0.1, collisions="bounce", radius=radii)
        x, v = state.positions_tu(), state.velocities_tu()
        expected = {
            (i, j)
            for i in range(count)
            for j in range(i + 1, count)
            if np.linalg.norm(x[j] - x[i]) <= radii[i] + radii[j]
            and (x[j] - x[i]) @ (v[j] - v[i]) < 0
        }
        found = collisions.touching_pairs(state)
        assert {tuple(sorted(map(int, pair))) for pair in found} == expected

    def test_more_pairs_than_there_is_room_for(self):
        random = np.random.default_rng(0)
        position = random.normal(0, 0.1, (30, 3))
        bodies = bodies_of([1 / 30] * 30, position, -position)
        state = prepare(bodies, softening_tu=0.5, collisions="merge", radius=1.0)
        assert len(collisions.touching_pairs(state)) == 30 * 29 // 2
        momentum = state.momentum_q()
        assert engine.advance(state, 1).violation is None
        assert state.bodies == 1
        assert state.momentum_q() == momentum
        assert state.mass[0] == pytest.approx(1.0)

    @given(value=st.integers(0, 10**60))
    def test_cube_root(self, value):
        root = collisions._cube_root(value)
        assert root**3 <= value < (root + 1) ** 3


class TestHistory:
    @pytest.mark.parametrize("kind", ["merge", "bounce"])
    def test_a_resumed_run_ends_on_the_same_digest_with_the_same_summary(self, kind):
        options = {"softening_tu": 0.1, "collisions": kind, "radius": 0.08}
        if kind == "bounce":
            options["restitution"] = 0.5
        whole, half = prepare(crowd(1, 40), **options), prepare(crowd(1, 40), **options)
        engine.advance(whole, 600)
        engine.advance(half, 400)
        assert kind == "bounce" or half.bodies < 40
        resumed = State.from_bytes(half.to_bytes())
        assert resumed.to_bytes() == half.to_bytes()
        engine.advance(resumed, 200)
        assert resumed.digest() == whole.digest()
        assert engine.summary(resumed) == engine.summary(whole)

    def test_is_not_retraced(self):
        state = head_on(kind="merge")
        with pytest.raises(BadRequest, match="bits are lost"):
            engine.advance(state, 10, retrace=True)
        assert state.step == 0
        engine.advance(state, 10)
        with pytest.raises(BadRequest, match="cannot be retraced"):
            engine.prove_by_retracing(state)
        request = engine.check_request(
            "plummer", bodies=8, steps=5, collisions="bounce", radius=0.1
        )
        with pytest.raises(BadRequest, match=r"backwards|retraced"):
            engine.run(request, reverse=True)

    def test_runs_as_a_whole(self):
        request = engine.check_request(
            "plummer", bodies=200, steps=100, collisions="merge", radius=0.1
        )
        outcome = engine.run(request)
        assert outcome.violation is None
        assert outcome.state.bodies < 200
        found = outcome.to_json()
        json.dumps(found, allow_nan=False)
        assert "merge" in found["provenance"]["force"]
        assert found["quantities"]["momentum"]["verdict"] == "CONSERVED"
        assert found["quantities"]["information"]["verdict"] == "UNKNOWN"

    def test_a_fault_is_caught_and_one_on_a_body_that_merged_is_refused(self):
        state = head_on(kind="merge")
        fault = Fault("momentum", step=200, body=1)
        with pytest.raises(BadRequest, match="has merged"):
            engine.advance(state, 300, fault=fault)
        assert state.step == 199
        again = head_on(1.0)
        assert engine.advance(again, 300, fault=fault).violation.step == 200


class TestOff:
    def test_no_collisions_no_change(self):
        """Bodies that never touch move as those that cannot; the fast path is kept without."""
        plain = engine.prepare("kepler")
        assert plain.runs_in_one_kernel
        far = engine.prepare("kepler", collisions="bounce", radius=1e-6)
        assert not far.runs_in_one_kernel
        for state in (plain, far):
            engine.advance(state, 500)
        assert far.digest() == plain.digest()
        assert engine.summary(far)["energy"]["limit"] == engine.summary(plain)["energy"]["limit"]


class TestBadOnes:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"collisions": "explode", "radius": 0.1}, "bounce or merge"),
            ({"collisions": "merge"}, "need a radius"),
            ({"collisions": "merge", "radius": -1.0}, "positive and finite"),
            ({"collisions": "merge", "radius": 0.0}, "positive and finite"),
            ({"collisions": "merge", "radius": math.nan}, "positive and finite"),
            ({"collisions": "merge", "radius": "big"}, "must be a number"),
            ({"collisions": "merge", "radius": [0.1, -0.1]}, "positive and finite"),
            ({"collisions": "merge", "radius": [0.1, 0.1, 0.1]}, "3 radii"),
            ({"collisions": "merge", "radius": True}, "must be a number"),
            ({"collisions": "merge", "radius": 0.1, "restitution": 0.5}, "no restitution"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": -0.1}, "between 0 and 1"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": 1.1}, "between 0 and 1"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": math.nan}, "between 0 and 1"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": "e"}, "must be a number"),
            ({"radius": 0.1}, "goes with collisions"),
            ({"restitution": 0.1}, "goes with collisions"),
        ],
    )
    def test_are_refused_with_a_sentence(self, options, sentence):
        with pytest.raises(BadRequest, match=sentence):
            engine.check_request("kepler", **options)

    def test_what_does_not_go_together(self):
        with pytest.raises(BadRequest, match="force direct"):
            engine.check_request("plummer", force="fmm", collisions="merge", radius=0.1)
        with pytest.raises(BadRequest, match="user forces"):
            engine.prepare(
                "kepler",
                collisions="merge",
                radius=0.1,
                user_forces=[engine.galactic_tide(1.0)],
            )
        ghost = bodies_of([1.0, 0.0], [[0, 0, 0], [1, 0, 0]], np.zeros((2, 3)))
        with pytest.raises(BadRequest, match="mass for every body"):
            prepare(ghost, collisions="bounce", radius=0.1)
        dust = bodies_of([1.0, 1e-30], [[0, 0, 0], [1, 0, 0]], np.zeros((2, 3)))
        with pytest.raises(BadRequest, match="differ too much"):
            prepare(dust, collisions="merge", radius=0.1)
