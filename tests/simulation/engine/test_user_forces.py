"""User forces: closed-form motion, declared laws left alone, undeclared ones caught."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conservation import Status
from simulation import engine
from simulation.engine import BadRequest, CheckpointDamaged, OutOfRange, State, UserForce
from simulation.engine.scenarios import Bodies

BOTH = frozenset({"momentum", "angular_momentum"})


def trap(strength=0.25, breaks=("momentum",), potential_strength=None):
    """A harmonic well about the origin: keeps angular momentum and, with its potential, energy."""
    k = strength if potential_strength is None else potential_strength
    return UserForce(
        "trap",
        lambda x, mass, t: -strength * mass * x,
        lambda x, mass, t: 0.5 * k * mass * (x[0] ** 2 + x[1] ** 2 + x[2] ** 2),
        frozenset(breaks),
    )


def light_bodies(count=1, mass=1e-6, position=((0.3, -0.2, 0.1),), velocity=((0.1, 0.2, 0.4),)):
    """Bodies that hardly attract one another."""
    names = tuple(f"b{i}" for i in range(count))
    return Bodies(names, np.full(count, mass), np.array(position, float), np.array(velocity, float))


def statuses(state):
    return {name: str(verdict.status) for name, verdict in engine.verdicts(state).items()}


class TestMotion:
    def test_a_body_in_a_uniform_field_falls_on_its_parabola(self):
        g = np.array([0.3, -0.1, -1.0])
        scenario = engine.scenario_from_bodies(light_bodies())
        state = engine.prepare(scenario, dt_tu=2.0**-8, user_forces=[engine.uniform_field(g)])
        engine.advance(state, 512)
        t = state.time_tu
        expected = np.array([0.3, -0.2, 0.1]) + np.array([0.1, 0.2, 0.4]) * t + 0.5 * g * t * t
        np.testing.assert_allclose(state.positions_tu()[0], expected, rtol=0, atol=1e-9)
        assert statuses(state)["energy"] == "BOUNDED"

    @pytest.mark.parametrize(("integrator", "order"), [("leapfrog", 2), ("yoshida4", 4)])
    def test_a_tide_is_a_harmonic_motion_to_the_integrators_order(self, integrator, order):
        nu, missed = 3.0, []
        for k in (4, 5, 6):
            scenario = engine.scenario_from_bodies(light_bodies())
            tide = engine.galactic_tide(nu)
            state = engine.prepare(
                scenario, dt_tu=2.0**-k, integrator=integrator, user_forces=[tide]
            )
            assert engine.advance(state, 3 * 2**k).violation is None
            t = state.time_tu
            exact = 0.1 * math.cos(nu * t) + 0.4 / nu * math.sin(nu * t)
            missed.append(abs(state.positions_tu()[0, 2] - exact))
            np.testing.assert_allclose(state.positions_tu()[0, 0], 0.3 + 0.1 * t, atol=1e-9)
        assert missed[0] / missed[1] == pytest.approx(2**order, rel=0.2)
        assert missed[1] / missed[2] == pytest.approx(2**order, rel=0.2)

    def test_the_time_of_a_kick_is_that_of_its_drift(self):
        """A force that is a known function of time alone: v(t) = v0 + t^2/2, exactly summed."""
        push = UserForce(
            "push", lambda x, m, t: np.array([[t], [0.0], [0.0]]) * m, breaks=BOTH | {"energy"}
        )
        scenario = engine.scenario_from_bodies(light_bodies())
        for integrator in ("leapfrog", "yoshida6"):
            state = engine.prepare(
                scenario, dt_tu=2.0**-6, integrator=integrator, user_forces=[push]
            )
            engine.advance(state, 128)
            # The trapezium rule of any symmetric composition is exact for a straight line.
            assert state.velocities_tu()[0, 0] == pytest.approx(0.1 + 2.0**2 / 2, abs=1e-8)
            assert engine.prove_by_retracing(state) == state.digest_start

    def test_a_test_particle_falls_like_a_body(self):
        bodies = Bodies(
            ("a", "ghost"),
            np.array([1e-6, 0.0]),
            np.array([[1.0, 0, 0], [-1.0, 0, 0]]),
            np.zeros((2, 3)),
        )
        state = engine.prepare(
            engine.scenario_from_bodies(bodies),
            dt_tu=2.0**-6,
            user_forces=[engine.uniform_field((0.0, 0.0, -1.0))],
        )
        assert engine.advance(state, 64).violation is None
        np.testing.assert_allclose(state.positions_tu()[:, 2], -0.5, atol=1e-5)


class TestLaws:
    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4", "yoshida8"])
    def test_declared_laws_are_not_claimed_and_the_others_are_verified(self, integrator):
        state = engine.prepare("plummer", bodies=40, integrator=integrator, user_forces=[trap()])
        report = engine.advance(state, 600, retrace=True)
        assert report.violation is None
        assert report.retraced
        assert statuses(state) == {
            "energy": "BOUNDED",
            "momentum": "UNKNOWN",
            "angular_momentum": "CONSERVED",
            "mass": "CONSERVED",
            "information": "CONSERVED",
        }
        found = engine.summary(state)
        assert "'trap'" in found["momentum"]["reason"]
        assert found["momentum"]["max_abs_error"] is None
        assert "'trap'" in found["energy"]["reason"]
        # Higher orders are held to leapfrog's bound too, and stay far below it.
        assert (0.01 if integrator == "leapfrog" else 0) < found["energy"]["worst_margin"] <= 1.0
        json.dumps([found, engine.live(state)], allow_nan=False)
        assert "momentum" not in engine.series(state)

    @pytest.mark.parametrize("name", ["figure_eight", "pythagorean", "plummer", "two_clusters"])
    def test_no_false_alarm(self, name):
        forces = [engine.uniform_field((0.01, 0.02, -0.05)), engine.galactic_tide(0.3)]
        state = engine.prepare(name, user_forces=forces)
        assert engine.advance(state, 1000).violation is None
        assert statuses(state)["energy"] == "BOUNDED"
        assert {statuses(state)[law] for law in BOTH} == {"UNKNOWN"}
        reason = engine.verdicts(state)["momentum"].reason
        assert "'uniform field' and 'galactic tide'" in reason

    @pytest.mark.parametrize("law", ["momentum", "angular_momentum"])
    def test_a_field_that_breaks_a_law_in_secret_is_caught_in_its_first_step(self, law):
        g = np.array([[0.0], [0.0], [-1e-3]])
        secret = UserForce(
            "secret", lambda x, m, t: g * m, lambda x, m, t: 1e-3 * m * x[2], BOTH - {law}
        )
        # Its centre of mass stands beside the origin, else the field does not turn it.
        bodies = light_bodies(2, 0.5, ((2.0, 0, 0), (3.0, 0.5, 0)), ((0, 0.3, 0), (0, -0.3, 0)))
        state = engine.prepare(engine.scenario_from_bodies(bodies), user_forces=[secret])
        report = engine.advance(state, 50)
        assert (report.violation.quantity, report.violation.step) == (law, 1)
        assert state.digest() == state.digest_start
        assert engine.summary(state)[law]["verdict"] == "VIOLATED"

    def test_friction_like_work_in_secret_breaks_the_energy_law(self):
        swirl = UserForce(
            "swirl",
            lambda x, m, t: 1e-2 * m * np.stack([-x[1], x[0], np.zeros_like(x[2])]),
            breaks=BOTH,
        )
        state = engine.prepare("figure_eight", user_forces=[swirl])
        assert engine.advance(state, 5000).violation.quantity == "energy"

    @pytest.mark.parametrize("relative", [1e-3, -1e-3])
    def test_a_potential_that_is_off_by_a_thousandth_breaks_the_energy_law(self, relative):
        force = trap(1.0, BOTH, potential_strength=1.0 + relative)
        bodies = light_bodies()
        state = engine.prepare(
            engine.scenario_from_bodies(bodies), dt_tu=2.0**-8, user_forces=[force]
        )
        assert engine.advance(state, 3000).violation.quantity == "energy"
        right = engine.prepare(
            engine.scenario_from_bodies(bodies), dt_tu=2.0**-8, user_forces=[trap(1.0, BOTH)]
        )
        assert engine.advance(right, 3000).violation is None

    def test_a_potential_that_depends_on_time_must_be_declared(self):
        def growing(breaks):
            return UserForce(
                "growing",
                lambda x, m, t: -(1.0 + t) * m * x,
                lambda x, m, t: 0.5 * (1.0 + t) * m * np.sum(x * x, axis=0),
                frozenset(breaks),
            )

        kepler = engine.prepare("kepler", user_forces=[growing(BOTH)])
        assert engine.advance(kepler, 2000).violation.quantity == "energy"
        declared = engine.prepare("kepler", user_forces=[growing(BOTH | {"energy"})])
        assert engine.advance(declared, 2000).violation is None
        assert statuses(declared)["energy"] == "UNKNOWN"

    def test_a_fault_is_still_caught_where_the_law_is_claimed(self):
        state = engine.prepare("kepler", user_forces=[trap()])
        fault = engine.Fault("reading", step=10, quantity="angular_momentum", relative_size=1e-6)
        assert engine.advance(state, 20, fault=fault).violation.step == 10


class TestExactness:
    @settings(max_examples=20, deadline=None)
    @given(
        seed=st.integers(0, 1000),
        steps=st.integers(1, 60),
        integrator=st.sampled_from(["leapfrog", "yoshida4", "yoshida6"]),
        strength=st.floats(0.0, 2.0),
    )
    def test_every_bit_comes_back(self, seed, steps, integrator, strength):
        moving = UserForce(
            "moving",
            lambda x, m, t: m * (strength / (1.0 + t) - x * t),
            breaks=BOTH | {"energy"},
        )
        state = engine.prepare(
            "plummer", bodies=7, seed=seed, integrator=integrator, user_forces=[moving]
        )
        engine.advance(state, steps)
        assert engine.retrace(state, steps).digest() == state.digest_start

    def test_without_user_forces_nothing_changes(self):
        plain, empty = engine.prepare("kepler"), engine.prepare("kepler", user_forces=[])
        assert empty.runs_in_one_kernel
        for state in (plain, empty):
            engine.advance(state, 300)
        assert plain.digest() == empty.digest()
        nothing = UserForce("nothing", lambda x, m, t: 0.0 * x)
        idle = engine.prepare("kepler", user_forces=[nothing])
        engine.advance(idle, 300)
        assert idle.digest() == plain.digest()
        assert statuses(idle)["momentum"] == "CONSERVED"

    def test_does_not_depend_on_threads_or_on_the_order_of_bodies(self):
        bodies = engine.SCENARIOS["plummer"].build(30, 4)
        order = np.random.default_rng(1).permutation(30)
        mixed = Bodies(
            tuple(bodies.names[i] for i in order),
            bodies.mass[order],
            bodies.position[order],
            bodies.velocity[order],
        )
        ends = []
        for these, threads in ((bodies, 1), (bodies, 2), (mixed, 1)):
            scenario = engine.scenario_from_bodies(these, softening_tu=0.1)
            state = engine.prepare(scenario, threads=threads, user_forces=[trap()])
            engine.advance(state, 50)
            rows = np.argsort(np.array(these.names))
            ends.append((state.x_q[:, rows].tobytes(), state.p_q[:, rows].tobytes()))
        assert len(set(ends)) == 1

    def test_a_resumed_run_ends_on_the_same_digest(self):
        def pulse():
            return UserForce("pulse", lambda x, m, t: m * (t - x), breaks=BOTH | {"energy"})

        whole = engine.prepare("kepler", user_forces=[pulse(), trap()])
        half = engine.prepare("kepler", user_forces=[pulse(), trap()])
        engine.advance(whole, 300)
        engine.advance(half, 120)
        content = half.to_bytes()
        with pytest.raises(CheckpointDamaged, match="pulse, trap"):
            State.from_bytes(content)
        resumed = State.from_bytes(content, [pulse(), trap()])
        assert np.array_equal(resumed.k_q, half.k_q)
        engine.advance(resumed, 180)
        assert resumed.digest() == whole.digest()
        assert resumed.to_bytes() == whole.to_bytes()


class TestBadOnes:
    @pytest.mark.parametrize(
        ("make", "sentence"),
        [
            (lambda: UserForce("", lambda x, m, t: x), "needs a name"),
            (lambda: UserForce("x" * 81, lambda x, m, t: x), "80 letters"),
            (lambda: UserForce("f", 3.0), "needs functions"),
            (lambda: UserForce("f", lambda x, m, t: x, 1.0), "needs functions"),
            (lambda: UserForce("f", lambda x, m, t: x, breaks=frozenset({"mass"})), "may declare"),
            (lambda: UserForce("f", lambda x, m, t: x, breaks="energy"), "may declare"),
            (lambda: engine.uniform_field((1.0, 2.0)), "three finite"),
            (lambda: engine.uniform_field((1.0, 2.0, math.nan)), "three finite"),
            (lambda: engine.galactic_tide(0.0), "positive"),
            (lambda: engine.prepare("kepler", user_forces=[trap(), trap()]), "one name"),
            (lambda: engine.prepare("kepler", user_forces=[3]), "is a UserForce"),
        ],
    )
    def test_are_refused_with_a_sentence(self, make, sentence):
        with pytest.raises(BadRequest, match=sentence):
            make()

    @pytest.mark.parametrize(
        ("answer", "error", "sentence"),
        [
            (lambda x: x[0], BadRequest, "'bad' must be numbers of shape"),
            (lambda x: "much", BadRequest, "'bad' must be numbers"),
            (lambda x: x * np.nan, OutOfRange, "'bad' is not a finite number"),
            (lambda x: x * 1e30, OutOfRange, "'bad' is too strong"),
            (lambda x: 1 / 0, ZeroDivisionError, "division"),
            (lambda x: x.__setitem__(0, 1.0), ValueError, "read-only"),
        ],
    )
    def test_one_that_goes_wrong_on_the_way_leaves_the_last_verified_step(
        self, answer, error, sentence
    ):
        bad = UserForce(
            "bad", lambda x, m, t: answer(x) if t > 0.05 else 0.0 * x, breaks=BOTH | {"energy"}
        )
        state = engine.prepare("kepler", user_forces=[bad])
        with pytest.raises(error, match=sentence):
            engine.advance(state, 100)
        assert state.step == 12
        clean = engine.prepare("kepler")
        engine.advance(clean, 12)
        assert state.digest() == clean.digest()
        assert engine.verdicts(state)["mass"].status is Status.CONSERVED
        assert engine.retrace(state, 12).digest() == state.digest_start
