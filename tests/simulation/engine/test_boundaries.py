"""Periodic boxes: Ewald's sum against other sums, exact wrapping, laws, one answer everywhere."""

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest, State, UserForce, kernels
from simulation.engine.boundaries import BOX_QUANTA, wrap
from simulation.engine.forces.images import PeriodicSummation, ewald_table, interpolate
from simulation.engine.scenarios import Bodies

ROOT = Path(__file__).resolve().parents[3]

# Of the table's bytes, and of 8 bodies after 50 steps.
GOLDEN = (
    "a4018d5bdd658c80f2d16dab66320c2ab08e375d26aae0629c0adc590a9a14b3",
    "3c2e0757f4ad92dd94e20f9be2fa71c7fd3534662303058322e44a884039062e",
)


def psi(x):
    """The correction (potential, gradient (3,)) at x, L = 1."""
    found = np.empty(4)
    interpolate(*map(float, x), ewald_table(), np.empty((3, 4)), np.empty((3, 4)), found)
    return found[0], found[1:].copy()


def ewald_by_another_split(x, alpha=2.6):
    """The same correction with another alpha, more terms and the library's functions."""
    x = np.array(x, float)
    total, gradient = -math.pi / alpha**2, np.zeros(3)
    for m in np.array(np.meshgrid(*[np.arange(-5, 6)] * 3)).reshape(3, -1).T:
        d = x - m
        r = float(np.linalg.norm(d))
        gauss = 2 * alpha / math.sqrt(math.pi) * math.exp(-((alpha * r) ** 2))
        if not m.any():
            total -= math.erf(alpha * r) / r if r else 2 * alpha / math.sqrt(math.pi)
            if r:
                gradient -= d / r * (gauss / r - math.erf(alpha * r) / r**2)
            continue
        total += math.erfc(alpha * r) / r
        gradient -= d / r * (gauss / r + math.erfc(alpha * r) / r**2)
        h2 = float(m @ m)
        wave = math.exp(-((math.pi / alpha) ** 2) * h2) / (math.pi * h2)
        total += wave * math.cos(2 * math.pi * m @ x)
        gradient -= wave * 2 * math.pi * m * math.sin(2 * math.pi * m @ x)
    return total, gradient


def gas(seed=0, count=8, box=4.0, speed=0.3):
    random = np.random.default_rng(seed)
    names = tuple(f"b{i}" for i in range(count))
    mass = random.uniform(0.5, 1.5, count) / count
    position = random.uniform(-box / 2, box / 2, (count, 3))
    return Bodies(names, mass, position, random.normal(0, speed, (count, 3)))


def prepare(bodies, box=4.0, softening_tu=0.1, **options):
    scenario = engine.scenario_from_bodies(bodies, softening_tu=softening_tu)
    options.setdefault("dt_tu", 2.0**-7)
    return engine.prepare(scenario, boundary="periodic", box=box, **options)


def run_golden():
    state = prepare(exact_gas())
    engine.advance(state, 50)
    return [hashlib.sha256(ewald_table().astype("<f8").tobytes()).hexdigest(), state.digest()]


def exact_gas():
    """Eight bodies whose start needs no library function."""
    random = np.random.Generator(np.random.PCG64(5))
    position = random.integers(-128, 128, (8, 3)) / 64.0
    velocity = random.integers(-64, 64, (8, 3)) / 256.0
    names = tuple(f"b{i}" for i in range(8))
    return Bodies(names, np.full(8, 0.125), position, velocity)


class TestEwald:
    def test_against_another_split_with_library_functions(self):
        random = np.random.default_rng(1)
        points = random.uniform(-0.5, 0.5, (20, 3))
        points[::4, 0] = 0.5
        points[0] = 0.0
        points[1] = 0.5
        for x in points:
            value, gradient = psi(x)
            expected, slope = ewald_by_another_split(x)
            assert value == pytest.approx(expected, abs=3e-6)
            inside = np.abs(x) < 0.5  # on the face the true force of both images cancels
            np.testing.assert_allclose(gradient[inside], slope[inside], atol=5e-5)

    def test_against_madelungs_constants(self):
        """NaCl (Crandall 1987) and Wigner's simple cubic lattice: sums nobody here has made."""

        def u(*x):
            return psi(x)[0] + 1.0 / math.sqrt(sum(c * c for c in x))

        assert psi((0, 0, 0))[0] == pytest.approx(-2.837297479480619, abs=1e-6)
        salt = psi((0, 0, 0))[0] + 3 * u(0.5, 0.5, 0) - 3 * u(0.5, 0, 0) - u(0.5, 0.5, 0.5)
        assert -salt / 2 == pytest.approx(1.7475645946331822, abs=5e-6)

    def test_close_to_a_body_only_the_background_is_left(self):
        """Laplace's equation with the background alone: psi = psi(0) + 2 pi r^2/3 + O(r^4)."""
        for x in ([0.02, 0, 0], [0.01, -0.015, 0.01]):
            value, gradient = psi(x)
            r2 = float(np.dot(x, x))
            assert value - psi((0, 0, 0))[0] == pytest.approx(2 * math.pi / 3 * r2, rel=2e-3)
            np.testing.assert_allclose(gradient, 4 * math.pi / 3 * np.array(x), atol=2e-4)

    @pytest.mark.parametrize("softening", [0.0, 0.025, 0.125])
    def test_pulls_of_both_sides_cancel_on_a_face(self, softening):
        """By symmetry; else every body that crosses one would be kicked out of its energy."""
        for y, z in ((0.0, 0.0), (0.1, -0.4), (0.5, 0.5), (-0.3, 0.25)):
            found = np.empty(4)
            scratch = np.empty((3, 4)), np.empty((3, 4))
            interpolate(0.5, y, z, ewald_table(softening), *scratch, found)
            near = 0.5 / (0.25 + y * y + z * z + softening**2) ** 1.5
            assert found[1] == pytest.approx(near, abs=4e-5)

    @given(st.tuples(*[st.floats(-0.5, 0.5)] * 3))
    def test_is_odd_to_the_bit(self, x):
        value, gradient = psi(x)
        other, opposite = psi([-c for c in x])
        assert value == other
        assert np.array_equal(gradient, -opposite)

    @settings(max_examples=50)
    @given(st.tuples(*[st.floats(-0.49, 0.49)] * 3))
    def test_the_force_is_the_gradient_of_the_potential(self, x):
        """Else the energy would drift: central differences of the interpolant itself."""
        step = 2.0**-14
        for a in range(3):
            ahead, behind = list(x), list(x)
            ahead[a] += step
            behind[a] -= step
            slope = (psi(ahead)[0] - psi(behind)[0]) / (2 * step)
            assert psi(x)[1][a] == pytest.approx(slope, abs=2e-6)


class TestWrap:
    @given(st.lists(st.integers(-(2**61), 2**61), min_size=3, max_size=30))
    def test_is_arithmetic_modulo_the_side(self, values):
        x_q = np.array(values, dtype=np.int64)
        wrap(x_q, BOX_QUANTA)
        for before, after in zip(values, x_q, strict=True):
            assert (before - int(after)) % BOX_QUANTA == 0
            assert -BOX_QUANTA // 2 <= after < BOX_QUANTA // 2

    def test_a_free_body_comes_back_to_its_place(self):
        bodies = Bodies(("a",), np.ones(1), np.array([[0.5, 0, 0]]), np.array([[1.0, -2.0, 0]]))
        state = prepare(bodies, dt_tu=2.0**-6)
        assert engine.advance(state, 64).violation is None
        np.testing.assert_allclose(state.positions_tu()[0], [1.5, -2.0, 0], atol=1e-12)
        engine.advance(state, 3 * 64)
        np.testing.assert_allclose(state.positions_tu()[0], [0.5, 0, 0], atol=1e-12)
        assert state.grid.length_quantum * BOX_QUANTA == 4.0


class TestForces:
    def test_a_lattice_stays_at_rest(self):
        """Every force in it cancels: a body in the middle of each eighth of the box."""
        places = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
        names = tuple(f"b{i}" for i in range(8))
        state = prepare(Bodies(names, np.full(8, 0.125), places, np.zeros((8, 3))))
        assert np.max(np.abs(state.k_q)) * state.grid.momentum_quantum < 1e-12
        engine.advance(state, 100)
        np.testing.assert_allclose(state.positions_tu(), places, atol=1e-12)

    def test_two_bodies_against_a_sum_over_many_images(self):
        """A plain sum over 41^3 images, spherically symmetric shells, less the background."""
        bodies = Bodies(
            ("a", "b"),
            np.array([1.0, 1.0]),
            np.array([[0.3, 0, 0], [-0.9, 0.4, 0.2]]),
            np.zeros((2, 3)),
        )
        state = prepare(bodies, softening_tu=0.0)
        force = state.k_q[:, 0] * state.real[kernels.FORCE_QUANTUM]
        d = np.array([-1.2, 0.4, 0.2])
        shells = np.array(np.meshgrid(*[np.arange(-20, 21)] * 3)).reshape(3, -1).T * 4.0
        images = d + shells
        # A cube of images about the body itself: pairs of +n and -n cancel all but even orders.
        r = np.linalg.norm(images, axis=1)
        attracted = np.sum(images / r[:, None] ** 3, axis=0)
        # The cubic sum converges to Ewald's less the background's dipole term 4 pi d / 3 L^3.
        expected = attracted - 4 * math.pi / 3 * d / 4.0**3
        np.testing.assert_allclose(force, expected, atol=2e-4)

    @settings(max_examples=15, deadline=None)
    @given(seed=st.integers(0, 1000), shift=st.tuples(*[st.integers(0, BOX_QUANTA - 1)] * 3))
    def test_do_not_depend_on_where_the_box_begins(self, seed, shift):
        state = prepare(gas(seed))
        moved = State(
            state.request, state.names, state.mass, state.x_q + np.array(shift)[:, None], state.p_q
        )
        assert np.array_equal(moved.k_q, state.k_q)
        assert np.array_equal(moved.u_q, state.u_q)
        assert not np.any(np.sum(state.k_q, axis=1))


class TestLaws:
    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4"])
    @pytest.mark.parametrize("seed", [0, 1, 16])
    def test_no_false_alarm_and_every_bit_comes_back(self, integrator, seed):
        state = prepare(gas(seed, 12), integrator=integrator)
        momentum = state.momentum_q()
        report = engine.advance(state, 800, retrace=True)
        assert report.violation is None
        assert report.retraced
        assert state.momentum_q() == momentum
        found = engine.summary(state)
        assert {name: found[name]["verdict"] for name in found} == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "angular_momentum": "UNKNOWN",
            "mass": "CONSERVED",
            "information": "CONSERVED",
        }
        assert "no axis" in found["angular_momentum"]["reason"]
        assert "Ewald" in found["energy"]["reason"]
        assert found["energy"]["worst_margin"] <= 1
        # A bound twenty times too wide would be no test.
        assert found["energy"]["worst_margin"] > 0.05
        json.dumps([found, engine.live(state)], allow_nan=False)

    def test_the_energy_error_falls_with_the_order_of_the_step(self):
        """Only if force and potential belong together; bodies cross the faces all the time."""
        worst = []
        for k in (6, 7, 8):
            state = prepare(gas(2, 10), softening_tu=0.25, dt_tu=2.0**-k)
            assert engine.advance(state, 2**k * 6).violation is None
            worst.append(engine.summary(state)["energy"]["max_abs_error"])
        assert worst[0] / worst[1] == pytest.approx(4.0, rel=0.25)
        assert worst[1] / worst[2] == pytest.approx(4.0, rel=0.25)

    def test_a_correction_that_is_off_by_a_thousandth_breaks_the_energy_law(self, monkeypatch):
        """The gradient grows, the potential does not: the energy law alone can see it."""
        state = prepare(gas(1, 10), softening_tu=0.25, dt_tu=2.0**-8)
        exact = state.force.evaluate
        twin = PeriodicSummation(4.0, 0.25)
        twin._table = twin._table * 1.01
        scratch = np.zeros_like(state.u_q)

        def wrong(x, kick, k_q, u_q):
            exact(x, kick, np.zeros_like(k_q), u_q)
            return twin.evaluate(x, kick, k_q, scratch)

        monkeypatch.setattr(state.force, "evaluate", wrong)
        assert engine.advance(state, 4000).violation.quantity == "energy"
        clean = prepare(gas(1, 10), softening_tu=0.25, dt_tu=2.0**-8)
        assert engine.advance(clean, 4000).violation is None

    def test_one_quantum_of_momentum_is_caught(self):
        state = prepare(gas(4))
        fault = engine.Fault("momentum", step=33, body=1, relative_size=1e-12)
        report = engine.advance(state, 100, fault=fault)
        assert (report.violation.quantity, report.violation.step) == ("momentum", 33)

    def test_goes_with_user_forces_that_fit_the_box(self):
        """A force that repeats with the box: F = -m cos(pi x/2) along x, U = m (2/pi) sin."""
        wave = UserForce(
            "wave",
            lambda x, m, t: np.stack([-m * np.cos(np.pi * x[0] / 2), 0 * m, 0 * m]),
            lambda x, m, t: m * (2 / np.pi) * np.sin(np.pi * x[0] / 2),
            frozenset({"momentum"}),
        )
        state = prepare(gas(3), user_forces=[wave])
        assert engine.advance(state, 600).violation is None
        found = engine.summary(state)
        assert found["energy"]["verdict"] == "BOUNDED"
        assert found["momentum"]["verdict"] == "UNKNOWN"


class TestSameEverywhere:
    def test_threads_and_the_order_of_bodies_do_not_matter(self):
        bodies = gas(6, 40)
        order = np.random.default_rng(2).permutation(40)
        mixed = Bodies(
            tuple(bodies.names[i] for i in order),
            bodies.mass[order],
            bodies.position[order],
            bodies.velocity[order],
        )
        ends = []
        for these in (bodies, mixed):
            state = prepare(these)
            engine.advance(state, 20)
            rows = np.argsort(np.array(these.names))
            ends.append((state.x_q[:, rows].tobytes(), state.p_q[:, rows].tobytes()))
        assert ends[0] == ends[1]
        many = [gas(7, 700, 16.0) for _ in range(2)]
        states = [prepare(b, 16.0, threads=t) for b, t in zip(many, (1, 2), strict=True)]
        assert np.array_equal(states[0].k_q, states[1].k_q)
        assert np.array_equal(states[0].u_q, states[1].u_q)

    def test_a_resumed_run_ends_on_the_same_digest(self):
        whole, half = prepare(gas(8)), prepare(gas(8))
        engine.advance(whole, 300)
        engine.advance(half, 130)
        resumed = State.from_bytes(half.to_bytes())
        engine.advance(resumed, 170)
        assert resumed.digest() == whole.digest()
        assert resumed.to_bytes() == whole.to_bytes()

    def test_table_and_digest_are_the_pinned_ones(self):
        assert run_golden() == list(GOLDEN)

    @pytest.mark.slow
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("processor", ["generic", "nehalem", "haswell"])
    def test_do_not_depend_on_the_instruction_set(self, processor, tmp_path):
        code = (
            "import json; from tests.simulation.engine.test_boundaries import run_golden;"
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
        assert json.loads(answer.stdout) == list(GOLDEN)


class TestBadOnes:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"boundary": "mirror"}, "one of open, periodic"),
            ({"box": 4.0}, "Open space has no box"),
            ({"boundary": "periodic"}, "needs a box"),
            ({"boundary": "periodic", "box": 3.0}, "power of two"),
            ({"boundary": "periodic", "box": -4.0}, "power of two"),
            ({"boundary": "periodic", "box": 0.0}, "power of two"),
            ({"boundary": "periodic", "box": math.nan}, "power of two"),
            ({"boundary": "periodic", "box": 2.0**41}, "power of two"),
            ({"boundary": "periodic", "box": "big"}, "must be a number"),
            ({"boundary": "periodic", "box": True}, "must be a number"),
            ({"boundary": "periodic", "box": 64.0, "force": "fmm"}, "fmm knows no images"),
            (
                {"boundary": "periodic", "box": 64.0, "collisions": "merge", "radius": 0.1},
                "do not go together",
            ),
        ],
    )
    def test_are_refused_with_a_sentence(self, options, sentence):
        with pytest.raises(BadRequest, match=sentence):
            engine.check_request("plummer", **options)

    def test_a_box_smaller_than_the_bodies(self):
        with pytest.raises(BadRequest, match="smaller than the bodies"):
            prepare(gas(0, box=4.0), box=2.0)
        with pytest.raises(BadRequest, match="eighth of the box"):
            prepare(gas(0), softening_tu=1.0)

    def test_processes_that_know_no_images(self):
        request = engine.check_request("kepler", boundary="periodic", box=8.0)
        with pytest.raises(BadRequest, match="must know the box"):
            engine.prepare_state(request, engine.state.DirectSummation())

    def test_open_space_is_what_it_was(self):
        state = engine.prepare("kepler", boundary="open")
        assert state.runs_in_one_kernel
        assert "boundary" in state.request.to_json()

    def test_runs_as_a_whole(self):
        request = engine.check_request(
            "plummer", bodies=16, steps=40, boundary="periodic", box=128.0
        )
        outcome = engine.run(request, reverse=True)
        assert outcome.violation is None
        assert outcome.digest_reversed == outcome.state.digest_start
        assert outcome.force_rms == 0.0
        assert "periodic box of side 128" in outcome.to_json()["provenance"]["force"]
