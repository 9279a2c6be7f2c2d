"""What may be asked for: every refusal a sentence, softening and test particles as in physics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest, Bodies, OutOfRange
from simulation.engine.custom import scenario_of_limits

ALL = tuple(engine.SCENARIOS)
# Python writes no integer of more than 4300 digits: a refusal must not try.
HUGE = 10**5000

ABSURD_NUMBERS = [
    math.nan,
    math.inf,
    -math.inf,
    -1,
    pytest.param(HUGE, id="huge"),
    pytest.param(-HUGE, id="-huge"),
    True,
    "1",
    "",
    [1],
    {},
    1j,
    b"1",
]


def refused(**options):
    """Return the sentence of a refusal."""
    scenario = options.pop("scenario", "plummer")
    with pytest.raises(BadRequest) as refusal:
        engine.check_request(scenario, **options)
    sentence = str(refusal.value)
    assert not sentence[0].islower() and sentence.endswith(".")
    assert 20 < len(sentence) < 250
    assert "Traceback" not in sentence and "object at 0x" not in sentence
    return sentence


class TestRefusals:
    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, 0, 1, 1.5, 10**6 + 1, 256.0])
    def test_bodies(self, value):
        assert "bodies" in refused(bodies=value).lower()

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, 0, 1.5, 10**7 + 1])
    def test_steps(self, value):
        assert refused(steps=value).startswith("Steps must")

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, 1.5, 2**63])
    def test_seeds(self, value):
        assert refused(seed=value).startswith("Seed must")

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, 0, 0.0, 1e-7, 1.0, 5e-324])
    def test_time_steps(self, value):
        assert refused(dt_tu=value).startswith("The time step")

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, -1e-9, 9e-7, 1000.1, 5e-324])
    def test_softenings(self, value):
        assert refused(softening=value).startswith("The softening must")

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, 0, 1e-6, 1e-2, 2e-4, "1e-4"])
    def test_accuracies(self, value):
        assert refused(force="fmm", accuracy=value).startswith("The accuracy of fmm is one of")

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, "Leapfrog", "euler", None, "leapfrog "])
    def test_integrators(self, value):
        sentence = refused(integrator=value)
        assert "leapfrog, yoshida4, yoshida6, yoshida8" in sentence

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, "FMM", "tree", None])
    def test_forces(self, value):
        assert "direct, fmm" in refused(force=value)

    @pytest.mark.parametrize("value", [*ABSURD_NUMBERS, "sun", None])
    def test_scenarios(self, value):
        assert refused(scenario=value).startswith("There is no scenario")

    @pytest.mark.parametrize("accuracy", engine.ACCURACIES)
    def test_an_accuracy_of_direct_summation(self, accuracy):
        assert "belongs to the force fmm" in refused(accuracy=accuracy)

    @pytest.mark.parametrize("integrator", ["yoshida4", "yoshida6", "yoshida8"])
    def test_a_high_order_of_inexact_forces(self, integrator):
        assert "goes with the integrator" in refused(force="fmm", integrator=integrator)

    @pytest.mark.parametrize("name", ["kepler", "figure_eight", "pythagorean", "solar_system"])
    def test_a_number_of_bodies_that_is_fixed(self, name):
        assert "always has" in refused(scenario=name, bodies=engine.SCENARIOS[name].bodies)

    def test_more_work_than_anybody_waits_for(self):
        assert "10^14 pair forces" in refused(bodies=10**6, steps=1000)
        engine.check_request("plummer", bodies=10**6, steps=1000, force="fmm")
        assert "10^11 steps of a body" in refused(bodies=10**6, steps=10**6, force="fmm")
        # A step of order 8 evaluates the forces 15 times.
        engine.check_request("plummer", bodies=10**4, steps=10**5)
        assert "pair forces" in refused(bodies=10**4, steps=10**5, integrator="yoshida8")

    @settings(max_examples=200, deadline=None)
    @given(
        options=st.fixed_dictionaries(
            {},
            optional={
                name: st.one_of(
                    st.none(),
                    st.booleans(),
                    st.integers(),
                    st.floats(),
                    st.text(max_size=8),
                    st.sampled_from(["leapfrog", "yoshida4", "direct", "fmm", 1e-4, 0.5]),
                    st.lists(st.integers(), max_size=2),
                )
                for name in (
                    "bodies",
                    "steps",
                    "seed",
                    "dt_tu",
                    "softening",
                    "accuracy",
                    "integrator",
                    "force",
                )
            },
        )
    )
    def test_nothing_else_is_raised_and_what_passes_can_be_asked_for_again(self, options):
        try:
            request = engine.check_request("plummer", **options)
        except BadRequest:
            return
        assert engine.check_request(**request.to_json()) == request


class TestWhatPasses:
    @pytest.mark.parametrize("name", ALL)
    def test_defaults_are_the_scenarios_and_pass_their_own_check(self, name):
        scenario, request = engine.SCENARIOS[name], engine.check_request(name)
        assert (request.bodies, request.dt_tu, request.steps) == (
            scenario.bodies,
            scenario.dt_tu,
            scenario.steps,
        )
        assert (request.integrator, request.force, request.accuracy) == ("leapfrog", "direct", None)
        assert request.softening_tu == scenario.softening_tu

    def test_the_ends_of_every_range(self):
        scenario = engine.SCENARIOS["plummer"]
        for options in (
            {"bodies": 2},
            {"bodies": 10**6, "steps": 1},
            {"steps": 1},
            {"seed": 2**63 - 1},
            {"dt_tu": scenario.dt_tu_min},
            {"dt_tu": scenario.dt_tu_max},
            {"softening": 0},
            {"softening": 1e-6},
            {"softening": 1000},
        ):
            found = engine.check_request("plummer", **options).to_json()
            assert {name: found[name] for name in options} == options

    def test_the_accuracy_of_the_multipole_method_has_a_default(self):
        assert engine.check_request("plummer", force="fmm").accuracy == 1e-4

    def test_numbers_of_numpy(self):
        request = engine.check_request("plummer", dt_tu=np.float64(0.01), softening=np.float64(0.5))
        assert type(request.dt_tu) is float and type(request.softening) is float

    def test_a_softening_too_small_for_the_start_is_refused_with_a_sentence(self):
        """Without softening the closest two of many bodies may be out of the integers' range."""
        close = np.array([[0.0, 0.0, 0.0], [1e-9, 0.0, 0.0], [1.0, 0.0, 0.0]])
        bodies = Bodies(("a", "b", "c"), np.ones(3), close, np.zeros((3, 3)))
        soft = engine.scenario_from_bodies(bodies, softening_tu=0.5)
        engine.prepare(soft)
        with pytest.raises(OutOfRange, match="too close"):
            engine.prepare(soft, softening=0)


def two_bodies(separation, velocity, softening):
    """A pair of masses 0.9 and 0.4 with its centre of mass at rest."""
    share = np.array([[-0.4 / 1.3], [0.9 / 1.3]])
    bodies = Bodies(
        ("large", "small"),
        np.array([0.9, 0.4]),
        share * np.array(separation, dtype=np.float64),
        share * np.array(velocity, dtype=np.float64),
    )
    return engine.scenario_from_bodies(bodies, softening_tu=softening)


def separation(state):
    first, second = state.positions_tu()
    return second - first


class TestSoftening:
    """A pair attracts as m M r / (r^2 + e^2)^(3/2): Plummer's law."""

    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida6"])
    @pytest.mark.parametrize(("radius", "softening"), [(2.0, 0.5), (0.3, 0.4), (5.0, 0.0)])
    def test_the_period_of_a_circle(self, radius, softening, integrator):
        frequency = math.sqrt(1.3 / (radius**2 + softening**2) ** 1.5)
        scenario = two_bodies([radius, 0, 0], [0, radius * frequency, 0], softening)
        state = engine.prepare(
            scenario, dt_tu=2.0 * math.pi / frequency / 1024, integrator=integrator
        )
        assert engine.advance(state, 1024).violation is None
        # A force constant off by 0.1 % misses by 3e-3.
        assert np.linalg.norm(separation(state) - [radius, 0, 0]) < 1e-4 * radius

    def test_deep_inside_it_is_a_spring(self):
        """Released from rest at e/100, the pair swings through: w^2 = M / e^3."""
        softening, away = 0.5, 0.005
        scenario = two_bodies([0, away, 0], [0, 0, 0], softening)
        period = 2.0 * math.pi / math.sqrt(1.3 / softening**3)
        state = engine.prepare(scenario, dt_tu=period / 1024)
        for quarter in (0.0, -1.0, 0.0, 1.0):
            engine.advance(state, 256)
            assert separation(state)[1] == pytest.approx(quarter * away, abs=1e-3 * away)

    @pytest.mark.parametrize("force", ["direct", "fmm"])
    @pytest.mark.parametrize("softening", [0.03, 0.7, None])
    def test_forces_and_potential_of_a_cluster(self, softening, force):
        state = engine.prepare("plummer", bodies=60, softening=softening, force=force)
        # None is the scenario's: about N^(-1/3), a power of two.
        soft = 0.5 ** ((60).bit_length() // 3) if softening is None else softening
        if softening is None:
            soft = state.definition.softening(60)
            assert 0.5 * 60 ** (-1 / 3) < soft < 2.0 * 60 ** (-1 / 3)
        x, mass = state.positions_tu(), state.mass
        offset = x[None, :, :] - x[:, None, :]
        distance = np.sqrt(np.sum(offset**2, axis=2) + soft**2)
        expected = np.einsum("j,ija,ij->ia", mass, offset, distance**-3.0) * mass[:, None]
        found = state.k_q.T * (2.0 * state.grid.momentum_quantum / state.dt_tu)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
        np.fill_diagonal(distance, np.inf)
        potential = -0.5 * np.sum(mass[:, None] * mass / distance)
        kinetic = 0.5 * np.sum(mass * np.sum(state.velocities_tu() ** 2, axis=1))
        assert state.energy_tu == pytest.approx(kinetic + potential, rel=1e-9)

    def test_it_is_part_of_the_run_but_not_of_the_start(self):
        """Two softenings start from the same bodies and end elsewhere."""
        ends = []
        for softening in (0.1, 0.2):
            state = engine.prepare("figure_eight", softening=softening)
            np.testing.assert_allclose(
                state.positions_tu(), engine.prepare("figure_eight").positions_tu(), atol=1e-14
            )
            engine.advance(state, 500)
            ends.append(state.positions_tu())
        assert np.max(np.abs(ends[0] - ends[1])) > 1e-2


RADII = (1.0, 1.7, 3.1, 6.0)


def star_and_particles():
    """A star of mass 2.5 with massless bodies on circles, each in a plane of its own."""
    position, velocity = np.zeros((5, 3)), np.zeros((5, 3))
    for i, radius in enumerate(RADII, start=1):
        angle = 0.7 * i
        position[i] = radius * np.array([math.cos(angle), math.sin(angle), 0.0])
        tangent = np.array([-math.sin(angle), math.cos(angle), 0.0])
        up = np.array([0.0, 0.0, 1.0])
        tilt = 0.4 * i
        velocity[i] = math.sqrt(2.5 / radius) * (math.cos(tilt) * tangent + math.sin(tilt) * up)
    names = ("star", *(f"grain {i}" for i in range(1, 5)))
    return Bodies(names, np.array([2.5, 0, 0, 0, 0]), position, velocity)


class TestTestParticles:
    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4"])
    @pytest.mark.parametrize("index", range(4))
    def test_move_by_keplers_third_law(self, index, integrator):
        scenario = engine.scenario_from_bodies(star_and_particles())
        period = 2.0 * math.pi * math.sqrt(RADII[index] ** 3 / 2.5)
        steps = math.ceil(period / scenario.dt_tu)
        state = engine.prepare(scenario, dt_tu=period / steps, integrator=integrator)
        start = state.positions_tu()
        assert engine.advance(state, steps, retrace=True).retraced
        miss = np.linalg.norm(state.positions_tu()[index + 1] - start[index + 1])
        # A force constant off by 0.1 % misses by 3e-3.
        assert miss < 5e-4 * RADII[index]
        assert np.array_equal(state.positions_tu()[0], [0.0, 0.0, 0.0])

    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4"])
    def test_leave_massive_bodies_as_they_are_without_them(self, integrator):
        """On the same grid, the massive bodies' orbits are the same integers."""
        random = np.random.default_rng(6)
        mass = np.array([1.0, 0.5, 0.25, 0, 0, 0, 0, 0])
        position = random.normal(size=(8, 3)) * 3.0
        velocity = random.normal(size=(8, 3)) * 0.3
        names = tuple("abcdefgh")
        limits = engine.scenario_from_bodies(Bodies(names, mass, position, velocity)).limits
        ends = []
        for count in (3, 8):
            bodies = Bodies(names[:count], mass[:count], position[:count], velocity[:count])
            scenario = scenario_of_limits({**limits, "bodies": count}, bodies)
            state = engine.prepare(scenario, integrator=integrator)
            energy, momentum = state.energy_tu, state.momentum_q()
            report = engine.advance(state, 1500)
            assert report.violation is None
            ends.append((state.x_q[:, :3], state.p_q[:, :3], energy, momentum, state.mass_q()))
        alone, followed = ends
        assert np.array_equal(alone[0], followed[0]) and np.array_equal(alone[1], followed[1])
        # Nor do they count in any total.
        assert alone[2:] == followed[2:]

    @pytest.mark.parametrize("force", ["direct", "fmm"])
    def test_feel_the_field_of_all_massive_bodies(self, force):
        random = np.random.default_rng(8)
        mass = np.where(np.arange(90) % 4 == 1, 0.0, random.uniform(0.5, 2.0, 90) / 90)
        position = random.normal(size=(90, 3))
        bodies = Bodies(tuple(map(str, range(90))), mass, position, np.zeros((90, 3)))
        state = engine.prepare(engine.scenario_from_bodies(bodies), force=force)
        offset = position[None, :, :] - position[:, None, :]
        distance = np.linalg.norm(offset, axis=2)
        np.fill_diagonal(distance, np.inf)
        expected = np.einsum("j,ija,ij->ia", mass, offset, distance**-3.0)
        engine.advance(state, 1)
        gained = state.velocities_tu() / state.dt_tu  # from rest, by the mean of both kicks
        np.testing.assert_allclose(gained, expected, rtol=1e-3, atol=1e-3)
        still = engine.prepare(engine.scenario_from_bodies(bodies), force=force)
        found = still.k_q.T * (2.0 * still.grid.momentum_quantum / still.dt_tu)
        np.testing.assert_allclose(found / still.inertia[:, None], expected, rtol=1e-8, atol=1e-8)
