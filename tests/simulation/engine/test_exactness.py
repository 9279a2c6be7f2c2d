"""What is exact: momentum, reversal, checkpoints, digests on every instruction set."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import CheckpointDamaged, OutOfRange, State

ALL = tuple(engine.SCENARIOS)
ROOT = Path(__file__).resolve().parents[3]

# After 1000 steps of the default size; plummer: 64 bodies, seed 7, 200 steps.
GOLDEN = {
    "solar_system": "34fc8bccdc7d9cd1154b51ba71c868b5480b318985fb52a0574969c7ae112e28",
    "plummer": "edd338ddb6dc85a23fbd164e1ba15f56f4417e035edea3c80759b273b99e83e5",
}


def prepare(name, **options):
    if name == "plummer":
        options.setdefault("bodies", 33)
    return engine.prepare(name, **options)


def run_golden():
    solar = engine.prepare("solar_system")
    engine.advance(solar, 1000)
    plummer = engine.prepare("plummer", bodies=64, seed=7)
    engine.advance(plummer, 200)
    return {"solar_system": solar.digest(), "plummer": plummer.digest()}


class TestReversal:
    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("share", [1.0, 0.3])  # not only powers of two
    def test_returns_every_bit_and_keeps_the_exact_momentum(self, name, share):
        state = prepare(name, dt_tu=engine.SCENARIOS[name].dt_tu * share)
        start = state.integer_positions(), state.integer_momenta()
        momentum = state.momentum_q()

        engine.advance(state, 5000)
        assert state.momentum_q() == momentum
        assert not np.array_equal(state.integer_positions(), start[0])
        assert state.digest() != state.digest_start

        back = engine.retrace(state, 5000)
        assert np.array_equal(back.integer_positions(), start[0])
        assert np.array_equal(back.integer_momenta(), start[1])
        assert back.digest() == state.digest_start

    def test_forward_with_opposite_momenta_is_the_way_back(self):
        """The same map run forwards undoes itself: an inverse that shares no direction flag."""
        state = prepare("pythagorean")
        engine.advance(state, 3000)
        mirrored = State(state.request, state.names, state.mass, state.x_q.copy(), -state.p_q)
        engine.advance(mirrored, 3000)
        assert np.array_equal(mirrored.x_q, prepare("pythagorean").x_q)
        assert not np.any(mirrored.p_q)

    @settings(max_examples=25, deadline=None)
    @given(
        bodies=st.integers(2, 40),
        seed=st.integers(0, 10**6),
        dt_tu=st.floats(1e-6, 2.0**-5),
        steps=st.integers(1, 200),
    )
    def test_any_step_and_any_cluster(self, bodies, seed, dt_tu, steps):
        state = engine.prepare("plummer", bodies=bodies, dt_tu=dt_tu, seed=seed)
        report = engine.advance(state, steps, retrace=True)
        assert report.violation is None
        assert report.retraced
        assert engine.retrace(state, steps).digest() == state.digest_start

    def test_one_flipped_bit_is_seen_by_retracing(self):
        state = prepare("figure_eight")
        engine.advance(state, 100)
        state.x_q[0, 0] ^= 1
        state.refresh()
        assert engine.prove_by_retracing(state) != state.digest_start
        assert engine.summary(state)["information"]["verdict"] == "VIOLATED"

    def test_chunks_of_any_size_end_in_the_same_state(self):
        whole, parts = prepare("solar_system"), prepare("solar_system")
        engine.advance(whole, 5001)
        for steps in (1, 4095, 4, 901):
            engine.advance(parts, steps)
        assert parts.digest() == whole.digest()
        assert engine.summary(parts) == engine.summary(whole)


class TestDigest:
    def test_is_the_pinned_one(self):
        assert run_golden() == GOLDEN

    def test_sees_every_bit_of_state_and_mass(self):
        state = prepare("kepler")
        seen = {state.digest()}
        for array in (state.x_q, state.p_q, state.mass.view(np.int64)):
            array.flat[1] ^= 1
            seen.add(state.digest())
            array.flat[1] ^= 1
        assert len(seen) == 4
        assert state.digest() in seen

    @pytest.mark.slow
    @pytest.mark.parametrize("processor", ["generic", "nehalem", "haswell"])
    def test_does_not_depend_on_the_instruction_set(self, processor, tmp_path):
        code = (
            "import json; from tests.simulation.engine.test_exactness import run_golden;"
            "print(json.dumps(run_golden()))"
        )
        environment = {
            **os.environ,
            "NUMBA_CPU_NAME": processor,
            "NUMBA_CPU_FEATURES": "",
            "NUMBA_CACHE_DIR": str(tmp_path),
        }
        answer = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(answer.stdout) == GOLDEN


class TestCheckpoint:
    @pytest.mark.parametrize("name", ALL)
    def test_a_resumed_run_ends_on_the_same_digest_with_the_same_summary(self, name):
        whole = prepare(name)
        engine.advance(whole, 700, retrace=True)
        half = prepare(name)
        engine.advance(half, 300, retrace=True)
        resumed = State.from_bytes(half.to_bytes())
        assert resumed.step == 300
        engine.advance(resumed, 400, retrace=True)

        assert resumed.digest() == whole.digest()
        assert resumed.digest_start == whole.digest_start
        assert engine.retrace(resumed, 700).digest() == whole.digest_start
        left, right = engine.summary(resumed), engine.summary(whole)
        for quantity in left:
            assert left[quantity]["verdict"] == right[quantity]["verdict"]
            assert left[quantity]["max_abs_error"] == right[quantity]["max_abs_error"]

    def test_is_the_same_bytes_again(self):
        state = prepare("solar_system")
        engine.advance(state, 123)
        content = state.to_bytes()
        assert State.from_bytes(content).to_bytes() == content

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_any_changed_byte_is_refused(self, data):
        content = bytearray(_checkpoint())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(CheckpointDamaged):
            State.from_bytes(bytes(content))

    @pytest.mark.parametrize("keep", [0, 1, 16, 17, 60, -1])
    def test_a_cut_one_is_refused(self, keep):
        with pytest.raises(CheckpointDamaged):
            State.from_bytes(_checkpoint()[:keep])

    def test_keeps_a_violation(self):
        state = prepare("kepler")
        engine.advance(state, 50, fault=engine.Fault("momentum", step=20))
        resumed = State.from_bytes(state.to_bytes())
        assert resumed.step == 19
        assert engine.summary(resumed)["momentum"]["verdict"] == "VIOLATED"
        assert engine.summary(resumed) == engine.summary(state)


def _checkpoint():
    state = engine.prepare("kepler")
    engine.advance(state, 40)
    return state.to_bytes()


class TestRange:
    """int64 overflows without a word; the engine says so instead, and stays where it was."""

    def put(self, state, change):
        x_q, p_q = state.x_q.copy(), state.p_q.copy()
        change(x_q, p_q)
        return State(state.request, state.names, state.mass, x_q, p_q)

    def refused(self, state, why):
        before = state.digest(), state.step
        with pytest.raises(OutOfRange, match=why):
            engine.advance(state, 10_000)
        assert (state.digest(), state.step)[1] >= before[1]
        assert engine.retrace(state, state.step).digest() == before[0]

    def test_a_body_that_leaves_the_box(self):
        def far(x_q, p_q):
            x_q[0, 1] = 2**52 - 2**44

            p_q[0, 1] = 2**52

        self.refused(self.put(prepare("kepler"), far), "left the box")

    def test_two_bodies_too_close(self):
        def fall(x_q, p_q):
            p_q[:] = 0

        self.refused(self.put(prepare("kepler"), fall), "too close")

    def test_a_body_too_fast(self):
        def fast(x_q, p_q):
            p_q[0, 1] = 2**61

        self.refused(self.put(prepare("kepler"), fast), "too far")
