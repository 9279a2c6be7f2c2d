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
from simulation.engine import State, collisions
from tests.simulation.engine.colliding import (
    LIGHT,
    bodies_of,
    by_name,
    crowd,
    head_on,
    permuted,
    prepare,
)


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
