"""Orbits against Kepler's laws, vis-viva, tabulated planets and the engine's own motion."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest
from simulation.engine.orbits import (
    Elements,
    bodies_from_elements,
    elements_of,
    find_body,
    from_state,
    mean_anomaly,
    solve_kepler,
    to_state,
    true_anomaly,
)
from simulation.engine.scenarios import Bodies

ANGLE = st.floats(0.0, 2.0 * math.pi, exclude_max=True)


class TestKeplersEquation:
    @given(e=st.floats(0.0, 1.0 - 1e-9), M=st.floats(-20.0, 20.0))
    def test_ellipse(self, e, M):
        E = float(solve_kepler(e, M))
        assert -math.pi <= E <= math.pi
        missed = math.remainder(E - e * math.sin(E) - M, math.tau)
        assert abs(missed) < 4e-15 * max(1.0, abs(M))

    @given(e=st.floats(1.0 + 1e-9, 50.0), M=st.floats(-1e6, 1e6))
    def test_hyperbola(self, e, M):
        H = float(solve_kepler(e, M))
        assert e * math.sinh(H) - H == pytest.approx(M, rel=1e-12, abs=1e-12)

    def test_close_to_a_parabola_at_pericentre(self):
        """Against E^3/6 e + (1 - e) E = M by bisection in exact fractions of two."""
        for e, M in ((1 - 1e-12, 1e-15), (1 - 1e-8, 1e-3), (1 + 1e-12, 1e-15), (1 + 1e-8, 1e-3)):
            low, high = 0.0, 1.0
            for _ in range(200):
                mid = 0.5 * (low + high)
                x3 = mid**3 / 6.0
                sign = 1.0 if e > 1.0 else -1.0
                bracket = x3 * (1 + sign * mid**2 / 20 + mid**4 / 840 + sign * mid**6 / 60480)
                low, high = (mid, high) if abs(1 - e) * mid + e * bracket < M else (low, mid)
            assert float(solve_kepler(e, M)) == pytest.approx(low, rel=1e-12)

    @given(e=st.one_of(st.floats(0.0, 0.999), st.floats(1.001, 20.0)), M=st.floats(-3.0, 3.0))
    def test_anomalies_there_and_back(self, e, M):
        f = true_anomaly(e, M)
        assert float(mean_anomaly(e, f)) == pytest.approx(M, rel=1e-11, abs=1e-11)


class TestState:
    @settings(max_examples=300)
    @given(
        a=st.floats(1e-3, 1e3),
        e=st.one_of(st.floats(0.0, 0.99), st.floats(1.01, 10.0)),
        inc=st.one_of(st.just(0.0), st.just(math.pi), st.floats(0.0, math.pi)),
        node=ANGLE,
        pericentre=ANGLE,
        M=st.floats(-3.1, 3.1),
        mu=st.floats(1e-3, 1e3),
    )
    def test_round_trip_to_round_off(self, a, e, inc, node, pericentre, M, mu):
        orbit = Elements(a if e < 1 else -a, e, inc, node, pericentre, M)
        position, velocity = to_state(orbit, mu)
        again = from_state(position, velocity, mu)
        condition = 1.0 / abs(1.0 - e)
        np.testing.assert_allclose(again.a, orbit.a, rtol=1e-13 * condition)
        np.testing.assert_allclose(again.e, e, rtol=1e-13 * condition, atol=1e-14)
        np.testing.assert_allclose(
            again.inc, inc, atol=1e-7 if inc in (0.0, math.pi) else 2e-14 * 10
        )
        x, v = to_state(again, mu)
        np.testing.assert_allclose(x, position, atol=1e-12 * condition * np.linalg.norm(position))
        np.testing.assert_allclose(v, velocity, atol=1e-12 * condition * np.linalg.norm(velocity))

    @given(
        e=st.one_of(st.floats(0.0, 0.99), st.floats(1.01, 10.0)),
        f=st.floats(-1.4, 1.4),
        mu=st.floats(0.1, 10.0),
    )
    def test_vis_viva_the_conic_and_keplers_second_law(self, e, f, mu):
        """Three closed forms of the textbook that the code does not use."""
        a = 1.7 if e < 1 else -1.7
        orbit = Elements.at_true_anomaly(a, e, 0.4, 1.0, 2.0, f)
        position, velocity = to_state(orbit, mu)
        r = np.linalg.norm(position)
        p = a * (1 - e * e)
        assert float(orbit.f) == pytest.approx(f, abs=1e-12 / abs(1 - e))
        assert r == pytest.approx(p / (1 + e * math.cos(f)), rel=1e-12)
        assert velocity @ velocity == pytest.approx(mu * (2 / r - 1 / a), rel=1e-11)
        h = np.cross(position, velocity)
        assert np.linalg.norm(h) == pytest.approx(math.sqrt(mu * p), rel=1e-12)
        assert h[2] / np.linalg.norm(h) == pytest.approx(math.cos(0.4), rel=1e-12)

    def test_angles_have_their_textbook_meaning(self):
        """At the node a body stands on the line of nodes and rises; pericentre is nearest."""
        orbit = Elements.at_true_anomaly(1.0, 0.3, 0.5, 1.1, 0.7, -0.7)
        position, velocity = to_state(orbit, 1.0)
        assert position[2] == pytest.approx(0.0, abs=1e-15)
        assert math.atan2(position[1], position[0]) == pytest.approx(1.1)
        assert velocity[2] > 0
        nearest, _ = to_state(Elements(1.0, 0.3, 0.5, 1.1, 0.7, 0.0), 1.0)
        assert np.linalg.norm(nearest) == pytest.approx(0.7)
        assert nearest[2] == pytest.approx(0.7 * math.sin(0.7) * math.sin(0.5))

    @pytest.mark.parametrize("e", [0.0, 0.6])
    @pytest.mark.parametrize("inc", [0.0, math.pi, 1e-300, 1e-9])
    def test_angles_that_are_not_defined_still_lead_back(self, e, inc):
        orbit = Elements(2.0, e, inc, 0.3, 0.4, 0.5)
        position, velocity = to_state(orbit, 1.0)
        x, v = to_state(from_state(position, velocity, 1.0), 1.0)
        np.testing.assert_allclose(x, position, atol=1e-14)
        np.testing.assert_allclose(v, velocity, atol=1e-14)

    def test_many_at_once_are_those_one_by_one(self):
        random = np.random.default_rng(3)
        e = random.uniform(0.0, 2.0, (5, 7))
        a = np.where(e < 1.0, 1.0, -1.0) * random.uniform(0.5, 2.0, (5, 7))
        angles = random.uniform(0.0, 3.0, (4, 5, 7))
        many, moving = to_state(Elements(a, e, *angles), 1.3)
        assert many.shape == moving.shape == (5, 7, 3)
        one, _ = to_state(Elements(a[2, 3], e[2, 3], *angles[:, 2, 3]), 1.3)
        np.testing.assert_array_equal(many[2, 3], one)


class TestMotion:
    def test_the_engine_moves_a_body_to_the_mean_anomaly_of_that_time(self):
        """Kepler's equation against 1000 steps of an integrator that knows no Kepler orbit."""
        orbit = Elements(1.0, 0.3, 0.2, 0.5, 0.8, 0.1)
        bodies = bodies_from_elements(("one", "other"), [1.0, 0.5], orbit)
        scenario = engine.scenario_from_bodies(bodies)
        state = engine.prepare(scenario, integrator="yoshida8", dt_tu=2.0**-6, steps=1000)
        engine.advance(state, 1000)
        now = Bodies(bodies.names, bodies.mass, state.positions_tu(), state.velocities_tu())
        found = elements_of(now)
        expected = (0.1 + state.time_tu * math.sqrt(1.5)) % math.tau
        assert found.M[0] == pytest.approx(expected, abs=1e-8)
        assert found.a[0] == pytest.approx(1.0, abs=1e-9)
        assert found.omega[0] == pytest.approx(0.8, abs=1e-8)

    def test_planets_have_the_elements_of_the_almanac(self):
        """Standish (1992), mean elements J2000: a and e, to what planets disturb one another."""
        bodies = engine.SCENARIOS["solar_system"].build(9, 0)
        found = elements_of(bodies)
        table = {
            "venus": (0.72333, 0.00677),
            "mars": (1.52371, 0.09339),
            "jupiter": (5.2029, 0.0484),
        }
        for name, (a, e) in table.items():
            i = find_body(bodies.names, name) - 1
            assert found.a[i] == pytest.approx(a, rel=2e-3)
            assert found.e[i] == pytest.approx(e, abs=1e-3)


class TestFrames:
    @pytest.mark.parametrize("frame", ["heliocentric", "jacobi"])
    def test_round_trip_at_rest_as_a_whole(self, frame):
        random = np.random.default_rng(5)
        mass = np.array([1.0, 0.1, 0.02, 0.3])
        orbits = Elements([1.0, 3.0, -9.0], [0.1, 0.5, 1.5], *random.uniform(0.1, 1.0, (4, 3)))
        bodies = bodies_from_elements(("a", "b", "c", "d"), mass, orbits, frame=frame)
        np.testing.assert_allclose(mass @ bodies.position, 0.0, atol=1e-15)
        np.testing.assert_allclose(mass @ bodies.velocity, 0.0, atol=1e-15)
        again = elements_of(bodies, frame=frame)
        for name in ("a", "e", "inc", "Omega", "omega", "M"):
            np.testing.assert_allclose(getattr(again, name), getattr(orbits, name), rtol=1e-12)

    def test_frames_differ_only_from_the_third_body_on(self):
        mass, orbits = [1.0, 0.1, 0.1], Elements([1.0, 5.0], 0.2, M=[0.0, 1.0])
        one = bodies_from_elements("abc", mass, orbits)
        two = bodies_from_elements("abc", mass, orbits, frame="jacobi")
        separation = one.position[1] - one.position[0], two.position[1] - two.position[0]
        np.testing.assert_allclose(*separation, rtol=1e-14)
        third = two.position[2] - (two.position[0] + 0.1 * two.position[1]) / 1.1
        np.testing.assert_allclose(third, to_state(Elements(5.0, 0.2, M=1.0), 1.2)[0], rtol=1e-13)


class TestNames:
    names = ("Sun", "Mercury", "Earth", "Earth Moon")

    def test_finds_one_whatever_its_case(self):
        assert find_body(self.names, " sun") == 0
        assert find_body(self.names, "EARTH") == 2
        assert find_body(self.names, "merc") == 1

    @pytest.mark.parametrize(
        ("name", "sentence"),
        [("pluto", "There is no body"), ("ear", "More than one"), ("", "There is no body")],
    )
    def test_says_what_there_is(self, name, sentence):
        with pytest.raises(BadRequest, match=sentence):
            find_body(self.names, name)


class TestBadOnes:
    @pytest.mark.parametrize(
        ("ask", "sentence"),
        [
            (lambda: Elements(1.0, -0.1), "must not be negative"),
            (lambda: Elements(1.0, 1.0), "parabola"),
            (lambda: Elements(-1.0, 0.5), "a > 0"),
            (lambda: Elements(1.0, 1.5), "a < 0"),
            (lambda: Elements(0.0, 0.5), "a > 0"),
            (lambda: Elements(math.nan, 0.5), "a of an orbit must be finite"),
            (lambda: Elements(1.0, 0.5, 4.0), "between 0 and pi"),
            (lambda: Elements.at_true_anomaly(-1.0, 2.0, f=2.5), "asymptotes"),
            (lambda: to_state(Elements(1.0, 0.5), 0.0), "positive"),
            (lambda: from_state([1.0, 0, 0], [0.5, 0, 0], 1.0), "along a line"),
            (lambda: from_state([2.0, 0, 0], [0, 1.0, 0], 1.0), "parabola"),
            (lambda: from_state([math.nan, 0, 0], [0, 1.0, 0], 1.0), "along a line"),
            (lambda: bodies_from_elements("ab", [1.0, 1, 1], Elements(1.0, 0.5)), "go together"),
            (lambda: bodies_from_elements("ab", [0.0, 1], Elements(1.0, 0.5)), "central one"),
            (lambda: bodies_from_elements("ab", [1.0, 1], Elements(1.0, 0.5), frame="x"), "frame"),
        ],
    )
    def test_are_refused_with_a_sentence(self, ask, sentence):
        with pytest.raises(BadRequest, match=sentence):
            ask()

    @given(velocity=st.lists(st.floats(-2, 2), min_size=3, max_size=3))
    def test_every_state_has_an_orbit_or_a_sentence(self, velocity):
        assume(any(velocity))
        try:
            orbit = from_state([1.0, 0.2, -0.1], velocity, 1.0)
        except BadRequest:
            return
        assert np.isfinite(orbit.a)
