"""The state of a run on doubles: what Wisdom-Holman, SABA and IAS15 move.

Verified after each step as ``State`` is, with laws of their own. Not reversible to the bit: nothing
is claimed about information.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from conservation import Value
from simulation.engine import kernels
from simulation.engine.errors import OutOfRange
from simulation.engine.integrators import planetary
from simulation.engine.integrators import verifying as at
from simulation.engine.integrators.real import REAL_METHODS, RealMethod
from simulation.engine.laws import Violation, describe_violation
from simulation.engine.promises import NO_WAY_BACK, promises
from simulation.engine.requests import Fault, Request
from simulation.engine.run_state import RunState

# Steps of one call into the kernel, as ``integrate.BLOCK_STEPS``.
BLOCK_STEPS = 4096
_BLOCK_PAIRS = 10**7

_LIMIT = {
    "energy": kernels.ENERGY_LIMIT,
    "momentum": kernels.MOMENTUM_LIMIT,
    "angular_momentum": kernels.SPIN_LIMIT,
}
_ERROR = {
    "energy": kernels.ENERGY_ERROR,
    "momentum": kernels.MOMENTUM_ERROR,
    "angular_momentum": kernels.SPIN_ERROR,
}


class RealState(RunState):
    """Positions and velocities of a run as float64, with all that verifying its steps needs.

    Made by ``engine.prepare`` or from a checkpoint; changed by ``engine.advance`` alone. ``y``
    (rows, N, 3) is what the integrator moves, in its own coordinates, the bodies in ``order``.
    """

    def __init__(
        self,
        request: Request,
        names: tuple[str, ...],
        mass: np.ndarray,
        position: np.ndarray,
        velocity: np.ndarray,
    ) -> None:
        """Take positions and velocities (N, 3) of step 0 and read every quantity's reference.

        Raises ``BadRequest`` for bodies that the integrator is not made for.
        """
        method = REAL_METHODS[request.integrator]
        method.check(mass, request.softening_tu)
        self.begin(request, names, mass, method.order_of(mass, position))
        history = np.zeros(planetary.HISTORY)
        self.method.kernels.start(
            np.ascontiguousarray(position[self.order], dtype=np.float64),
            np.ascontiguousarray(velocity[self.order], dtype=np.float64),
            self.body,
            self.real,
            self.y,
            history,
        )
        self.memory[:] = history[: planetary.MEMORY]
        self.weights = self.method.weights(history)
        self.refresh()
        self._take_references(planetary.largest(history, self.weights[1]))
        self.digest_start = self.digest()
        # No step: compiles where that was never done, so that no run's time includes it.
        self._call(np.zeros((0, kernels.COLUMNS)), np.zeros(6), 0, 0.0)

    def begin(
        self, request: Request, names: tuple[str, ...], mass: np.ndarray, order: np.ndarray
    ) -> None:
        """Allocate everything, with nothing in it yet."""
        super().__init__(request, names, mass)
        self.laws = promises(request)
        self.unclaimed = {"information": NO_WAY_BACK}
        self.order = order
        n = mass.size
        self.body = planetary.body_constants(mass[order])
        self.y = np.zeros((self.method.kernels.ROWS, n, 3))
        self.before = np.zeros_like(self.y)
        self.memory = np.zeros(planetary.MEMORY)
        self.reading = np.zeros(at.READINGS)
        self.row = np.zeros(kernels.COLUMNS)
        self.refused = np.zeros(kernels.COLUMNS)
        self.real = np.zeros(at.REALS)
        self.real[at.DT] = self.dt_tu
        self.real[at.SOFTENING2] = self.softening_tu**2
        self.weights = np.zeros((2, planetary.MEMORY))

    def _take_references(self, bound: float) -> None:
        self.real[: at.SPIN_Z + 1] = self.reading[: at.SPIN_Z + 1]
        self.real[at.BOUND_MAX] = max(bound, self.reading[at.BOUND])
        self.real[[at.MASS_BITS, at.MASS_BITS_HIGH]] = at.mass_bits(self.body[planetary.MASS])
        self.mass_0_q = self.mass_q()
        self.scale_0 = self.reading[at.ENERGY_SCALE : at.SPIN_SCALE + 1].copy()

    def refresh(self) -> None:
        """Read every quantity anew from the state (after a refused step or a checkpoint)."""
        self.method.kernels.read(
            self.y, self.memory, self.body, self.real, self.weights, self.reading
        )

    @property
    def method(self) -> RealMethod:
        """The integrator."""
        return REAL_METHODS[self.request.integrator]

    @property
    def is_reversible(self) -> bool:
        """Never: sums of doubles are rounded."""
        return False

    @property
    def momentum_unit_tu(self) -> float:
        """Momenta are read in N-body units."""
        return 1.0

    @property
    def substeps(self) -> int:
        """Substeps taken so far by IAS15; 0 for the others."""
        return int(self.real[at.SUBSTEPS])

    def bodies_tu(self) -> tuple[np.ndarray, np.ndarray]:
        """Return positions and velocities (N, 3) at the current step, N-body units."""
        x, v = np.empty((self.mass.size, 3)), np.empty((self.mass.size, 3))
        self.method.kernels.output(self.y, self.body, self.real, x, v)
        back = np.argsort(self.order)
        return x[back], v[back]

    def positions_tu(self) -> np.ndarray:
        """Return the positions (N, 3) in N-body units."""
        return self.bodies_tu()[0]

    def velocities_tu(self) -> np.ndarray:
        """Return the velocities (N, 3) in N-body units."""
        return self.bodies_tu()[1]

    def digest(self) -> str:
        """Return the SHA-256 of integrator, masses and what moves: equal states, equal digests."""
        head = {
            "format": "aii-real-1",
            "integrator": self.request.integrator,
            "bodies": self.mass.size,
            "order": self.order.tolist(),
        }
        found = hashlib.sha256(json.dumps(head).encode("ascii") + b"\n")
        found.update(self.mass.astype("<f8").tobytes())
        found.update(self.y.astype("<f8").tobytes())
        return found.hexdigest()

    def reference(self, quantity: str) -> Value:
        """Return energy, momentum or angular momentum at step 0."""
        return _pick(self.real, quantity)

    def value(self, quantity: str) -> Value:
        """Return energy, momentum or angular momentum now."""
        return _pick(self.reading, quantity)

    def found(self, quantity: str) -> Value:
        """Return what the refused step read; of vectors, the length that shows the error."""
        error = float(self.refused[_ERROR[quantity]])
        start = self.reference(quantity)
        if isinstance(start, tuple):
            return math.hypot(*start) + error
        return start + error

    def limit(self, quantity: str) -> float:
        """Return how far energy, momentum or angular momentum may stray at this step."""
        return float(self.row[_LIMIT[quantity]])

    def limit_refused(self, quantity: str) -> float:
        """Return the limit that the refused step was held to."""
        return float(self.refused[_LIMIT[quantity]])

    def scale_tu(self, quantity: str) -> float:
        """Return |energy| at step 0, or sum |x||p|, or sum |p| (components' magnitudes)."""
        if quantity == "energy":
            return abs(float(self.real[at.ENERGY]))
        column = at.MOMENTUM_SCALE if quantity == "momentum" else at.SPIN_SCALE
        return max(float(self.reading[column]), float(self.scale_0[column - at.ENERGY_SCALE]))

    def advance_block(self, steps: int, fault: Fault | None) -> Violation | None:
        """Take up to ``steps`` verified steps; the first takes ``fault``. Raises ``OutOfRange``."""
        steps = max(1, min(steps, BLOCK_STEPS, _BLOCK_PAIRS // self.mass.size**2))
        altered, body, push = np.zeros(6), 0, 0.0
        if fault is not None:
            altered, body, push = self._drill(fault)
        record = np.zeros((steps, kernels.COLUMNS))
        done, outcome = self._call(record, altered, body, push)
        self._track(record[:done])
        if not outcome:
            return None
        self.refused[:] = record[done]
        if outcome & kernels.LEFT_PAIR:
            self.refresh()
            raise OutOfRange(
                f"Step {self.step + 1} of {self.definition.title} was not taken: two bodies fall "
                "into one another, and no substep is short enough. Give them a softening."
            )
        violation = describe_violation(self, outcome, int(altered[at.ALTER_MASS]))
        self.refresh()
        return violation

    def _call(
        self, record: np.ndarray, altered: np.ndarray, body: int, push: float
    ) -> tuple[int, int]:
        done, outcome = self.method.kernels.advance(
            len(record),
            self.y,
            self.memory,
            self.body,
            self.real,
            self.weights,
            self.reading,
            altered,
            body,
            push,
            self.before,
            record,
        )
        return int(done), int(outcome)

    def _track(self, record: np.ndarray) -> None:
        steps = np.arange(self.step + 1, self.step + 1 + len(record))
        for name, track in self.tracks.items():
            track.extend(steps, record[:, _ERROR[name]], record[:, _LIMIT[name]])
        self.step += len(record)
        if len(record):
            self.row[:] = record[-1]

    def _drill(self, fault: Fault) -> tuple[np.ndarray, int, float]:
        """Translate a fault: what is added to readings, to which body, to its x velocity."""
        altered, size = np.zeros(6), fault.relative_size
        if fault.kind == "momentum":
            _, velocity = self.bodies_tu()
            body = int(np.flatnonzero(self.order == fault.body)[0])
            # At rest there is no momentum to take a part of: the fastest body's speed then.
            speed = np.max(np.abs(velocity[fault.body])) or np.max(np.abs(velocity)) or 1.0
            return altered, body, size * float(speed)
        if fault.quantity == "energy":
            altered[at.ALTER_ENERGY] = size * self.reading[at.ENERGY_SCALE]
        elif fault.quantity == "angular_momentum":
            altered[at.ALTER_SPIN] = size * self.reading[at.SPIN_SCALE]
        elif fault.quantity == "momentum":
            altered[at.ALTER_MOMENTUM] = size * self.reading[at.MOMENTUM_SCALE]
        else:
            altered[at.ALTER_MASS] = max(1.0, np.rint(size * 2.0**40))
        return altered, 0, 0.0

    def to_bytes(self) -> bytes:
        """Return a checkpoint; see ``real_checkpoints``."""
        from simulation.engine.real_checkpoints import to_bytes

        return to_bytes(self)


def prepare_real_state(request: Request) -> RealState:
    """Build the scenario's initial state. Raises ``BadRequest``."""
    bodies = request.definition.build(request.bodies, request.seed)
    return RealState(request, bodies.names, bodies.mass, bodies.position, bodies.velocity)


def _pick(values: np.ndarray, quantity: str) -> Any:
    if quantity == "energy":
        return float(values[at.ENERGY])
    first = at.PX if quantity == "momentum" else at.SPIN_X
    return tuple(float(component) for component in values[first : first + 3])
