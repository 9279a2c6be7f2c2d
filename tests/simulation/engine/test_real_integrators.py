"""Wisdom-Holman, SABA and IAS15 against Kepler, mpmath, each other and REBOUND (if installed)."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conservation import Kind, Status
from simulation import engine
from simulation.engine import Archive, BadRequest, Bodies, Fault, OutOfRange
from simulation.engine.checkpoints import from_bytes
from simulation.engine.errors import CheckpointDamaged
from simulation.engine.integrators import ias15, planetary
from simulation.engine.integrators import verifying as at
from tests.simulation.engine.planets import ALL, PLANETARY, energy_of, planet, prepare


class TestLaws:
    @pytest.mark.parametrize("integrator", ALL)
    def test_say_what_they_are(self, integrator):
        state = prepare(integrator)
        assert engine.advance(state, 500).violation is None
        found = engine.summary(state)
        bounded = "BOUNDED" if integrator in PLANETARY else "CONSERVED"
        assert {name: q["verdict"] for name, q in found.items()} == {
            "energy": bounded,
            "momentum": "CONSERVED",
            "angular_momentum": "CONSERVED",
            "mass": "CONSERVED",
            "information": "UNKNOWN",
        }
        assert found["momentum"]["law"] == found["angular_momentum"]["law"] == "round-off"
        assert "no exact way back" in found["information"]["reason"]
        json.dumps([found, engine.live(state)], allow_nan=False)
        assert set(engine.series(state)) == {"energy", "momentum", "angular_momentum"}

    @pytest.mark.parametrize("integrator", ALL)
    def test_information_is_never_claimed_not_even_at_the_start(self, integrator):
        state = prepare(integrator)
        assert engine.verdicts(state)["information"].status is Status.UNKNOWN
        for retraced in (
            lambda: engine.advance(state, 10, retrace=True),
            lambda: engine.prove_by_retracing(state),
            lambda: engine.run(state.request, reverse=True),
        ):
            with pytest.raises(BadRequest):
                retraced()
        assert state.step == 0

    @pytest.mark.parametrize("integrator", ALL)
    @pytest.mark.parametrize(
        ("name", "dt_tu"),
        [("outer_solar_system", 0.125), ("outer_solar_system", 4.0), ("solar_system", 2.0**-5)],
    )
    def test_no_false_alarm(self, integrator, name, dt_tu):
        steps = 2000 if integrator == "ias15" else 20_000
        outcome = engine.run(
            engine.check_request(name, integrator=integrator, dt_tu=dt_tu, steps=steps)
        )
        assert outcome.violation is None

    @pytest.mark.slow
    @pytest.mark.parametrize("integrator", ALL)
    @pytest.mark.parametrize("name", ["outer_solar_system", "solar_system"])
    @pytest.mark.parametrize("share", [1.0, 0.37, 0.11])
    def test_no_false_alarm_over_1e5_steps(self, integrator, name, share):
        dt_tu = engine.SCENARIOS[name].dt_tu_max * share
        outcome = engine.run(
            engine.check_request(name, integrator=integrator, dt_tu=dt_tu, steps=100_000)
        )
        assert outcome.violation is None

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["kepler", "figure_eight", "pythagorean"])
    def test_no_false_alarm_of_ias15_over_1e5_steps(self, name):
        request = engine.check_request(name, integrator="ias15", steps=100_000)
        assert engine.run(request).violation is None

    @pytest.mark.parametrize("bodies", [2, 3, 16, 48])
    def test_no_false_alarm_of_ias15_in_clusters(self, bodies):
        for seed in range(3):
            request = engine.check_request(
                "plummer", bodies=bodies, seed=seed, integrator="ias15", steps=64, dt_tu=2.0**-5
            )
            assert engine.run(request).violation is None

    @pytest.mark.parametrize("integrator", ALL)
    def test_ias15_is_at_round_off_the_others_within_their_bound(self, integrator):
        state = prepare(integrator, dt_tu=0.5)
        engine.advance(state, 4000)
        found = engine.summary(state)
        for quantity in ("energy", "momentum", "angular_momentum"):
            # A bound a hundred times too wide would be no test.
            assert 0.01 < found[quantity]["worst_margin"] <= 1
        if integrator == "ias15":
            scale = state.reading[at.ENERGY_SCALE] / abs(state.reading[at.ENERGY])
            brouwer = 5.0 * 2.0**-53 * math.sqrt(state.substeps) * scale
            assert found["energy"]["max_rel_error"] < brouwer
            limit = found["energy"]["limit"] / state.definition.energy_J
            reading = limit / abs(state.reading[at.ENERGY])
            assert reading < 2.0 * brouwer

    @pytest.mark.parametrize("dt_tu", [0.25, 0.5, 1.0])
    def test_wisdom_holmans_reading_is_the_energy_of_the_output(self, dt_tu):
        state = prepare("wisdom_holman", dt_tu=dt_tu)
        start = energy_of(state)
        for _ in range(20):
            engine.advance(state, 50)
            limit = state.limit("energy")
            assert abs(state.value("energy") - start) <= limit
            assert abs(energy_of(state) - start) <= limit


class TestChangedConstant:
    """0.1 % on what pulls: the law of energy sees it, whichever half it is in."""

    @pytest.mark.parametrize("integrator", PLANETARY)
    @pytest.mark.parametrize("row", ["orbit", "perturbation"])
    def test_is_seen(self, integrator, row):
        state = prepare(integrator, dt_tu=0.5)
        engine.advance(state, 200)
        if row == "orbit":
            # Jupiter's: the energy read takes it from the masses.
            state.body[planetary.ORBIT_MASS, 1] *= 1.001
        else:
            # Saturn's share of what is left of the pull.
            state.body[planetary.PER_INNER, 2] *= 1.001
        violation = engine.advance(state, 60_000).violation
        assert violation is not None
        assert violation.quantity in ("energy", "momentum")
        assert violation.error > violation.limit

    def test_is_seen_by_ias15(self):
        state = prepare("ias15", dt_tu=2.0)
        engine.advance(state, 20)
        # All pulls, and the law of mass none the wiser.
        mass = state.body[planetary.MASS]
        mass *= 1.001
        state.real[[at.MASS_BITS, at.MASS_BITS_HIGH]] = at.mass_bits(mass)
        ias15.accelerate(state.y[ias15.X], mass, 0.0, state.y[ias15.A])
        violation = engine.advance(state, 1).violation
        assert violation.quantity == "momentum"
        assert "energy" in violation.also_broken

    @pytest.mark.parametrize("integrator", ALL)
    def test_a_changed_mass_is_seen(self, integrator):
        state = prepare(integrator)
        engine.advance(state, 10)
        state.body[planetary.MASS, 1] *= 1.001
        if integrator == "ias15":
            # Without it no substep would be smooth.
            mass = state.body[planetary.MASS]
            ias15.accelerate(state.y[ias15.X], mass, 0.0, state.y[ias15.A])
        violation = engine.advance(state, 10).violation
        assert "mass" in (violation.quantity, *violation.also_broken)


class TestFault:
    @pytest.mark.parametrize("integrator", ALL)
    @pytest.mark.parametrize("step", [1, 137])
    @pytest.mark.parametrize("body", [0, 1, 4])
    def test_a_push_is_caught_in_its_step_and_undone(self, integrator, step, body):
        options = {"steps": 300, "dt_tu": 0.5}
        state, untouched = prepare(integrator, **options), prepare(integrator, **options)
        fault = Fault("momentum", step=step, body=body, relative_size=1e-6)
        report = engine.advance(state, 300, fault=fault)
        engine.advance(untouched, step - 1)
        assert report.steps_done == step - 1 == state.step
        assert report.violation.step == step
        assert report.violation.quantity == "momentum"
        assert report.violation.error > report.violation.limit
        assert state.digest() == untouched.digest()
        assert engine.verdicts(state)["momentum"].status is Status.CONSERVED
        assert engine.summary(state)["momentum"]["verdict"] == "VIOLATED"
        json.dumps(engine.summary(state), allow_nan=False)

    @pytest.mark.parametrize("integrator", ALL)
    @pytest.mark.parametrize("quantity", ["energy", "momentum", "angular_momentum", "mass"])
    def test_an_altered_reading_is_caught_in_its_step(self, integrator, quantity):
        state = prepare(integrator, dt_tu=0.5)
        fault = Fault("reading", step=100, quantity=quantity, relative_size=1e-9)
        report = engine.advance(state, 300, fault=fault)
        assert report.violation.step == 100
        assert report.violation.quantity == quantity
        assert report.violation.also_broken == ()
        assert state.step == 99
        # What follows without the fault is as if there had been none.
        other = prepare(integrator, dt_tu=0.5)
        engine.advance(other, 150)
        engine.advance(state, 51)
        assert state.digest() == other.digest()


class TestRuns:
    @pytest.mark.parametrize("integrator", ALL)
    def test_does_not_depend_on_how_it_is_cut_or_looked_at(self, integrator):
        whole, cut = prepare(integrator), prepare(integrator)
        engine.advance(whole, 60)
        for steps in (1, 2, 7, 20, 30):
            engine.advance(cut, steps)
            cut.positions_tu()
            engine.summary(cut)
        assert whole.digest() == cut.digest()
        assert whole.to_bytes() != prepare(integrator).to_bytes()

    @pytest.mark.parametrize("integrator", ALL)
    def test_a_checkpoint_goes_on_to_the_same_bytes(self, integrator):
        whole = prepare(integrator)
        engine.advance(whole, 90)
        kept = from_bytes(whole.to_bytes())
        assert isinstance(kept, engine.RealState)
        engine.advance(whole, 60)
        engine.advance(kept, 60)
        assert kept.to_bytes() == whole.to_bytes()
        assert engine.summary(kept) == engine.summary(whole)

    @pytest.mark.parametrize("integrator", ALL)
    def test_a_damaged_checkpoint_is_refused(self, integrator):
        content = bytearray(prepare(integrator).to_bytes())
        content[len(content) // 2] ^= 4
        with pytest.raises(CheckpointDamaged):
            from_bytes(bytes(content))

    @pytest.mark.parametrize("integrator", ALL)
    def test_runs_into_an_archive_and_out_of_it(self, integrator, tmp_path):
        request = engine.check_request("outer_solar_system", integrator=integrator, steps=40)
        with Archive.create(tmp_path / "run.aii") as archive:
            outcome = engine.run(request, archive=archive, snapshot_every=10)
        state = engine.read_snapshot(tmp_path / "run.aii", step=20)
        again = engine.run(request, start=state)
        assert again.digest_end == outcome.digest_end
        found = outcome.to_json()
        assert found["integrator"] == integrator
        assert found["force_rms"] is None
        json.dumps(found, allow_nan=False)

    @pytest.mark.parametrize("integrator", ALL)
    def test_custom_planets_run_and_resume(self, integrator, tmp_path):
        scenario = engine.scenario_from_bodies(planet())
        request = engine.check_request(scenario, integrator=integrator, steps=30)
        with Archive.create(tmp_path / "run.aii") as archive:
            outcome = engine.run(request, archive=archive, snapshot_every=10)
        state = engine.read_snapshot(tmp_path / "run.aii", step=10)
        engine.advance(state, 20)
        assert state.digest() == outcome.digest_end

    def test_planets_may_be_given_in_any_order(self):
        table = engine.SCENARIOS["outer_solar_system"].build(6, 0)
        order = [3, 0, 5, 1, 4, 2]
        mixed = Bodies(
            tuple(table.names[i] for i in order),
            table.mass[order],
            table.position[order],
            table.velocity[order],
        )
        scenario = engine.SCENARIOS["outer_solar_system"]
        moved = replace(scenario, name="mixed", build=lambda bodies, seed: mixed)
        for integrator in PLANETARY:
            request = replace(
                engine.check_request("outer_solar_system", integrator=integrator), custom=moved
            )
            state, straight = engine.prepare_state(request), prepare(integrator)
            engine.advance(state, 100)
            engine.advance(straight, 100)
            assert np.array_equal(state.positions_tu(), straight.positions_tu()[order])

    @settings(max_examples=25, deadline=None)
    @given(
        masses=st.lists(st.floats(0.0, 1e-3), min_size=1, max_size=5),
        seed=st.integers(0, 1000),
    )
    def test_jacobi_coordinates_come_back_and_keep_the_kinetic_energy(self, masses, seed):
        random = np.random.default_rng(seed)
        body = planetary.body_constants(np.array([1.0, *masses]))
        n = body.shape[1]
        x, q, back = random.normal(size=(n, 3)), np.empty((n, 3)), np.empty((n, 3))
        planetary.to_jacobi(x, body, q)
        planetary.to_bodies(q, body, back)
        np.testing.assert_allclose(back, x, atol=1e-14 * n)
        m = body[planetary.MASS]
        reduced = m * (1.0 - body[planetary.SHARE])
        reduced[0] = m.sum()
        squares = np.sum(q * q, axis=1)
        assert np.sum(m * np.sum(x * x, axis=1)) == pytest.approx(np.sum(reduced * squares))


class TestRequests:
    @pytest.mark.parametrize("integrator", PLANETARY)
    @pytest.mark.parametrize("name", ["kepler", "figure_eight", "plummer"])
    def test_no_dominant_mass_is_refused(self, integrator, name):
        with pytest.raises(BadRequest, match=r"softening|one body must have at least 10 times"):
            engine.check_request(name, integrator=integrator)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"integrator": "saba", "softening": 0.1}, "softening"),
            ({"integrator": "ias15", "force": "fmm"}, "force direct"),
            ({"integrator": "wisdom_holman", "collisions": "merge", "radius": 0.1}, "collisions"),
            ({"integrator": "euler"}, "There is no integrator"),
            ({"integrator": "saba", "dt_tu": math.nan}, "time step"),
            ({"integrator": "saba", "dt_tu": 1e9}, "time step"),
        ],
    )
    def test_what_does_not_go_together_is_refused(self, options, sentence):
        with pytest.raises(BadRequest, match=sentence):
            engine.check_request("outer_solar_system", **options)

    def test_more_bodies_than_pairs_can_be_summed_are_refused(self):
        with pytest.raises(BadRequest, match="up to 4096 bodies"):
            engine.check_request("plummer", bodies=5000, integrator="ias15")

    def test_bodies_that_fall_into_one_another_stop_the_run(self):
        falling = Bodies(
            ("a", "b"),
            np.array([0.5, 0.5]),
            np.array([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
            np.zeros((2, 3)),
        )
        scenario = engine.scenario_from_bodies(falling)
        state = prepare("ias15", scenario, dt_tu=scenario.dt_tu_max)
        with pytest.raises(OutOfRange, match="fall into one another"):
            engine.advance(state, 1000)
        # It stands at its last verified step.
        assert 0 < state.step < 1000
        assert engine.verdicts(state)["energy"].law.kind is Kind.ROUND_OFF
        assert np.all(np.isfinite(state.positions_tu()))

    @pytest.mark.parametrize("integrator", ALL)
    def test_a_lone_body_moves_in_a_straight_line(self, integrator):
        lone = Bodies(("one",), np.ones(1), np.array([[1.0, 2, 3]]), np.array([[0.5, 0, -1]]))
        state = prepare(integrator, engine.scenario_from_bodies(lone), steps=100)
        assert engine.advance(state, 100).violation is None
        expected = np.array([[1.0, 2, 3]]) + state.time_tu * np.array([[0.5, 0, -1]])
        np.testing.assert_allclose(state.positions_tu(), expected, rtol=1e-13)
