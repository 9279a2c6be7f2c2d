"""Units against constants that were published elsewhere, and there and back."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulation import engine
from simulation.engine import BadRequest, units
from simulation.engine.units import AU_MSUN_YR, SI, UnitSystem, convert, find_units, nbody_units

SYSTEMS = (SI, AU_MSUN_YR, nbody_units(), nbody_units(3.1e16, 4.2e33))
QUANTITIES = ("length", "mass", "time", "velocity", "acceleration", "momentum", "energy", "force")


class TestSizes:
    def test_the_gaussian_constant_is_G_in_astronomical_units(self):
        """Gauss' k (1809) in au^(3/2)/day, which shares nothing with our constants."""
        assert AU_MSUN_YR.gravitational_constant == pytest.approx(
            (0.01720209895 * 365.25) ** 2, rel=1e-9
        )

    def test_G_is_one_in_nbody_units(self):
        for system in SYSTEMS[2:]:
            assert system.gravitational_constant == pytest.approx(1.0, rel=1e-15)
        assert SI.gravitational_constant == pytest.approx(6.6743e-11, rel=1e-15)

    def test_known_numbers(self):
        # One au a year, and the Earth's mean speed, 29.785 km/s.
        assert convert(1.0, "velocity", AU_MSUN_YR, SI) == pytest.approx(4740.4705, rel=1e-8)
        assert convert(1.0, "velocity", nbody_units(), SI) == pytest.approx(29784.7, rel=1e-6)
        assert convert(1.0, "time", nbody_units(), AU_MSUN_YR) == pytest.approx(
            1 / math.tau, rel=1e-4
        )

    def test_are_the_scenarios(self):
        scenario = engine.SCENARIOS["plummer"]
        system = units.units_of(scenario)
        assert system.size_si("energy") == pytest.approx(scenario.energy_J, rel=1e-14)
        assert system.size_si("momentum") == pytest.approx(scenario.momentum_kg_m_per_s, rel=1e-14)
        assert system.size_si("angular_momentum") == pytest.approx(
            scenario.angular_momentum_kg_m2_per_s, rel=1e-14
        )


class TestConversion:
    @given(
        value=st.floats(1e-30, 1e30),
        quantity=st.sampled_from(QUANTITIES),
        source=st.sampled_from(SYSTEMS),
        target=st.sampled_from(SYSTEMS),
    )
    def test_there_and_back(self, value, quantity, source, target):
        there = convert(value, quantity, source, target)
        assert convert(there, quantity, target, source) == pytest.approx(value, rel=1e-15, abs=0)

    def test_energy_of_a_body_is_the_same_in_all_units(self):
        mass, speed = 0.3, 1.7
        energy = 0.5 * mass * speed**2
        for source in SYSTEMS:
            for target in SYSTEMS:
                m = convert(mass, "mass", source, target)
                v = convert(speed, "velocity", source, target)
                assert 0.5 * m * v**2 == pytest.approx(convert(energy, "energy", source, target))

    def test_bodies_of_SI_run_as_those_of_nbody_units(self):
        scenario = engine.SCENARIOS["kepler"]
        bodies = scenario.build(2, 0)
        system = units.units_of(scenario)
        there = units.convert_bodies(bodies, system, SI)
        back = units.convert_bodies(there, SI, system)
        assert there.position[1, 0] == pytest.approx(1.05 * scenario.length_m)
        for name in ("mass", "position", "velocity"):
            np.testing.assert_allclose(getattr(back, name), getattr(bodies, name), rtol=1e-15)


class TestBadOnes:
    @pytest.mark.parametrize(
        ("ask", "sentence"),
        [
            (lambda: find_units("imperial"), "There are no units"),
            (lambda: SI.size_si("colour"), "no unit of 'colour'"),
            (lambda: UnitSystem("mine", 1.0, 0.0, 1.0), "positive finite"),
            (lambda: UnitSystem("mine", math.nan, 1.0, 1.0), "positive finite"),
            (lambda: nbody_units(-1.0, 1.0), "positive finite"),
            (lambda: nbody_units(1.0, math.inf), "positive finite"),
        ],
    )
    def test_are_refused_with_a_sentence(self, ask, sentence):
        with pytest.raises(BadRequest, match=sentence):
            ask()

    def test_names_are_found_whatever_their_case(self):
        assert find_units("si") is SI
        assert find_units("AU-MSUN-YR") is AU_MSUN_YR
        assert find_units("N-body").time_s == nbody_units().time_s
