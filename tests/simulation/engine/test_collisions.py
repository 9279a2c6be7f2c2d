"""Collisions: textbook outcomes, exact momentum, the energy booked, one answer for every order."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest, Fault, State, collisions
from simulation.engine.scenarios import Bodies


def bodies_of(mass, position, velocity, names=None):
    mass = np.array(mass, float)
    names = names or tuple(f"b{i}" for i in range(mass.size))
    return Bodies(tuple(names), mass, np.array(position, float), np.array(velocity, float))


def prepare(bodies, softening_tu=0.0, **options):
    scenario = engine.scenario_from_bodies(bodies, softening_tu=softening_tu)
    options.setdefault("dt_tu", scenario.dt_tu)
    return engine.prepare(scenario, **options)


# So light that gravity does nothing within the test: collisions alone.
LIGHT = 1e-9


def head_on(restitution=None, kind="bounce", mass=(LIGHT, 2 * LIGHT), across=0.0):
    bodies = bodies_of(mass, [[-1.0, across, 0], [1.0, 0, 0]], [[1.0, 0, 0], [-0.5, 0, 0]])
    return prepare(
        bodies, dt_tu=2.0**-7, collisions=kind, restitution=restitution, radius=0.25, steps=400
    )


def crowd(seed, count=24, unequal=True, spread=1.0, mass=1.0):
    random = np.random.default_rng(seed)
    each = random.uniform(0.5, 2.0, count) if unequal else np.ones(count)
    position = random.uniform(-spread, spread, (count, 3))
    velocity = random.normal(0.0, 0.4, (count, 3))
    return bodies_of(mass * each / count, position, velocity)


def by_name(state):
    """Everything that moves, whatever the order of the bodies."""
    rows = np.argsort(np.array(state.names))
    arrays = (state.mass[rows], state.x_q[:, rows], state.p_q[:, rows], state.radius_q[rows])
    return tuple(np.array(state.names)[rows]), *(array.tobytes() for array in arrays)


def permuted(bodies, order, radii):
    order = list(order)
    moved = Bodies(
        tuple(bodies.names[i] for i in order),
        bodies.mass[order],
        bodies.position[order],
        bodies.velocity[order],
    )
    return moved, [radii[i] for i in order]


class TestBounce:
    @pytest.mark.parametrize("restitution", [1.0, 0.7, 0.25, 0.0])
    def test_head_on_against_the_textbook(self, restitution):
        """v1' = (m1 u1 + m2 u2 + m2 e (u2 - u1)) / (m1 + m2), and so for v2'."""
        state = head_on(restitution)
        assert engine.advance(state, 300).violation is None
        m1, m2, u1, u2 = 1.0, 2.0, 1.0, -0.5
        v1 = (m1 * u1 + m2 * u2 + m2 * restitution * (u2 - u1)) / (m1 + m2)
        v2 = (m1 * u1 + m2 * u2 + m1 * restitution * (u1 - u2)) / (m1 + m2)
        np.testing.assert_allclose(state.velocities_tu()[:, 0], [v1, v2], atol=1e-7)
        assert state.bodies == 2
        found = engine.summary(state)["energy"]
        lost = 0.5 * (1 - restitution**2) * (m1 * m2 / (m1 + m2)) * 1.5**2 * LIGHT
        if restitution == 1.0:
            assert "flux" not in found
        else:
            unit = state.definition.energy_J
            assert found["flux"][0] / unit == pytest.approx(-lost, rel=1e-7)
        assert found["verdict"] == "BOUNDED"

    def test_off_centre_only_the_line_of_centres_is_turned_round(self):
        state = head_on(1.0, mass=(LIGHT, LIGHT), across=0.3)
        spin = engine.verdicts(state)["angular_momentum"].found
        engine.advance(state, 300)
        first, second = state.velocities_tu()
        # The angle of the line of centres follows from the deflection; both speeds agree on it.
        relative = first - second
        assert np.linalg.norm(relative) == pytest.approx(1.5, rel=1e-6)
        line = (relative - [1.5, 0, 0]) / np.linalg.norm(relative - [1.5, 0, 0])
        assert line @ [1.5, 0, 0] == pytest.approx(-(line @ relative), rel=1e-6)
        assert 0.2 < abs(line[1]) < 0.8
        np.testing.assert_allclose(
            engine.verdicts(state)["angular_momentum"].found, spin, atol=1e-8 * LIGHT
        )

    def test_three_at_once_gain_no_energy(self):
        """Impulses taken all from the first speeds would give 7/4 of the energy."""
        up, side = math.sqrt(3) / 2, 0.5
        d = 0.49
        bodies = bodies_of(
            [LIGHT] * 3,
            [[0, 0, 0], [d * up, d * side, 0], [d * up, -d * side, 0]],
            [[1.0, 0, 0], [0, 0, 0], [0, 0, 0]],
        )
        state = prepare(bodies, dt_tu=2.0**-10, collisions="bounce", radius=0.25)
        assert engine.advance(state, 20).violation is None
        speed2 = np.sum(state.velocities_tu() ** 2)
        assert speed2 == pytest.approx(1.0, rel=1e-6)

    def test_newtons_cradle(self):
        row = [[0.5 * i, 0, 0] for i in range(1, 5)]
        bodies = bodies_of([LIGHT] * 5, [[-1.0, 0, 0], *row], [[1.0, 0, 0], *[[0, 0, 0]] * 4])
        state = prepare(bodies, dt_tu=2.0**-7, collisions="bounce", radius=0.25)
        assert engine.advance(state, 256).violation is None
        np.testing.assert_allclose(state.velocities_tu()[:, 0], [0, 0, 0, 0, 1.0], atol=1e-6)

    @pytest.mark.parametrize("restitution", [1.0, 0.5])
    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4"])
    def test_a_gas_under_gravity_keeps_its_laws(self, restitution, integrator):
        state = prepare(
            crowd(3),
            softening_tu=0.2,
            collisions="bounce",
            restitution=restitution,
            radius=0.15,
            integrator=integrator,
        )
        momentum = state.momentum_q()
        before = engine.summary(state)["energy"]["initial"]
        assert engine.advance(state, 1500).violation is None
        found = engine.summary(state)
        assert state.momentum_q() == momentum
        assert found["momentum"]["max_abs_error"] == 0
        assert found["energy"]["initial"] == before
        assert found["energy"]["verdict"] == "BOUNDED"
        assert found["angular_momentum"]["verdict"] == "CONSERVED"
        assert found["energy"]["worst_margin"] <= 1
        if restitution < 1.0:
            # What was booked is what is missing: the flux matters, or this would be VIOLATED.
            assert found["energy"]["flux"][0] < -10 * found["energy"]["limit"]
        json.dumps([found, engine.live(state)], allow_nan=False)

    def test_a_bounce_that_is_off_by_a_thousandth_is_caught_in_its_step(self, monkeypatch):
        clean = head_on(1.0)
        engine.advance(clean, 300)
        state = head_on(1.0)
        exact = collisions._bounce

        def wrong(state, i, j):
            before = state.p_q[:, j].copy()
            taken = exact(state, i, j)
            extra = np.rint(1e-3 * (state.p_q[:, j] - before)).astype(np.int64)
            state.p_q[:, j] += extra
            state.p_q[:, i] -= extra
            return taken

        monkeypatch.setattr(collisions, "_bounce", wrong)
        report = engine.advance(state, 300)
        assert report.violation.quantity == "energy"
        assert 100 < report.violation.step < 150
        assert state.step == report.violation.step - 1
        twin = head_on(1.0)
        monkeypatch.undo()
        engine.advance(twin, state.step)
        assert twin.digest() == state.digest()


class TestMerge:
    def test_two_become_one_with_everything_accounted_for(self):
        state = head_on(kind="merge", across=0.2)
        momentum, mass = state.momentum_q(), state.mass_q()
        assert engine.advance(state, 300).violation is None
        assert state.bodies == 1
        assert state.names == ("b1",)
        assert state.momentum_q() == momentum
        assert state.mass_q() == mass
        np.testing.assert_allclose(state.velocities_tu()[0], [0, 0, 0], atol=1e-9)
        assert state.radius_q[0] * state.grid.length_quantum == pytest.approx(
            0.25 * 2 ** (1 / 3), rel=1e-9
        )
        found = engine.summary(state)
        assert {name: found[name]["verdict"] for name in found} == {
            "energy": "BOUNDED",
            "momentum": "CONSERVED",
            "angular_momentum": "CONSERVED",
            "mass": "CONSERVED",
            "information": "UNKNOWN",
        }
        unit = state.definition.energy_J
        assert found["energy"]["flux"][0] / unit == pytest.approx(
            -0.5 * (2 / 3) * 1.5**2 * LIGHT, rel=1e-6
        )
        # The relative motion of reduced mass 2/3 at impact parameter 0.2, speed 1.5.
        spin = state.definition.angular_momentum_kg_m2_per_s
        assert found["angular_momentum"]["flux"][2] / spin == pytest.approx(
            (2 / 3) * 0.2 * 1.5 * LIGHT, rel=1e-6
        )
        assert "bits are lost" in found["information"]["reason"]
        json.dumps([found, engine.live(state)], allow_nan=False)

    def test_the_centre_is_the_exact_one_rounded_to_a_quantum(self):
        state = head_on(kind="merge", mass=(0.3 * LIGHT, 0.7 * LIGHT), across=0.2)
        while state.bodies == 2:
            before = state.clone()
            engine.advance(state, 1)
        # The same last step without a merger.
        alone = bodies_of(before.mass, before.positions_tu(), before.velocities_tu())
        assert alone.mass.size == 2
        other = State(before.request, before.names, before.mass, before.x_q, before.p_q)
        other.radius_q = np.zeros(2, dtype=np.int64)
        engine.advance(other, 1)
        assert other.bodies == 2
        shares = [Fraction(float(m)) for m in other.mass]
        for a in range(3):
            exact = sum(m * int(q) for m, q in zip(shares, other.x_q[a], strict=True)) / sum(shares)
            assert abs(exact - int(state.x_q[a, 0])) <= Fraction(1, 2)
            assert int(state.p_q[a, 0]) == int(other.p_q[a, 0]) + int(other.p_q[a, 1])

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
    def test_a_chain_of_four_becomes_one_at_once_in_any_order(self, order):
        """Each touches the next and approaches it; the ends do not touch one another."""
        bodies = bodies_of(
            [LIGHT, 2 * LIGHT, 3 * LIGHT, 4 * LIGHT],
            [[-0.7, 0, 0], [-0.25, 0.1, 0], [0.2, 0, 0], [0.65, -0.1, 0.1]],
            [[0.4, 0, 0], [0.1, 0, 0], [-0.1, 0, 0], [-0.3, 0, 0]],
        )
        moved, radii = permuted(bodies, order, [0.25] * 4)
        state = prepare(moved, dt_tu=2.0**-9, collisions="merge", radius=radii)
        momentum = state.momentum_q()
        assert engine.advance(state, 1).violation is None
        assert state.bodies == 1
        assert state.names == ("b3",)
        assert state.momentum_q() == momentum
        reference = prepare(bodies, dt_tu=2.0**-9, collisions="merge", radius=0.25)
        engine.advance(reference, 1)
        assert by_name(state) == by_name(reference)

    @settings(max_examples=12, deadline=None)
    @given(seed=st.integers(0, 10**6), kind=st.sampled_from(["merge", "bounce"]))
    def test_the_order_of_the_input_does_not_matter(self, seed, kind):
        bodies = crowd(seed, 16)
        random = np.random.default_rng(seed + 1)
        radii = list(random.uniform(0.05, 0.3, 16))
        ends = []
        for order in (range(16), random.permutation(16), range(15, -1, -1)):
            moved, moved_radii = permuted(bodies, order, radii)
            state = prepare(moved, softening_tu=0.2, collisions=kind, radius=moved_radii)
            momentum, mass = state.momentum_q(), state.mass_q()
            assert engine.advance(state, 120).violation is None
            assert state.momentum_q() == momentum
            assert state.mass_q() == mass
            ends.append(by_name(state))
        assert ends[0] == ends[1] == ends[2]

    @pytest.mark.parametrize("integrator", ["leapfrog", "yoshida4"])
    @pytest.mark.parametrize("seed", range(3))
    def test_a_cluster_that_coagulates_keeps_its_laws(self, seed, integrator):
        state = prepare(
            crowd(seed, 40),
            softening_tu=0.1,
            collisions="merge",
            radius=0.15,
            integrator=integrator,
        )
        momentum, mass = state.momentum_q(), state.mass_q()
        assert engine.advance(state, 1500).violation is None
        assert state.bodies < 36
        assert (state.momentum_q(), state.mass_q()) == (momentum, mass)
        found = engine.summary(state)
        assert found["energy"]["verdict"] == "BOUNDED"
        assert found["energy"]["worst_margin"] <= 1
        assert abs(found["energy"]["flux"][0]) > 3 * found["energy"]["limit"]
        assert found["angular_momentum"]["verdict"] == "CONSERVED"

    @pytest.mark.parametrize("threads", [1, 2])
    def test_threads_do_not_matter(self, threads):
        state = engine.prepare(
            "plummer", bodies=700, collisions="merge", radius=0.05, threads=threads
        )
        engine.advance(state, 20)
        assert state.bodies < 700
        reference = engine.prepare("plummer", bodies=700, collisions="merge", radius=0.05)
        engine.advance(reference, 20)
        assert state.digest() == reference.digest()

    @pytest.mark.parametrize(
        "spoil",
        [
            ("mass", lambda state: state.mass.__setitem__(0, state.mass[0] * 1.001)),
            ("momentum", lambda state: state.p_q.__setitem__((1, 0), state.p_q[1, 0] + 1)),
            ("angular_momentum", lambda s: s.x_q.__setitem__((0, 0), s.x_q[0, 0] + 2**40)),
        ],
        ids=lambda spoil: spoil[0],
    )
    def test_a_merger_that_goes_wrong_is_caught_and_undone(self, spoil, monkeypatch):
        quantity, change = spoil
        state = head_on(kind="merge", across=0.2)
        exact = State.replace_bodies

        def wrong(self, *parts):
            exact(self, *parts)
            change(self)
            np.multiply(self.x_q, self.grid.length_quantum, out=self.x)

        monkeypatch.setattr(State, "replace_bodies", wrong)
        # A body at rest turns nothing, wherever it is put: give the pair a common speed.
        state.p_q[1] = np.rint(0.4 * state.mass / state.grid.momentum_quantum).astype(np.int64)
        state = State(state.request, state.names, state.mass, state.x_q, state.p_q)
        momentum = state.momentum_q()
        report = engine.advance(state, 400)
        assert report.violation is not None
        assert quantity in (report.violation.quantity, *report.violation.also_broken)
        assert state.bodies == 2
        assert state.momentum_q() == momentum
        assert state.step == report.violation.step - 1
        monkeypatch.undo()
        assert engine.advance(state, 2).violation is None
        assert state.bodies == 1

    def test_bodies_that_part_do_not_merge(self):
        bodies = bodies_of([LIGHT] * 2, [[-0.1, 0, 0], [0.1, 0, 0]], [[-1.0, 0, 0], [1.0, 0, 0]])
        state = prepare(bodies, dt_tu=2.0**-8, collisions="merge", radius=0.25)
        engine.advance(state, 100)
        assert state.bodies == 2

    def test_bodies_of_one_place_and_speed_stay_apart(self):
        """No line of centres, no approach: nothing is divided by zero."""
        for kind in ("merge", "bounce"):
            bodies = bodies_of(
                [1.0, 1.0, 1.0], [[0, 0, 0], [0, 0, 0], [2.0, 0, 0]], np.zeros((3, 3))
            )
            state = prepare(bodies, softening_tu=0.3, collisions=kind, radius=0.1)
            assert engine.advance(state, 50).violation is None
            assert state.bodies == 3


class TestTouching:
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 10**6), count=st.integers(2, 40))
    def test_finds_the_pairs_of_a_plain_search(self, seed, count):
        bodies = crowd(seed, count)
        radii = list(np.random.default_rng(seed).uniform(0.01, 0.5, count))
        state = prepare(bodies, softening_tu=0.1, collisions="bounce", radius=radii)
        x, v = state.positions_tu(), state.velocities_tu()
        expected = {
            (i, j)
            for i in range(count)
            for j in range(i + 1, count)
            if np.linalg.norm(x[j] - x[i]) <= radii[i] + radii[j]
            and (x[j] - x[i]) @ (v[j] - v[i]) < 0
        }
        found = collisions.touching_pairs(state)
        assert {tuple(sorted(map(int, pair))) for pair in found} == expected

    def test_more_pairs_than_there_is_room_for(self):
        random = np.random.default_rng(0)
        position = random.normal(0, 0.1, (30, 3))
        bodies = bodies_of([1 / 30] * 30, position, -position)
        state = prepare(bodies, softening_tu=0.5, collisions="merge", radius=1.0)
        assert len(collisions.touching_pairs(state)) == 30 * 29 // 2
        momentum = state.momentum_q()
        assert engine.advance(state, 1).violation is None
        assert state.bodies == 1
        assert state.momentum_q() == momentum
        assert state.mass[0] == pytest.approx(1.0)

    @given(value=st.integers(0, 10**60))
    def test_cube_root(self, value):
        root = collisions._cube_root(value)
        assert root**3 <= value < (root + 1) ** 3


class TestHistory:
    @pytest.mark.parametrize("kind", ["merge", "bounce"])
    def test_a_resumed_run_ends_on_the_same_digest_with_the_same_summary(self, kind):
        options = {"softening_tu": 0.1, "collisions": kind, "radius": 0.08}
        if kind == "bounce":
            options["restitution"] = 0.5
        whole, half = prepare(crowd(1, 40), **options), prepare(crowd(1, 40), **options)
        engine.advance(whole, 600)
        engine.advance(half, 400)
        assert kind == "bounce" or half.bodies < 40
        resumed = State.from_bytes(half.to_bytes())
        assert resumed.to_bytes() == half.to_bytes()
        engine.advance(resumed, 200)
        assert resumed.digest() == whole.digest()
        assert engine.summary(resumed) == engine.summary(whole)

    def test_is_not_retraced(self):
        state = head_on(kind="merge")
        with pytest.raises(BadRequest, match="bits are lost"):
            engine.advance(state, 10, retrace=True)
        assert state.step == 0
        engine.advance(state, 10)
        with pytest.raises(BadRequest, match="cannot be retraced"):
            engine.prove_by_retracing(state)
        request = engine.check_request(
            "plummer", bodies=8, steps=5, collisions="bounce", radius=0.1
        )
        with pytest.raises(BadRequest, match=r"backwards|retraced"):
            engine.run(request, reverse=True)

    def test_runs_as_a_whole(self):
        request = engine.check_request(
            "plummer", bodies=200, steps=100, collisions="merge", radius=0.1
        )
        outcome = engine.run(request)
        assert outcome.violation is None
        assert outcome.state.bodies < 200
        found = outcome.to_json()
        json.dumps(found, allow_nan=False)
        assert "merge" in found["provenance"]["force"]
        assert found["quantities"]["momentum"]["verdict"] == "CONSERVED"
        assert found["quantities"]["information"]["verdict"] == "UNKNOWN"

    def test_a_fault_is_caught_and_one_on_a_body_that_merged_is_refused(self):
        state = head_on(kind="merge")
        fault = Fault("momentum", step=200, body=1)
        with pytest.raises(BadRequest, match="has merged"):
            engine.advance(state, 300, fault=fault)
        assert state.step == 199
        again = head_on(1.0)
        assert engine.advance(again, 300, fault=fault).violation.step == 200


class TestOff:
    def test_no_collisions_no_change(self):
        """Bodies that never touch move as those that cannot; the fast path is kept without."""
        plain = engine.prepare("kepler")
        assert plain.runs_in_one_kernel
        far = engine.prepare("kepler", collisions="bounce", radius=1e-6)
        assert not far.runs_in_one_kernel
        for state in (plain, far):
            engine.advance(state, 500)
        assert far.digest() == plain.digest()
        assert engine.summary(far)["energy"]["limit"] == engine.summary(plain)["energy"]["limit"]


class TestBadOnes:
    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"collisions": "explode", "radius": 0.1}, "bounce or merge"),
            ({"collisions": "merge"}, "need a radius"),
            ({"collisions": "merge", "radius": -1.0}, "positive and finite"),
            ({"collisions": "merge", "radius": 0.0}, "positive and finite"),
            ({"collisions": "merge", "radius": math.nan}, "positive and finite"),
            ({"collisions": "merge", "radius": "big"}, "must be a number"),
            ({"collisions": "merge", "radius": [0.1, -0.1]}, "positive and finite"),
            ({"collisions": "merge", "radius": [0.1, 0.1, 0.1]}, "3 radii"),
            ({"collisions": "merge", "radius": True}, "must be a number"),
            ({"collisions": "merge", "radius": 0.1, "restitution": 0.5}, "no restitution"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": -0.1}, "between 0 and 1"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": 1.1}, "between 0 and 1"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": math.nan}, "between 0 and 1"),
            ({"collisions": "bounce", "radius": 0.1, "restitution": "e"}, "must be a number"),
            ({"radius": 0.1}, "goes with collisions"),
            ({"restitution": 0.1}, "goes with collisions"),
        ],
    )
    def test_are_refused_with_a_sentence(self, options, sentence):
        with pytest.raises(BadRequest, match=sentence):
            engine.check_request("kepler", **options)

    def test_what_does_not_go_together(self):
        with pytest.raises(BadRequest, match="force direct"):
            engine.check_request("plummer", force="fmm", collisions="merge", radius=0.1)
        with pytest.raises(BadRequest, match="user forces"):
            engine.prepare(
                "kepler",
                collisions="merge",
                radius=0.1,
                user_forces=[engine.galactic_tide(1.0)],
            )
        ghost = bodies_of([1.0, 0.0], [[0, 0, 0], [1, 0, 0]], np.zeros((2, 3)))
        with pytest.raises(BadRequest, match="mass for every body"):
            prepare(ghost, collisions="bounce", radius=0.1)
        dust = bodies_of([1.0, 1e-30], [[0, 0, 0], [1, 0, 0]], np.zeros((2, 3)))
        with pytest.raises(BadRequest, match="differ too much"):
            prepare(dust, collisions="merge", radius=0.1)
