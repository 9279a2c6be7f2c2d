"""The state of one run: the integers that move, the references of its laws, what was found."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from conservation import Value, exact_sum
from simulation.engine import kernels
from simulation.engine.boundaries import (
    BOX_QUANTA,
    energy_scale_tu,
    laws_with_boundary,
    unclaimed_by_boundary,
    wrap,
)
from simulation.engine.bounds import second_order_bound, verify_energy_with_fields
from simulation.engine.collisions import laws_with_collisions, radii_in_quanta, unclaimed_laws
from simulation.engine.errors import BadRequest, NoAnswer, OutOfRange
from simulation.engine.forces import Evaluation, Force, Kick
from simulation.engine.forces.direct import FEW, DirectSummation, PairSummation
from simulation.engine.forces.images import PeriodicSummation
from simulation.engine.forces.user import (
    ROUND_OFF,
    UserForce,
    add_user_kicks,
    broken_laws,
    check_user_forces,
    laws_with,
)
from simulation.engine.integer_state import IntegerState, grid_of, inertia_of
from simulation.engine.integrators import INTEGRATORS, Composition
from simulation.engine.promises import promises
from simulation.engine.requests import Request

_BROKE = {
    "energy": kernels.BROKE_ENERGY,
    "momentum": kernels.BROKE_MOMENTUM,
    "angular_momentum": kernels.BROKE_SPIN,
}
_LIMIT = {"energy": kernels.ENERGY_LIMIT, "angular_momentum": kernels.SPIN_LIMIT}


class State(IntegerState):
    """Positions and momenta of a run as (3, N) int64, with all that verifying its steps needs.

    Made by ``engine.prepare`` or ``checkpoints.from_bytes``; changed by ``engine.advance`` alone.
    """

    def __init__(
        self,
        request: Request,
        names: tuple[str, ...],
        mass: np.ndarray,
        x_q: np.ndarray,
        p_q: np.ndarray,
        force: Force | None = None,
        user_forces: Iterable[UserForce] = (),
        radius_q: np.ndarray | None = None,
    ) -> None:
        """Take the integers of step 0 and read every quantity's reference from them.

        ``radius_q`` (N,) int64 are the radii where some bodies have merged already.
        """
        super().__init__(request, names, mass)
        self.user_forces = check_user_forces(user_forces)
        if self.user_forces and request.collisions is not None:
            raise BadRequest("Collisions and user forces do not go together yet; give one of them.")
        self.laws = laws_with_boundary(promises(request), request)
        self.laws = laws_with_collisions(self.laws, request)
        self.laws = laws_with(self.laws, self.user_forces)
        self.unclaimed = {
            **broken_laws(self.user_forces),
            **unclaimed_laws(request),
            **unclaimed_by_boundary(request),
        }
        self._mass_exponent = super().mass_exponent
        self.x_q = x_q
        self.p_q = p_q
        self.force: Force = force if force is not None else make_force(request)
        self.grid = grid_of(request)
        if getattr(self.force, "box", None) != request.box:
            raise BadRequest("The force must know the box of the run, its side and its images.")
        # The side of a periodic box in quanta, 0 in open space.
        self.side_q = 0 if request.box is None else BOX_QUANTA
        if self.side_q:
            # A coordinate of just half the side is the other end's.
            self.x_q = x_q.copy()
            wrap(self.x_q, self.side_q)
        if request.collisions is not None:
            found = radii_in_quanta(request, self.grid.length_quantum)
            self.radius_q = found if radius_q is None else radius_q
        self._allocate()
        self._take_references()
        self.digest_start = self.digest()

    def replace_bodies(
        self,
        names: tuple[str, ...],
        mass: np.ndarray,
        x_q: np.ndarray,
        p_q: np.ndarray,
        radius_q: np.ndarray,
    ) -> None:
        """Go on with other bodies, some of which have merged; their kicks are not known yet."""
        self.names, self.mass, self.radius_q = names, mass, radius_q
        self.x_q, self.p_q = np.ascontiguousarray(x_q), np.ascontiguousarray(p_q)
        self._allocate_bodies()
        np.multiply(self.x_q, self.grid.length_quantum, out=self.x)
        self.mass_bits_0 = exact_sum(mass.view(np.int64))

    @property
    def mass_bits_0(self) -> int:
        """The sum of the masses' bits modulo 2^64, which steps without a merger keep."""
        return int(self.whole[kernels.MASS_BITS_0])

    @mass_bits_0.setter
    def mass_bits_0(self, total: int) -> None:
        self.whole[kernels.MASS_BITS_0] = _wrap(total)

    def _allocate_bodies(self) -> None:
        n, method = self.bodies, self.method
        quantum = self.grid.momentum_quantum
        # What moves a test particle is its velocity: any mass serves to count it in quanta.
        self.inertia = inertia_of(self.mass)
        self.kicks = [self._kick(abs(weight)) for weight in method.kicks]
        # Readings are taken after a step, at the positions of its last kick.
        self.kicks[:-1] = [replace(kick, potential_per_charge=0.0) for kick in self.kicks[:-1]]
        self.sink = np.array([kick.sink for kick in self.kicks])
        self.source = np.array([kick.source for kick in self.kicks])
        self.per_charge = np.array([kick.potential_per_charge for kick in self.kicks])
        moves = np.array(method.weights)[:, None] * self.dt_tu * quantum
        self.drift = moves / (self.inertia * self.grid.length_quantum)
        self.x = np.zeros((3, n))
        self.k_q = np.zeros((3, n), dtype=np.int64)
        self.u_q = np.zeros(n, dtype=np.int64)
        self.before = np.zeros((4, 3, n), dtype=np.int64)

    def _allocate(self) -> None:
        method, quantum = self.method, self.grid.momentum_quantum
        # Why the force's processes did not finish the last step that was begun.
        self.silence: NoAnswer | None = None
        self.whole = np.zeros(kernels.WHOLES, dtype=np.int64)
        self._allocate_bodies()
        self.sign = np.array([1 if weight >= 0.0 else -1 for weight in method.kicks])
        self.reading = np.zeros(kernels.READINGS)
        self.row = np.zeros(kernels.COLUMNS)
        self.refused = np.zeros(kernels.COLUMNS)
        self.whole[kernels.PAIR_BITS] = self.grid.pair_bits
        self.real = np.zeros(kernels.REALS)
        self.real[kernels.LENGTH_QUANTUM] = self.grid.length_quantum
        self.real[kernels.MOMENTUM_QUANTUM] = quantum
        self.real[kernels.DT] = self.dt_tu
        self.real[kernels.SOFTENING2] = self.softening_tu**2
        self.real[kernels.POTENTIAL_QUANTUM] = self.grid.potential_quantum
        self.real[kernels.FORCE_QUANTUM] = quantum / (method.first_kick * self.dt_tu)
        self.real[kernels.STAGES] = method.stages
        self.real[kernels.PATH] = sum(abs(weight) for weight in method.weights)
        self.real[kernels.ORDER] = method.order
        self.real[kernels.COHERENCE] = max(1.0, self.definition.dt_tu / self.dt_tu)
        self.real[kernels.ENERGY_COEFFICIENT] = method.energy_coefficient
        self.real[kernels.FORCE_ERROR] = self.request.accuracy or 0.0
        if self.has_fields:
            self.real[kernels.FORCE_ERROR] += ROUND_OFF
        # The potential energy of user forces, its parts by magnitude, and the scale of all others.
        self.field_energy_tu = self.field_scale_tu = self.energy_scale_0 = 0.0

    def _kick(self, weight: float) -> Kick:
        """Return how hard pairs kick in ``weight`` steps."""
        quantum = self.grid.momentum_quantum
        root = math.sqrt(self.dt_tu * weight / quantum)
        # A product of charges is a product of masses times the step in quanta: undo that for the
        # potential.
        to_mass2 = quantum / (self.dt_tu * weight)
        return Kick(
            sink=self.inertia * root,
            source=self.mass * root,
            softening2=self.softening_tu**2,
            potential_per_charge=to_mass2 / self.grid.potential_quantum,
            pair_bits=self.grid.pair_bits,
        )

    @property
    def has_fields(self) -> bool:
        """Whether more acts than the pairs of open space."""
        return bool(self.user_forces) or self.request.box is not None

    @property
    def runs_in_one_kernel(self) -> bool:
        """Whether steps are taken inside one kernel: few bodies, direct summation, one thread."""
        if self.has_fields or self.request.collisions is not None or self.bodies >= FEW:
            return False
        return isinstance(self.force, DirectSummation) and self.force.threads == 1

    @property
    def watched(self) -> int:
        """The bits of the laws that are claimed; see ``kernels``."""
        return ~sum(_BROKE.get(name, 0) for name in self.unclaimed)

    @property
    def steps_at_once_max(self) -> int | None:
        """How many steps may be taken in one stretch; None for any number.

        A user's function may raise: then the steps before it must have been counted. A merger
        changes the shape of the state.
        """
        return 1 if self.user_forces or self.request.collisions is not None else None

    def evaluate(self, stage: int, direction: int = 0) -> Evaluation:
        """Write the kicks of a stage at the current positions, and add up what it cost.

        ``direction`` is that of the step under way, 0 for the state as it stands.
        """
        found = self.force.evaluate(self.x, self.kicks[stage], self.k_q, self.u_q)
        self.residual_q = found.residual_q
        for name, seconds in found.timings_s.items():
            self.timings_s[name] = self.timings_s.get(name, 0.0) + seconds
        if self.user_forces and found.within:
            add_user_kicks(self, stage, self._time_of_kick_tu(stage, direction))
        return found

    def _time_of_kick_tu(self, stage: int, direction: int) -> float:
        """Return the time of the kick after a stage's drift, the same number on either way."""
        if direction == 0:
            return self.time_tu
        weights, stages = self.method.weights, self.method.stages
        begin = self.step if direction > 0 else self.step - 1
        drifts = stage + 1 if direction > 0 else stages - 1 - stage
        share = 1.0 if drifts == stages else math.fsum(weights[:drifts])
        return (begin + share) * self.dt_tu

    def refresh(self) -> None:
        """Recompute forces and readings from the integers (after a rollback or a checkpoint)."""
        np.multiply(self.x_q, self.grid.length_quantum, out=self.x)
        if not self.evaluate(-1).within:
            raise OutOfRange(
                f"{self.definition.title} cannot start: two bodies are too close for its integers."
            )
        self.read()

    def read(self) -> None:
        """Read energy and angular momentum of the integers and kicks as they stand."""
        kernels.read_state(self.x, self.p_q, self.k_q, self.u_q, self.mass, self.real, self.reading)
        self.reading[kernels.POTENTIAL] += self.field_energy_tu

    def verify_reading(self, altered: np.ndarray, row: np.ndarray) -> int:
        """Verify the totals and what was read last; return what broke."""
        broke = kernels.verify_totals(self.p_q, self.mass, self.whole, altered, row)
        if self.has_fields and self.request.force == "direct":
            broke |= verify_energy_with_fields(self, altered, row)
        else:
            broke |= kernels.verify_energy(
                self.x, self.p_q, self.mass, self.real, self.reading, altered, row
            )
        return int(broke | kernels.verify_spin(self.bodies, self.real, self.reading, altered, row))

    def _take_references(self) -> None:
        self.refresh()
        real, reading = self.real, self.reading
        real[kernels.ENERGY_0] = self.energy_tu
        if real[kernels.FORCE_ERROR] == 0.0:
            self.read_second_order()
            real[kernels.BOUND_0] = reading[kernels.BOUND]
        elif self.request.force == "direct":
            real[kernels.BOUND_0] = second_order_bound(self)
        real[kernels.POTENTIAL_1] = reading[kernels.POTENTIAL]
        self.energy_scale_0 = reading[kernels.KINETIC] - reading[kernels.POTENTIAL]
        self.energy_scale_0 += 2.0 * self.field_scale_tu + energy_scale_tu(self.request, self.mass)
        real[kernels.ENERGY_SCALE_0] = self.energy_scale_0 + 2.0 * self.field_scale_tu
        real[kernels.SPIN_SCALE_0] = reading[kernels.SPIN_SCALE]
        real[kernels.SPIN_X0 : kernels.SPIN_Z0 + 1] = self.angular_momentum_tu
        self.momentum_0_q = self.momentum_q()
        self.mass_0_q = self.mass_q()
        # The kernel compares modulo 2^64.
        self.whole[kernels.MOMENTUM_X0 : kernels.MOMENTUM_Z0 + 1] = [
            _wrap(total) for total in self.momentum_0_q
        ]
        self.mass_bits_0 = exact_sum(self.mass.view(np.int64))
        self.started = {name: self.value(name) for name in ("energy", "angular_momentum")}

    def read_second_order(self) -> tuple[float, float]:
        """Return (H2, its bound B, see ``kernels``) of the current state; O(N^2)."""
        kernels.second_order_term(
            self.x,
            self.p_q,
            self.mass,
            self.real,
            self.reading[kernels.FORCE2_PER_MASS],
            self.reading,
        )
        return float(self.reading[kernels.H2]), float(self.reading[kernels.BOUND])

    @property
    def method(self) -> Composition:
        """The integrator."""
        method: Composition = INTEGRATORS[self.request.integrator]
        return method

    @property
    def energy_tu(self) -> float:
        """Kinetic plus potential energy at the current step, in N-body units."""
        return float(self.reading[kernels.KINETIC] + self.reading[kernels.POTENTIAL])

    @property
    def angular_momentum_tu(self) -> np.ndarray:
        """The total angular momentum (3,) at the current step, in N-body units."""
        return self.reading[kernels.SPIN_X : kernels.SPIN_Z + 1].copy()

    @property
    def mass_exponent(self) -> int:
        """The exponent of the quantum of mass, chosen at the start."""
        return self._mass_exponent

    def reference(self, quantity: str) -> Value:
        """Return energy, momentum (quanta) or angular momentum at step 0."""
        if quantity == "momentum":
            return self.momentum_0_q
        if self.request.collisions is not None:
            return self.started[quantity]  # what the kernel compares with follows the flux
        if quantity == "energy":
            return float(self.real[kernels.ENERGY_0])
        return _vector(self.real[kernels.SPIN_X0 : kernels.SPIN_Z0 + 1])

    def value(self, quantity: str) -> Value:
        """Return energy, momentum (quanta) or angular momentum now."""
        if quantity == "energy":
            return self.energy_tu
        return self.momentum_q() if quantity == "momentum" else _vector(self.angular_momentum_tu)

    def found(self, quantity: str) -> Value:
        """Return what the refused step read (momentum modulo 2^64)."""
        if quantity == "energy":
            return float(self.real[kernels.ENERGY_0] + self.refused[kernels.ENERGY_ERROR])
        if quantity == "momentum":
            return tuple(int(q) for q in self.whole[kernels.FOUND_X : kernels.FOUND_Z + 1])
        # The altered components are not kept, only the length of the error.
        start = math.hypot(*self.real[kernels.SPIN_X0 : kernels.SPIN_Z0 + 1])
        return start + float(self.refused[kernels.SPIN_ERROR])

    def limit(self, quantity: str) -> float:
        """Return how far energy or angular momentum may stray at this step; 0 for momentum."""
        return 0 if quantity == "momentum" else float(self.row[_LIMIT[quantity]])

    def limit_refused(self, quantity: str) -> float:
        """Return the limit that the refused step was held to; 0 for momentum."""
        return 0 if quantity == "momentum" else float(self.refused[_LIMIT[quantity]])

    def scale_tu(self, quantity: str) -> float:
        """Return |energy| at step 0, or sum |x||p|, or sum |p|."""
        if quantity == "energy":
            return abs(float(self.real[kernels.ENERGY_0]))
        if quantity == "angular_momentum":
            now, start = self.reading[kernels.SPIN_SCALE], self.real[kernels.SPIN_SCALE_0]
            return max(float(now), float(start))
        momenta = self.integer_momenta() * self.grid.momentum_quantum
        return float(np.sum(np.sqrt(np.sum(momenta * momenta, axis=1))))

    def to_bytes(self) -> bytes:
        """Return a checkpoint; see ``checkpoints``."""
        from simulation.engine.checkpoints import to_bytes

        return to_bytes(self)

    @staticmethod
    def from_bytes(content: bytes, user_forces: Iterable[UserForce] = ()) -> State:
        """Return the state of a checkpoint, or raise ``CheckpointDamaged``."""
        from simulation.engine.checkpoints import from_bytes

        return from_bytes(content, user_forces)


def make_force(request: Request, threads: int = 1) -> Force:
    """Return the force that a request asks for; its results do not depend on ``threads``."""
    if request.force == "fmm":
        from simulation.engine.fmm import FastMultipole

        force: Force = FastMultipole(accuracy=request.accuracy, threads=threads)
        return force
    return make_summation(request, threads)


def make_summation(request: Request, threads: int = 1) -> PairSummation:
    """Return the exact sum over all pairs of a request's space."""
    if request.box is not None:
        return PeriodicSummation(request.box, request.softening_tu, threads)
    return DirectSummation(threads)


def _vector(components: np.ndarray) -> tuple[float, ...]:
    return tuple(float(component) for component in components)


def _wrap(total: int) -> int:
    return (total + 2**63) % 2**64 - 2**63
