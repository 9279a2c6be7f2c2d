"""Laws hold on every scenario and break in the very step in which something is wrong."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conservation import Status
from simulation import engine
from simulation.engine import BadRequest, Fault
from simulation.engine.series import POINTS_MAX, Track

ALL = tuple(engine.SCENARIOS)


def request_of(name, **options):
    if name == "plummer":
        options.setdefault("bodies", 48)
    return engine.check_request(name, **options)


def prepare(name, **options):
    if name == "plummer":
        options.setdefault("bodies", 48)
    return engine.prepare(name, **options)


class TestNoFalseAlarm:
    @pytest.mark.parametrize("name", ALL)
    def test_over_the_default_length_and_back(self, name):
        outcome = engine.run(engine.check_request(name), reverse=True)
        quantities = outcome.to_json()["quantities"]
        assert outcome.violation is None
        assert {name: q["verdict"] for name, q in quantities.items()} == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "angular_momentum": "CONSERVED",
            "mass": "CONSERVED",
            "information": "CONSERVED",
        }
        assert quantities["momentum"]["max_abs_error"] == 0
        assert outcome.digest_reversed == outcome.state.digest_start
        for quantity in ("energy", "angular_momentum"):
            found = quantities[quantity]
            assert 0 < found["max_abs_error"] <= found["limit"]
            # A bound twenty times too wide would be no test.
            assert 0.05 < found["worst_margin"] <= 1

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("share", [1.0, 0.41, 0.07])
    def test_over_the_range_of_steps(self, name, share):
        scenario = engine.SCENARIOS[name]
        dt_tu = scenario.dt_tu_max * share
        steps = min(30_000, int(scenario.dt_tu * scenario.steps / dt_tu))
        outcome = engine.run(request_of(name, dt_tu=dt_tu, steps=steps))
        assert outcome.violation is None

    @pytest.mark.parametrize("bodies", [2, 3, 7, 8, 15, 63, 64])
    def test_small_clusters_at_the_largest_step(self, bodies):
        for seed in range(5):
            request = engine.check_request(
                "plummer", bodies=bodies, seed=seed, dt_tu=2.0**-5, steps=400
            )
            assert engine.run(request).violation is None

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ALL)
    def test_many_random_steps(self, name):
        random = np.random.default_rng(2026)
        scenario = engine.SCENARIOS[name]
        for _ in range(40):
            dt_tu = float(scenario.dt_tu_max * random.uniform(0.02, 1.0))
            steps = min(100_000, int(scenario.dt_tu * scenario.steps / dt_tu))
            options = {}
            if name == "plummer":
                options = {"bodies": int(random.integers(2, 200)), "seed": int(random.integers(99))}
            request = engine.check_request(name, dt_tu=dt_tu, steps=steps, **options)
            assert engine.run(request).violation is None, request

    @pytest.mark.slow
    def test_energy_has_no_secular_trend(self):
        """Slope of the energy error over 250 years of planets, against its scatter in blocks."""
        state = prepare("solar_system")
        engine.advance(state, 200_000)
        errors = engine.series(state)["energy"].error
        blocks = np.array_split(errors, 16)
        means = np.array([block.mean() for block in blocks])
        slope, _ = np.polyfit(np.arange(16.0), means, 1)
        random = np.random.default_rng(1)
        drawn = [np.polyfit(np.arange(16.0), random.choice(means, 16), 1)[0] for _ in range(2000)]
        low, high = np.percentile(drawn, [0.5, 99.5])
        assert low <= slope <= high


class TestFault:
    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("step", [1, 137, 4097])
    def test_one_quantum_of_momentum_is_caught_in_its_step_and_undone(self, name, step):
        state, untouched = prepare(name, steps=5000), prepare(name, steps=5000)
        fault = Fault("momentum", step=step, body=1, relative_size=1e-12)
        report = engine.advance(state, 5000, fault=fault)
        engine.advance(untouched, step - 1)

        assert report.steps_done == step - 1 == state.step
        violation = report.violation
        assert (violation.step, violation.quantity, violation.law) == (step, "momentum", "exact")
        assert violation.error > 0 == violation.limit
        assert violation.expected != violation.found
        assert state.digest() == untouched.digest()
        assert engine.verdicts(state)["momentum"].status is Status.CONSERVED
        assert engine.summary(state)["momentum"]["verdict"] == "VIOLATED"
        assert engine.live(state)["momentum"]["verdict"] == "VIOLATED"
        # The verified part can still be retraced.
        assert engine.prove_by_retracing(state) == state.digest_start

    @pytest.mark.parametrize("name", ALL)
    @pytest.mark.parametrize("quantity", ["energy", "momentum", "angular_momentum", "mass"])
    def test_an_altered_reading_is_caught_in_its_step(self, name, quantity):
        # The largest energy bound of all scenarios is met while three bodies nearly collide.
        size = 0.05 if quantity == "energy" else 1e-6
        state = prepare(name)
        fault = Fault("reading", step=100, quantity=quantity, relative_size=size)
        report = engine.advance(state, 300, fault=fault)
        assert report.violation.step == 100
        assert report.violation.quantity == quantity
        assert report.violation.also_broken == ()
        assert state.step == 99
        assert report.violation.error > report.violation.limit
        json.dumps(engine.summary(state), allow_nan=False)

    def test_is_applied_only_once_and_across_chunks(self):
        state = prepare("kepler")
        fault = Fault("reading", step=250, quantity="energy", relative_size=0.01)
        assert engine.advance(state, 200, fault=fault).violation is None
        assert engine.advance(state, 200, fault=fault).violation.step == 250

    def test_a_large_push_breaks_several_laws_and_the_exact_one_is_named_first(self):
        state = prepare("kepler")
        fault = Fault("momentum", step=9, body=0, relative_size=0.5)
        violation = engine.advance(state, 20, fault=fault).violation
        assert violation.quantity == "momentum"
        assert set(violation.also_broken) == {"energy", "angular_momentum"}

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("explosion", step=1),
            Fault("reading", step=1, quantity="colour"),
            Fault("momentum", step=1, quantity="energy"),
            Fault("momentum", step=0),
            Fault("momentum", step=10**9),
            Fault("momentum", step=1, body=2),
            Fault("momentum", step=1, body=-1),
            Fault("momentum", step=1, relative_size=math.nan),
            Fault("momentum", step=1, relative_size=math.inf),
            Fault("momentum", step=1, relative_size=0.0),
        ],
    )
    def test_a_senseless_one_is_refused_and_nothing_moves(self, fault):
        state = prepare("kepler")
        with pytest.raises(BadRequest):
            engine.advance(state, 10, fault=fault)
        assert state.step == 0


class TestChangedConstant:
    """Momentum stays exact when G changes: only the energy law can see it."""

    @pytest.mark.parametrize("name", ALL)
    def test_a_force_that_grows_by_a_thousandth_breaks_the_energy_law(self, name):
        state = prepare(name)
        engine.advance(state, 500)
        # Forces grow; what the energy reading makes of a potential does not. Sink and source stay
        # equal, or their products would not commute and break momentum's law first.
        root = math.sqrt(1.001)
        state.sink *= root
        state.source *= root
        state.per_charge /= 1.001
        state.kicks = [
            replace(
                kick,
                sink=kick.sink * root,
                source=kick.source * root,
                potential_per_charge=kick.potential_per_charge / 1.001,
            )
            for kick in state.kicks
        ]
        state.refresh()
        report = engine.advance(state, 60_000)
        assert report.violation.quantity == "energy"
        assert engine.verdicts(state)["momentum"].status is Status.CONSERVED

    @pytest.mark.parametrize("change", ["mass", "drift"])
    def test_a_changed_mass_or_drift_is_seen(self, change):
        state = prepare("kepler")
        engine.advance(state, 10)
        if change == "mass":
            state.mass[1] *= 1.001
        else:
            state.drift[:, 1] *= 1.001
        violation = engine.advance(state, 5000).violation
        assert violation.quantity == ("mass" if change == "mass" else "energy")


class TestSummary:
    def test_information_is_unknown_until_retraced_and_known_only_for_what_was(self):
        state = prepare("kepler")
        engine.advance(state, 100, retrace=True)
        assert engine.summary(state)["information"]["verdict"] == "CONSERVED"
        engine.advance(state, 50)
        found = engine.summary(state)["information"]
        assert (found["verdict"], found["final"], found["proved_steps"]) == ("UNKNOWN", None, 100)
        assert found["max_abs_error"] is None
        engine.prove_by_retracing(state)
        assert engine.summary(state)["information"]["final"] == 2 * 6 * 64

    def test_is_in_SI(self):
        found = engine.summary(prepare("solar_system"))
        # Jupiter carries most of it: 1.93e43.
        assert found["angular_momentum"]["initial"] == pytest.approx(3.13e43, rel=0.01)
        assert found["energy"]["initial"] == pytest.approx(-1.98e35, rel=0.01)
        assert found["mass"]["initial"] == pytest.approx(1.991e30, rel=1e-3)

    def test_json_has_no_number_that_json_lacks(self):
        for name in ALL:
            state = prepare(name)
            json.dumps([engine.summary(state), engine.live(state)], allow_nan=False)
            engine.advance(state, 3)
            json.dumps([engine.summary(state), engine.live(state)], allow_nan=False)


class TestSeries:
    @settings(max_examples=50, deadline=None)
    @given(
        chunks=st.lists(st.integers(1, 3000), min_size=1, max_size=8),
        seed=st.integers(0, 1000),
    )
    def test_is_bounded_and_keeps_the_maximum(self, chunks, seed):
        random, track, every, step = np.random.default_rng(seed), Track(), [], 0
        for size in chunks:
            errors = random.standard_cauchy(size)
            track.extend(np.arange(step + 1, step + size + 1), errors, np.full(size, 1e6))
            every.extend(errors)
            step += size
        steps, errors, _ = track.arrays()
        assert len(steps) <= POINTS_MAX + 1
        assert np.all(np.diff(steps) > 0)
        assert np.max(np.abs(errors)) == np.max(np.abs(every)) == abs(track.largest[1])
        assert track.worst_margin == np.max(np.abs(every)) / 1e6
        assert all(every[s - 1] == e for s, e in zip(steps, errors, strict=True))

    def test_of_a_run_spans_it(self):
        state = prepare("solar_system")
        engine.advance(state, 20_000)
        series = engine.series(state)["energy"]
        assert series.step[0] < 100
        assert series.step[-1] > 19_900
        summary = engine.summary(state)["energy"]
        assert np.max(np.abs(series.error)) == pytest.approx(summary["max_abs_error"])
        assert np.all(np.abs(series.error) <= series.limit)


class TestRequests:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"scenario": "mars"}, "There is no scenario"),
            ({"scenario": "kepler", "bodies": 2}, "always has 2 bodies"),
            ({"scenario": "plummer", "bodies": 1}, "Bodies must lie between"),
            ({"scenario": "plummer", "bodies": 2.0}, "whole number"),
            ({"scenario": "plummer", "bodies": True}, "whole number"),
            ({"scenario": "kepler", "steps": 0}, "Steps must lie between"),
            ({"scenario": "kepler", "steps": 10**30}, "Steps must lie between"),
            ({"scenario": "kepler", "dt_tu": math.nan}, "time step"),
            ({"scenario": "kepler", "dt_tu": -math.inf}, "time step"),
            ({"scenario": "kepler", "dt_tu": 10**400}, "time step"),
            ({"scenario": "kepler", "dt_tu": "1"}, "must be a number"),
            ({"scenario": "kepler", "seed": -1}, "Seed must lie between"),
            ({"scenario": "plummer", "bodies": 16384, "steps": 10**7}, "fewer"),
        ],
    )
    def test_bad_ones_are_refused_with_a_sentence(self, options, sentence):
        with pytest.raises(BadRequest, match=sentence):
            engine.check_request(**options)

    def test_cost_is_measured_and_grows_with_the_work(self):
        small, large = (request_of("plummer", bodies=bodies, steps=1000) for bodies in (100, 1000))
        large_s = engine.estimate_cost_s(large)
        assert (
            0 < 20 * engine.estimate_cost_s(small) < large_s < 200 * engine.estimate_cost_s(small)
        )
        assert engine.estimate_cost_s(large, retrace=True) == 2 * large_s

    def test_the_cost_of_the_multipole_method_grows_with_the_bodies_alone(self):
        small, large = (
            request_of("plummer", bodies=bodies, steps=10, force="fmm") for bodies in (10**4, 10**5)
        )
        assert 0 < engine.estimate_cost_s(large) == 10 * engine.estimate_cost_s(small)

    @pytest.mark.parametrize(
        "options", [{}, {"force": "fmm"}, {"boundary": "periodic", "box": 128.0}], ids=str
    )
    def test_more_processes_take_less_time_and_no_more_than_there_are_cores(
        self, options, monkeypatch
    ):
        monkeypatch.setattr("simulation.engine.cost._cores", lambda: 4)
        request = request_of("plummer", bodies=4096, steps=10, **options)
        one, two, four, many = (
            engine.estimate_cost_s(request, workers=each) for each in (1, 2, 4, 64)
        )
        assert one / 4 <= four == many < two < one

    def test_a_run_stops_when_told_and_reports_progress(self):
        seen = []
        outcome = engine.run(
            request_of("plummer", bodies=512, steps=10_000),
            on_progress=seen.append,
            should_stop=lambda: len(seen) >= 2,
        )
        assert outcome.stopped
        assert 0 < outcome.state.step < 10_000
        assert [p.steps_done for p in seen] == sorted(p.steps_done for p in seen)
