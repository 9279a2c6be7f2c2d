"""What every run has, whatever its integrator: request, bodies, time, history, readings.

``State`` (integers) and ``RealState`` (doubles) say how they hold positions and velocities.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from conservation import Law, Value, exact_sum
from simulation.engine.scenarios import Bodies
from simulation.engine.series import Track

if TYPE_CHECKING:
    from simulation.engine.requests import Request
    from simulation.engine.scenarios import Scenario

TRACKED = ("energy", "momentum", "angular_momentum")
STATE_BITS_PER_BODY = 6 * 64


class RunState(ABC):
    """A run at a verified step. ``laws`` are those that its integrator and its force promise."""

    laws: dict[str, Law]
    digest_start: str
    mass_0_q: int

    def __init__(self, request: Request, names: tuple[str, ...], mass: np.ndarray) -> None:
        """Start at step 0 with nothing verified yet."""
        self.request = request
        self.names = names
        self.mass = mass
        self.step = 0
        self.tracks = {name: Track() for name in TRACKED}
        # Steps whose retracing matched, and whether one did not.
        self.proved_steps = 0
        self.information_lost = False
        self.broken: dict[str, dict[str, Any]] = {}
        # Laws that are not claimed, each with the reason; their verdict is UNKNOWN.
        self.unclaimed: dict[str, str] = {}
        # What entered (positive) or left through declared sources and sinks, N-body units.
        self.flux_tu: dict[str, Value] = {}
        self.timings_s: dict[str, float] = {}
        self.residual_q = (0, 0, 0)

    @property
    @abstractmethod
    def is_reversible(self) -> bool:
        """Whether the steps can be run backwards bit for bit."""

    @property
    @abstractmethod
    def momentum_unit_tu(self) -> float:
        """What 1 in a momentum reading is in N-body units: a quantum, or 1."""

    @abstractmethod
    def positions_tu(self) -> np.ndarray:
        """Return the positions (N, 3) in N-body units."""

    @abstractmethod
    def velocities_tu(self) -> np.ndarray:
        """Return the velocities (N, 3) in N-body units."""

    @abstractmethod
    def digest(self) -> str:
        """Return the SHA-256 of everything that moves: equal states, equal digests."""

    @abstractmethod
    def reference(self, quantity: str) -> Value:
        """Return energy, momentum or angular momentum at step 0."""

    @abstractmethod
    def value(self, quantity: str) -> Value:
        """Return energy, momentum or angular momentum now."""

    @abstractmethod
    def found(self, quantity: str) -> Value:
        """Return what the refused step read."""

    @abstractmethod
    def limit(self, quantity: str) -> float:
        """Return how far energy, momentum or angular momentum may stray at this step."""

    @abstractmethod
    def limit_refused(self, quantity: str) -> float:
        """Return the limit that the refused step was held to."""

    @abstractmethod
    def scale_tu(self, quantity: str) -> float:
        """Return what the error of energy or angular momentum is held against, N-body units."""

    @property
    def definition(self) -> Scenario:
        """The scenario's units, limits and title."""
        return self.request.definition

    @property
    def scenario(self) -> str:
        """The scenario's name."""
        return self.request.scenario

    @property
    def bodies(self) -> int:
        """The number of bodies; fewer than asked for once some have merged."""
        return int(self.mass.size)

    @property
    def dt_tu(self) -> float:
        """The step in the scenario's unit of time."""
        return self.request.dt_tu

    @property
    def seed(self) -> int:
        """The seed of the initial state (0 where nothing is drawn)."""
        return self.request.seed

    @property
    def softening_tu(self) -> float:
        """The softening length of this run."""
        return self.request.softening_tu

    @property
    def time_tu(self) -> float:
        """The time since step 0 in the scenario's unit."""
        return self.step * self.dt_tu

    @property
    def time_s(self) -> float:
        """The time since step 0 in seconds."""
        return self.time_tu * self.definition.time_s

    @property
    def state_bits(self) -> int:
        """The bits of the state: six of 64 bits for each body."""
        return STATE_BITS_PER_BODY * self.bodies

    @property
    def mass_exponent(self) -> int:
        """The exponent of the coarsest power of two that divides every mass."""
        _, exponents = np.frexp(self.mass[self.mass > 0.0])
        return int(np.min(exponents)) - 53

    def mass_q(self) -> int:
        """Return the exact total mass in quanta of 2^mass_exponent."""
        exponent = self.mass_exponent
        values, counts = np.unique(self.mass, return_counts=True)
        return exact_sum(
            int(math.ldexp(float(mass), -exponent)) * int(count)
            for mass, count in zip(values, counts, strict=True)
        )

    def clone(self) -> Any:
        """Return an independent copy (of everything but a force, which keeps no state)."""
        force = getattr(self, "force", None)
        return copy.deepcopy(self, {id(force): force})

    def bodies_now(self) -> Bodies:
        """Return names, masses, positions and velocities in N-body units, and radii where bodies
        collide.
        """
        return Bodies(
            self.names,
            self.mass.copy(),
            self.positions_tu(),
            self.velocities_tu(),
            self.radii_tu(),
        )

    def radii_tu(self) -> np.ndarray | None:
        """Return the radii (N,) in N-body units; None where bodies are points."""
        return None

    def positions_m(self) -> np.ndarray:
        """Return the positions (N, 3) in metres."""
        return self.positions_tu() * self.definition.length_m

    def velocities_m_per_s(self) -> np.ndarray:
        """Return the velocities (N, 3) in metres per second."""
        return self.velocities_tu() * (self.definition.length_m / self.definition.time_s)

    def masses_kg(self) -> np.ndarray:
        """Return the masses (N,) in kilograms."""
        return self.mass * self.definition.mass_kg

    @abstractmethod
    def to_bytes(self) -> bytes:
        """Return a checkpoint; see ``checkpoints``."""
