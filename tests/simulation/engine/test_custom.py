"""Bodies that a user brought: what is refused, what runs, what a checkpoint keeps of it."""

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest, Bodies, CheckpointDamaged, State
from simulation.engine.custom import scenario_of_limits

# A star, a planet with a moon, and a comet without mass.
MASS = (1.0, 1e-3, 1e-6, 0.0)
NAMES = ("star", "planet", "moon", "comet")
X = ((0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (5.02, 0.0, 0.0), (0.0, 3.0, 1.0))
V = ((0.0, 0.0, 0.0), (0.0, 0.447, 0.0), (0.0, 0.67, 0.0), (-0.3, 0.0, 0.1))


def bodies_of(mass=MASS, position=X, velocity=V, names=None):
    mass = np.array(mass, dtype=np.float64)
    if names is None:
        names = tuple(f"b{i}" for i in range(mass.size))
    shape = (mass.size, 3)
    return Bodies(
        names,
        mass,
        np.array(position, dtype=np.float64).reshape(shape),
        np.array(velocity, dtype=np.float64).reshape(shape),
    )


def cluster(bodies, seed=3):
    random = np.random.default_rng(seed)
    mass = random.uniform(0.5, 1.5, bodies) / bodies
    mass[::7] = 0.0
    names = tuple(f"star {i}" for i in range(bodies))
    return Bodies(names, mass, random.normal(size=(bodies, 3)), random.normal(size=(bodies, 3)) / 2)


class TestWhatRuns:
    def test_bodies_stand_where_they_were_put_under_their_names(self):
        state = engine.prepare(engine.scenario_from_bodies(bodies_of(names=NAMES)))
        assert state.names == NAMES
        assert state.mass.tolist() == list(MASS)
        # The box is 32 times the start: 2^-52 of it is a quantum.
        np.testing.assert_allclose(state.positions_tu(), X, atol=256 * 2.0**-52)
        # The lightest body has the coarsest velocity.
        np.testing.assert_allclose(state.velocities_tu(), V, rtol=1e-6)

    def test_a_hierarchy_runs_under_its_laws_and_back(self):
        bodies = bodies_of(MASS[:3], X[:3], V[:3])
        state = engine.prepare(engine.scenario_from_bodies(bodies))
        report = engine.advance(state, 5000, retrace=True)
        assert report.violation is None and report.retraced
        assert state.momentum_q() == state.momentum_0_q

    def test_the_moons_month(self):
        """Kepler's third law at a radius far from 1, for a mass far from the largest."""
        planet, radius = 1e-3, 0.02
        speed = math.sqrt((planet + 1e-6) / radius)
        mass, position = (planet, 1e-6), ((0.0, 0.0, 0.0), (radius, 0.0, 0.0))
        # A far star that makes the grid coarse and pulls a ten-thousandth as strongly.
        mass, position = (*mass, 1.0), (*position, (0.0, 0.0, 60.0))
        velocity = ((0.0, 0.0, 0.0), (0.0, speed, 0.0), (0.0, 0.0, 0.0))
        scenario = engine.scenario_from_bodies(bodies_of(mass, position, velocity))
        month = 2.0 * math.pi * math.sqrt(radius**3 / (planet + 1e-6))
        state = engine.prepare(scenario, dt_tu=month / 2048)
        engine.advance(state, 2048)
        offset = np.subtract(*state.positions_tu()[[1, 0]])
        # A force constant off by 0.1 % misses by 3e-3.
        assert np.linalg.norm(offset - [radius, 0.0, 0.0]) < 1e-3 * radius

    def test_one_body_moves_on_a_straight_line(self):
        state = engine.prepare(
            engine.scenario_from_bodies(bodies_of([2.0], [[1, 2, 3]], [[3, 0, -1]]))
        )
        assert engine.advance(state, 1000, retrace=True).retraced
        expected = np.array([[1.0, 2.0, 3.0]]) + state.time_tu * np.array([[3.0, 0.0, -1.0]])
        np.testing.assert_allclose(state.positions_tu(), expected, rtol=1e-12)

    def test_one_body_with_the_multipole_force(self):
        scenario = engine.scenario_from_bodies(bodies_of([2.0], [[1, 2, 3]], [[3, 0, -1]]))
        state = engine.prepare(scenario, force="fmm")
        assert engine.advance(state, 10, retrace=True).retraced
        assert not np.any(state.k_q)

    def test_light_bodies_keep_the_precision_of_their_forces(self):
        """The grid follows from the two heaviest bodies, not from the heaviest twice."""
        mass = (1.0, 1e-3, 1e-6)
        position = ((0.0, 0.0, 0.0), (5.0, 0.0, 0.0), (0.0, 40.0, 0.0))
        state = engine.prepare(
            engine.scenario_from_bodies(bodies_of(mass, position, [[0.0] * 3] * 3))
        )
        force = state.k_q[:, 2] * 2.0 * state.grid.momentum_quantum / state.dt_tu
        pull = np.array([5e-3 / math.hypot(5.0, 40.0) ** 3, -1 / 1600, 0.0])
        pull[1] -= 40e-3 / math.hypot(5.0, 40.0) ** 3
        np.testing.assert_allclose(force / 1e-6, pull, atol=1e-4 * abs(pull[1]))

    @settings(max_examples=20, deadline=None)
    @given(
        st.floats(-18, 18),
        st.floats(-25, 18),
        st.sampled_from(["leapfrog", "yoshida4", "yoshida8"]),
    )
    def test_any_units_give_the_same_orbit(self, length, mass, integrator):
        """x -> L x, m -> M m, t -> L^(3/2) M^(-1/2) t; powers of 4 to be exact."""
        length, mass = 4.0 ** round(length), 4.0 ** round(mass)
        speed = math.sqrt(mass / length)
        position = np.array([[0.3, 0.0, 0.0], [-0.7, 0.1, 0.0]])
        velocity = np.array([[0.0, 0.2, 0.1], [0.0, -0.7, 0.0]])
        found = []
        for scale, heavy, fast in ((1.0, 1.0, 1.0), (length, mass, speed)):
            bodies = bodies_of([0.7 * heavy, 0.3 * heavy], position * scale, velocity * fast)
            state = engine.prepare(engine.scenario_from_bodies(bodies), integrator=integrator)
            assert engine.advance(state, 50, retrace=True).retraced
            found.append(state.positions_tu() / scale)
        np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("mass", "position", "why"),
        [
            ([], [], "At least one body must have a mass"),
            ([0.0], [[1, 0, 0]], "At least one body must have a mass"),
            ([0.0, 0.0], [[1, 0, 0], [2, 0, 0]], "At least one body must have a mass"),
            ([1.0, -1e-9], [[1, 0, 0], [2, 0, 0]], "not negative"),
            ([1.0, math.nan], [[1, 0, 0], [2, 0, 0]], "finite"),
            ([1.0, math.inf], [[1, 0, 0], [2, 0, 0]], "finite"),
            ([1.0, 1.0], [[1, 0, 0], [math.nan, 0, 0]], "finite"),
            ([1.0, 1.0], [[1, 0, 0], [-math.inf, 0, 0]], "finite"),
            ([1.0, 1.0], [[1, 2, 3], [1, 2, 3]], "in the same place"),
            ([1.0, 0.0], [[1, 2, 3], [1, 2, 3]], "in the same place"),
            ([1.0, 1.0], [[1e-200, 0, 0], [0, 0, 0]], "in the same place"),
            ([1.0, 1.0], [[1e200, 0, 0], [0, 0, 0]], "choose other units"),
            ([1.0, 1e200], [[1, 0, 0], [2, 0, 0]], "choose other units"),
            ([1.0, 1e-200], [[1, 0, 0], [2, 0, 0]], "choose other units"),
            ([5e-324, 5e-324], [[1, 0, 0], [2, 0, 0]], "choose other units"),
        ],
    )
    def test_bodies_that_cannot_move(self, mass, position, why):
        bodies = bodies_of(mass, position, [[0.0, 0.0, 0.0]] * len(mass))
        with pytest.raises(BadRequest, match=why):
            engine.scenario_from_bodies(bodies)

    @pytest.mark.parametrize("speed", [math.nan, math.inf, -1e200])
    def test_velocities(self, speed):
        velocity = np.array(V)
        velocity[2, 1] = speed
        with pytest.raises(BadRequest, match=r"finite|choose other units"):
            engine.scenario_from_bodies(bodies_of(velocity=velocity))

    @pytest.mark.parametrize("softening", [-0.1, math.nan, math.inf, 1e300])
    def test_softenings(self, softening):
        with pytest.raises(BadRequest, match=r"softening"):
            engine.scenario_from_bodies(bodies_of(), softening_tu=softening)

    @pytest.mark.parametrize("unit", [0.0, -1.0, math.nan, math.inf, 1e300])
    @pytest.mark.parametrize("which", ["length_m", "mass_kg"])
    def test_units(self, which, unit):
        with pytest.raises(BadRequest, match="units"):
            engine.scenario_from_bodies(bodies_of(), **{which: unit})

    @pytest.mark.parametrize(
        ("names", "mass", "position", "velocity"),
        [
            (1, 2, (2, 3), (2, 3)),
            (2, 1, (2, 3), (2, 3)),
            (2, 2, (2, 2), (2, 2)),
            (2, 2, (3, 2), (3, 2)),
            (2, 2, (6,), (6,)),
            (2, 2, (2, 3), (3, 3)),
        ],
    )
    def test_arrays_of_other_shapes(self, names, mass, position, velocity):
        bodies = Bodies(("a",) * names, np.ones(mass), np.ones(position), np.ones(velocity))
        with pytest.raises(BadRequest, match=r"Each body needs|three components"):
            engine.scenario_from_bodies(bodies)

    def test_the_number_of_bodies_is_the_files(self):
        with pytest.raises(BadRequest, match="always has 4 bodies"):
            engine.check_request(engine.scenario_from_bodies(bodies_of()), bodies=4)

    @pytest.mark.parametrize("times", [1.01, 1e6, math.inf, math.nan, 0.0, -1.0, 1e-12])
    def test_an_absurd_step(self, times):
        scenario = engine.scenario_from_bodies(bodies_of())
        engine.check_request(scenario, dt_tu=scenario.dt_tu_max)
        with pytest.raises(BadRequest, match="time step"):
            engine.check_request(scenario, dt_tu=scenario.dt_tu_max * times)

    def test_a_start_from_limits_alone(self):
        scenario = scenario_of_limits(engine.scenario_from_bodies(bodies_of()).limits)
        with pytest.raises(BadRequest, match="in its snapshots alone"):
            engine.prepare(scenario)

    @pytest.mark.parametrize("softening", [0.1, 0.5])  # powers of two lie on the grid's own bound
    def test_softening_lets_two_share_a_place(self, softening):
        bodies = bodies_of([1.0, 1.0], [[1, 2, 3], [1, 2, 3]], [[0, 0, 0], [0, 0, 0]])
        scenario = engine.scenario_from_bodies(bodies, softening_tu=softening)
        state = engine.prepare(scenario, dt_tu=scenario.dt_tu_max)
        assert engine.advance(state, 100, retrace=True).retraced
        assert state.digest() == state.digest_start  # nothing pulls them apart


@cache
def checkpoint(kind):
    """Return (bytes, state) after some steps of a run of bodies that a user brought."""
    if kind == "fmm":
        scenario = engine.scenario_from_bodies(cluster(2100), softening_tu=0.05)
        state = engine.prepare(scenario, force="fmm", accuracy=1e-3)
        engine.advance(state, 2, retrace=True)
    else:
        scenario = engine.scenario_from_bodies(bodies_of(names=NAMES), name="moons", title="Moons")
        state = engine.prepare(scenario, integrator="yoshida6", steps=300)
        engine.advance(state, 100, retrace=True)
    return state.to_bytes(), state


class TestCheckpoint:
    @pytest.mark.parametrize(("kind", "further"), [("yoshida6", 150), ("fmm", 2)])
    def test_goes_on_to_the_same_end(self, kind, further):
        content, state = checkpoint(kind)
        resumed, whole = State.from_bytes(content), state.clone()
        assert resumed.to_bytes() == content
        assert (resumed.names, resumed.step) == (state.names, state.step)
        assert resumed.definition.limits == state.definition.limits
        assert resumed.request == state.request
        for run in (whole, resumed):
            assert engine.advance(run, further, retrace=True).retraced
        assert resumed.digest() == whole.digest() != state.digest()
        assert resumed.digest_start == whole.digest_start
        assert engine.summary(resumed) == engine.summary(whole)
        assert engine.retrace(resumed, resumed.step).digest() == state.digest_start

    def test_an_integrator_and_a_force_of_a_scenario_on_offer(self):
        for options in (
            {"scenario": "figure_eight", "integrator": "yoshida8"},
            {"scenario": "plummer", "bodies": 40, "softening": 0.3, "integrator": "yoshida4"},
            {"scenario": "plummer", "bodies": 2200, "force": "fmm", "accuracy": 1e-5},
        ):
            state = engine.prepare(**options)
            engine.advance(state, 2)
            resumed = State.from_bytes(state.to_bytes())
            assert resumed.request == state.request
            for run in (state, resumed):
                engine.advance(run, 2)
            assert resumed.digest() == state.digest()

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    @pytest.mark.parametrize("kind", ["yoshida6", "fmm"])
    def test_any_changed_byte_is_refused(self, kind, data):
        content = bytearray(checkpoint(kind)[0])
        # The header is a hundredth of the bytes of many bodies: look there as often.
        last = data.draw(st.sampled_from([80, 2000, len(content) - 1]))
        at = data.draw(st.integers(0, min(last, len(content) - 1)))
        content[at] ^= data.draw(st.integers(1, 255))
        with pytest.raises(CheckpointDamaged):
            State.from_bytes(bytes(content))

    @settings(max_examples=40, deadline=None)
    @given(data=st.data())
    def test_any_torn_end_is_refused(self, data):
        content = checkpoint("yoshida6")[0]
        keep = data.draw(st.integers(0, len(content) - 1))
        with pytest.raises(CheckpointDamaged):
            State.from_bytes(content[:keep])
        with pytest.raises(CheckpointDamaged):
            State.from_bytes(content + content[keep:])
