"""Runs with the fast multipole force: the same bits everywhere, there and back, its laws."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine.fmm import FastMultipole, method
from tests.simulation.engine.multipole_cases import (
    evaluate,
    plummer,
    prepared,
)

ROOT = Path(__file__).resolve().parents[3]


class TestSameBits:
    @pytest.mark.parametrize("accuracy", engine.ACCURACIES)
    def test_on_any_number_of_threads(self, accuracy):
        state = prepared("a_quarter_massless", accuracy)
        for threads in (2, 4):
            k_q, u_q = np.empty_like(state.k_q), np.empty_like(state.u_q)
            force = FastMultipole(accuracy, threads=threads)
            found = force.evaluate(state.x, state.kicks[-1], k_q, u_q)
            assert found.residual_q == state.residual_q
            assert np.array_equal(k_q, state.k_q) and np.array_equal(u_q, state.u_q)

    @settings(max_examples=5, deadline=None)
    @given(seed=st.integers(0, 2**32))
    def test_in_any_order_of_the_bodies(self, seed):
        state = prepared("three_decades")
        order = np.random.default_rng(seed).permutation(state.bodies)
        kick = state.kicks[-1]
        mixed = replace(kick, sink=kick.sink[order], source=kick.source[order])
        k_q, u_q = np.empty_like(state.k_q), np.empty_like(state.u_q)
        x = np.ascontiguousarray(state.x[:, order])
        found = FastMultipole(1e-4).evaluate(x, mixed, k_q, u_q)
        assert found.residual_q == state.residual_q
        assert np.array_equal(k_q, state.k_q[:, order])
        assert np.array_equal(u_q, state.u_q[order])

    def test_in_the_same_buffers_again(self):
        """Nothing of an earlier evaluation, of other bodies, is left."""
        state = prepared("uniform_ball")
        force = FastMultipole(1e-4)
        evaluate(force, plummer(9000, 5), np.full(9000, 2.0**20), 1e-4)
        k_q, u_q = np.empty_like(state.k_q), np.empty_like(state.u_q)
        force.evaluate(state.x, state.kicks[-1], k_q, u_q)
        assert np.array_equal(k_q, state.k_q) and np.array_equal(u_q, state.u_q)

    @pytest.mark.slow
    @pytest.mark.parametrize("processor", ["nehalem", "haswell"])
    def test_on_another_instruction_set(self, processor, tmp_path):
        code = (
            "import json; from tests.simulation.engine.test_fmm_runs import run_digests;"
            "print(json.dumps(run_digests()))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={
                **os.environ,
                "NUMBA_CPU_NAME": processor,
                "NUMBA_CPU_FEATURES": "",
                "NUMBA_CACHE_DIR": str(tmp_path),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(answer.stdout) == run_digests()


def run_digests():
    """Return the digests of kicks and potentials of each preset, and of a state after a step.

    Of the engine's own cluster: it is drawn by operations that IEEE 754 defines to the last bit.
    """
    found = {}
    for accuracy in engine.ACCURACIES:
        state = engine.prepare("plummer", bodies=3000, force="fmm", accuracy=accuracy)
        sums = hashlib.sha256(state.k_q.tobytes() + state.u_q.tobytes())
        engine.advance(state, 1)
        found[str(accuracy)] = [sums.hexdigest(), state.digest(), list(state.residual_q)]
    return found


class TestRun:
    @pytest.mark.parametrize("accuracy", [1e-3, 1e-5])
    def test_forward_and_back(self, accuracy):
        request = engine.check_request(
            "plummer", bodies=3000, steps=8, force="fmm", accuracy=accuracy
        )
        outcome = engine.run(request, reverse=True, threads=2)
        found = outcome.to_json()
        quantities = found["quantities"]
        assert outcome.violation is None and found["steps_done"] == 8
        assert quantities["momentum"]["max_abs_error"] == 0
        assert outcome.state.momentum_q() == outcome.state.momentum_0_q
        assert outcome.digest_reversed == outcome.state.digest_start != outcome.digest_end
        assert {name: q["verdict"] for name, q in quantities.items()} == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "angular_momentum": "BOUNDED",
            "mass": "CONSERVED",
            "information": "CONSERVED",
        }
        for name in ("energy", "angular_momentum"):
            assert 0 < quantities[name]["max_abs_error"] <= quantities[name]["limit"]
        assert 0 < found["force_rms"] <= accuracy
        assert any(found["residual_quanta"]) and found["residual"] > 0
        assert {"far", "near", "total"} <= set(found["timings"])

    def test_does_not_depend_on_threads(self):
        request = engine.check_request("two_clusters", bodies=2500, steps=4, force="fmm")
        assert len({engine.run(request, threads=t).digest_end for t in (1, 2, 3)}) == 1

    def test_forces_off_by_a_thousandth_break_the_law_of_energy(self):
        """Pairs too strong still give zero momentum and the way back: only the energy can tell."""
        request = {"bodies": 2048, "force": "fmm", "accuracy": 1e-5, "dt_tu": 2.0**-6}
        state = engine.prepare("two_clusters", **request)
        assert engine.advance(state, 60).violation is None
        state = engine.prepare("two_clusters", **request)
        state.force = TooStrong(state.force)
        violation = engine.advance(state, 60).violation
        assert violation is not None and violation.quantity == "energy"
        assert engine.summary(state)["momentum"]["verdict"] == "CONSERVED"


class TooStrong:
    """A force whose kicks are all 0.1 % too large, and still sum to zero."""

    def __init__(self, force):
        self.force = force

    def evaluate(self, x, kick, k_q, u_q):
        found = self.force.evaluate(x, kick, k_q, u_q)
        k_q += k_q // 1000
        method.return_residual(k_q, kick.source, x)
        return found
