"""The integrators on integers against Kepler's equation, and against their order conditions."""

import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import Bodies, State
from simulation.engine.forces.direct import FEW, DirectSummation
from simulation.engine.integrators import INTEGRATORS, Composition
from simulation.engine.starting import prepare_state

ALL = tuple(engine.SCENARIOS)
METHODS = ("leapfrog", "yoshida4", "yoshida6", "yoshida8")
ORDER = {"leapfrog": 2, "yoshida4": 4, "yoshida6": 6, "yoshida8": 8}
# Steps over 1.3 periods between which the error falls by 2^p: below the onset of the asymptotic
# range, above the rounding of positions to quanta (1e-10 of the orbit).
STEPS = {"leapfrog": 512, "yoshida4": 1024, "yoshida6": 256, "yoshida8": 128}

SEMI_MAJOR_AXIS, ECCENTRICITY, TOTAL_MASS = 2.3, 0.6, 1.7
SPAN_TU = 1.3 * 2.0 * math.pi * math.sqrt(SEMI_MAJOR_AXIS**3 / TOTAL_MASS)


def kepler_orbit(time_tu):
    """Return the separation and the relative velocity (3,), ``time_tu`` after apocentre.

    Kepler's equation by Newton's method; shares nothing with the engine.
    """
    a, e = SEMI_MAJOR_AXIS, ECCENTRICITY
    frequency = math.sqrt(TOTAL_MASS / a**3)
    anomaly = frequency * time_tu + math.pi
    eccentric = anomaly
    for _ in range(50):
        miss = eccentric - e * math.sin(eccentric) - anomaly
        eccentric -= miss / (1.0 - e * math.cos(eccentric))
    b = a * math.sqrt(1.0 - e * e)
    speed = frequency / (1.0 - e * math.cos(eccentric))
    separation = [a * (math.cos(eccentric) - e), b * math.sin(eccentric), 0.0]
    velocity = [-a * speed * math.sin(eccentric), b * speed * math.cos(eccentric), 0.0]
    # Turned out of the plane: all three components of the kernels are at work.
    turn = np.array([[0.6, -0.64, 0.48], [0.8, 0.48, -0.36], [0.0, 0.6, 0.8]])
    return turn @ separation, turn @ velocity


def pair():
    separation, velocity = kepler_orbit(0.0)
    share = np.array([[-0.4], [0.6]])
    mass = np.array([0.6, 0.4]) * TOTAL_MASS
    bodies = Bodies(("large", "small"), mass, share * separation, share * velocity)
    return engine.scenario_from_bodies(bodies)


class Broken(Exception):
    """A law broke on the way."""


def miss(method, steps):
    """Return how far the pair is from Kepler's orbit after 1.3 periods."""
    state = engine.prepare(pair(), dt_tu=SPAN_TU / steps, steps=steps, integrator=method)
    violation = engine.advance(state, steps).violation
    if violation is not None:
        raise Broken(violation.quantity)
    first, second = state.positions_tu()
    return float(np.linalg.norm(second - first - kepler_orbit(SPAN_TU)[0]))


def observed_order(method):
    return math.log2(miss(method, STEPS[method]) / miss(method, 2 * STEPS[method]))


def is_seen(method):
    """Return whether the convergence or the law of energy shows that a method is not its own."""
    try:
        return observed_order(method) < ORDER[method] - 0.6
    except Broken as broken:
        return str(broken) == "energy"


def altered(method, stage):
    """Return a method with one weight and its mirror image off by 0.1 %, and the sum still 1."""
    weights = list(method.weights)
    middle = len(weights) // 2
    change = 1e-3 * weights[stage]
    weights[stage] += change
    weights[-1 - stage] += change
    weights[middle] -= 2.0 * change
    return replace(method, weights=tuple(weights))


class TestWeights:
    @pytest.mark.parametrize("name", METHODS)
    def test_are_a_palindrome_of_sum_one(self, name):
        method = INTEGRATORS[name]
        assert method.weights == method.weights[::-1]
        assert math.fsum(method.weights) == pytest.approx(1.0, abs=1e-15)
        assert len(method.weights) == method.stages == {2: 1, 4: 3, 6: 7, 8: 15}[method.order]
        # Half a kick before, between neighbours their mean, half a kick after: dt in all.
        assert method.first_kick == method.weights[0] / 2.0
        assert method.first_kick + math.fsum(method.kicks) == pytest.approx(1.0, abs=1e-14)

    @pytest.mark.parametrize("name", METHODS)
    def test_meet_the_conditions_on_sums_of_powers(self, name):
        """Order 2k needs sum w^(2j+1) = 0 for j = 1 ... k - 1: Hairer, Lubich & Wanner, II.4."""
        weights = np.array(INTEGRATORS[name].weights)
        for power in range(3, ORDER[name], 2):
            assert abs(np.sum(weights**power)) < 1e-11  # tabulated to 15 digits
        assert abs(np.sum(weights ** (ORDER[name] + 1))) > 1e-2

    @pytest.mark.parametrize("name", METHODS)
    def test_have_their_order_on_an_oscillator(self, name):
        """The frequency of a linear map is known to the last digit: a step is a rotation."""

        def error(step):
            with mpmath.workdps(30):
                matrix = mpmath.eye(2)
                for weight in map(mpmath.mpf, INTEGRATORS[name].weights):
                    kick = mpmath.matrix([[1, 0], [-weight * step / 2, 1]])
                    matrix = kick * mpmath.matrix([[1, weight * step], [0, 1]]) * kick * matrix
                return float(abs(mpmath.acos((matrix[0, 0] + matrix[1, 1]) / 2) - step))

        # The angle is off by step^(order + 1).
        order = math.log2(error(0.25) / error(0.125)) - 1.0
        assert order == pytest.approx(ORDER[name], abs=0.5)


class TestOrder:
    @pytest.mark.parametrize("name", METHODS)
    def test_errors_fall_as_promised_on_an_orbit_known_in_closed_form(self, name):
        assert observed_order(name) == pytest.approx(ORDER[name], abs=0.6)

    @pytest.mark.parametrize(
        ("name", "most"),
        [("leapfrog", 5e-3), ("yoshida4", 1e-5), ("yoshida6", 1e-7), ("yoshida8", 1e-6)],
    )
    def test_the_orbit_itself_is_right(self, name, most):
        """The convergence is to Kepler's orbit: a force constant off by 0.1 % misses by 1e-2."""
        assert miss(name, 2 * STEPS[name]) < most * SEMI_MAJOR_AXIS

    @pytest.mark.parametrize(
        ("name", "stage"),
        [
            ("yoshida4", 0),
            *(("yoshida6", i) for i in range(3)),
            *(("yoshida8", i) for i in range(7)),
        ],
    )
    def test_a_weight_off_by_a_thousandth_is_seen(self, name, stage, monkeypatch):
        """Still a palindrome of sum 1, so still exact in momentum, reversible, of order 2."""
        monkeypatch.setitem(INTEGRATORS, name, altered(INTEGRATORS[name], stage))
        assert is_seen(name)

    def test_a_step_off_by_a_thousandth_is_seen(self, monkeypatch):
        monkeypatch.setitem(
            INTEGRATORS, "leapfrog", replace(INTEGRATORS["leapfrog"], weights=(1.001,))
        )
        assert is_seen("leapfrog")

    @pytest.mark.parametrize("name", METHODS)
    def test_potentials_are_asked_for_once_a_step(self, name):
        """They are read after a step: those of its other kicks would be for nothing."""
        asked = []

        class Spy(DirectSummation):
            def evaluate(self, x, kick, k_q, u_q):
                asked.append(kick.potential_per_charge > 0.0)
                return super().evaluate(x, kick, k_q, u_q)

        request = engine.check_request("plummer", bodies=FEW, steps=2, integrator=name)
        state = prepare_state(request, Spy())
        asked.clear()
        assert engine.advance(state, 2).violation is None
        stages = state.method.stages
        assert asked == [*[False] * (stages - 1), True] * 2
        exact = np.empty_like(state.u_q)
        kick, kicks = state.kicks[-1], np.empty_like(state.k_q)
        DirectSummation().evaluate(state.x, kick, kicks, exact)
        assert np.array_equal(state.u_q, exact)

    @pytest.mark.parametrize("name", ["leapfrog", "yoshida4", "yoshida6"])
    def test_the_energy_strays_by_the_same_power(self, name):
        def strays(steps):
            state = engine.prepare(pair(), dt_tu=SPAN_TU / steps, steps=steps, integrator=name)
            largest, start = 0.0, state.energy_tu
            for _ in range(steps):
                engine.advance(state, 1)
                largest = max(largest, abs(state.energy_tu - start))
            return largest

        steps = {2: 512, 4: 256, 6: 128}[ORDER[name]]
        assert math.log2(strays(steps) / strays(2 * steps)) == pytest.approx(ORDER[name], abs=0.8)


class TestLaws:
    @pytest.mark.parametrize("integrator", METHODS)
    @pytest.mark.parametrize("name", ALL)
    def test_no_false_alarm_and_every_bit_returns(self, name, integrator):
        bodies = {"bodies": 24} if name in ("plummer", "two_clusters") else {}
        state = engine.prepare(name, integrator=integrator, **bodies)
        momentum = state.momentum_q()
        report = engine.advance(state, 2000, retrace=True)
        assert report.violation is None
        assert report.retraced
        assert state.momentum_q() == momentum
        assert state.digest() != state.digest_start
        assert engine.retrace(state, 2000).digest() == state.digest_start
        found = engine.summary(state)
        assert found["momentum"]["max_abs_error"] == 0
        for quantity in ("energy", "angular_momentum"):
            assert 0 < found[quantity]["max_abs_error"] <= found[quantity]["limit"]

    @pytest.mark.parametrize(
        ("name", "dt_tu", "integrator"),
        [
            ("kepler", 1e-5, "leapfrog"),
            ("solar_system", 1e-4, "leapfrog"),
            ("solar_system", 1e-4, "yoshida6"),
            ("figure_eight", 1e-6, "yoshida6"),
        ],
    )
    def test_no_false_alarm_at_small_steps(self, name, dt_tu, integrator):
        """A kick that is the same from step to step is rounded the same way: no random walk."""
        state = engine.prepare(name, dt_tu=dt_tu, integrator=integrator)
        assert engine.advance(state, 5000).violation is None

    @pytest.mark.parametrize("integrator", METHODS[1:])
    def test_a_momentum_that_was_altered_is_seen_in_its_step(self, integrator):
        state = engine.prepare("figure_eight", integrator=integrator)
        fault = engine.Fault("momentum", step=123, body=1, relative_size=1e-9)
        violation = engine.advance(state, 1000, fault=fault).violation
        assert violation is not None and violation.step == 123
        assert state.step == 122
        assert engine.retrace(state, 122).digest() == state.digest_start

    @pytest.mark.parametrize("integrator", METHODS)
    def test_forces_off_by_a_thousandth_break_the_law_of_energy(self, integrator):
        """Opposite kicks keep the momentum and the way back: the energy alone can tell."""
        state = engine.prepare("kepler", integrator=integrator, dt_tu=2.0**-8)
        state.sink *= math.sqrt(1.001)
        state.source *= math.sqrt(1.001)
        state.per_charge /= 1.001
        violation = engine.advance(state, 1000).violation
        assert violation is not None and violation.quantity == "energy"
        assert engine.summary(state)["momentum"]["verdict"] == "CONSERVED"

    @settings(max_examples=15, deadline=None)
    @given(
        integrator=st.sampled_from(METHODS[1:]),
        bodies=st.integers(2, 20),
        seed=st.integers(0, 10**6),
        dt_tu=st.floats(2.0**-12, 2.0**-6),
        steps=st.integers(1, 60),
    )
    def test_any_step_and_any_cluster(self, integrator, bodies, seed, dt_tu, steps):
        state = engine.prepare(
            "plummer", bodies=bodies, dt_tu=dt_tu, seed=seed, integrator=integrator
        )
        report = engine.advance(state, steps, retrace=True)
        assert report.violation is None and report.retraced

    @pytest.mark.parametrize("integrator", METHODS)
    def test_forward_with_opposite_momenta_is_the_way_back(self, integrator):
        """The same map run forwards undoes itself: an inverse that shares no direction flag."""
        state = engine.prepare("pythagorean", integrator=integrator)
        start = state.x_q.copy()
        engine.advance(state, 500)
        mirrored = State(state.request, state.names, state.mass, state.x_q.copy(), -state.p_q)
        engine.advance(mirrored, 500)
        assert np.array_equal(mirrored.x_q, start)
        assert not np.any(mirrored.p_q)


class TestThreads:
    @pytest.mark.parametrize("bodies", [FEW - 1, 700])
    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4"])
    def test_do_not_change_a_bit(self, integrator, bodies):
        """700 bodies are enough for two threads; with threads the steps are taken in Python."""
        options = {"bodies": bodies, "integrator": integrator, "steps": 8}
        alone = engine.prepare("two_clusters", **options)
        shared = engine.prepare("two_clusters", threads=2, **options)
        assert alone.runs_in_one_kernel == (bodies < FEW) and not shared.runs_in_one_kernel
        for state in (alone, shared):
            assert engine.advance(state, 8, retrace=True).retraced
        assert shared.digest() == alone.digest()
        assert engine.summary(shared) == engine.summary(alone)
        assert np.array_equal(shared.row, alone.row)


def test_the_weights_of_a_composition_may_be_any_palindrome(monkeypatch):
    """Suzuki's fourth order of five stages, not on offer: what a method is, is its weights."""
    w = 1.0 / (4.0 - 4.0 ** (1.0 / 3.0))
    suzuki = Composition("yoshida4", "Suzuki 4", 4, (w, w, 1.0 - 4.0 * w, w, w))
    monkeypatch.setitem(INTEGRATORS, "yoshida4", suzuki)
    assert observed_order("yoshida4") == pytest.approx(4.0, abs=0.3)
    state = engine.prepare("figure_eight", integrator="yoshida4")
    assert engine.advance(state, 200, retrace=True).retraced
