"""Advancing a state under its laws, undoing the step that breaks one, and retracing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulation.engine import kernels, stepping
from simulation.engine.boundaries import wrap
from simulation.engine.collisions import collide, keep_bodies, restore_bodies
from simulation.engine.errors import BadRequest, NoAnswer, OutOfRange
from simulation.engine.forces.user import read_and_verify_with_fields
from simulation.engine.laws import Violation, describe_violation
from simulation.engine.real_state import RealState
from simulation.engine.requests import Fault, check_fault
from simulation.engine.state import State

# Steps of one call into the kernel: bounds the record (40 bytes a step) and the delay of an exact
# sum.
BLOCK_STEPS = 4096

_RANGES = (
    (kernels.LEFT_DRIFT, "a body moves too far in one step"),
    (kernels.LEFT_POSITION, "a body left the box"),
    (kernels.LEFT_PAIR, "two bodies came too close"),
    (kernels.LEFT_MOMENTUM, "a body became too fast"),
)
# Beside the kernels' outcomes: the force's processes do not answer.
_NO_ANSWER = 1 << 62


@dataclass(frozen=True)
class StepReport:
    """What one call of ``advance`` did. The state stands at the last verified step."""

    steps_done: int
    violation: Violation | None
    retraced: bool | None  # whether the steps were run backwards and matched; None when not tried


@dataclass(frozen=True)
class _Drill:
    """A fault in the kernel's terms: what is added to one body's momentum and to the readings."""

    push_body: int
    push_q: int
    altered: np.ndarray

    @property
    def mass_error(self) -> int:
        return int(self.altered[5])


def advance(
    state: State, steps: int, *, retrace: bool = False, fault: Fault | None = None
) -> StepReport:
    """Advance ``state`` in place by up to ``steps`` steps, each verified against every law.

    Stops at the first step that breaks a law; that step is undone. With ``retrace`` the steps are
    then run backwards on a copy and compared bit for bit, which doubles the cost. ``fault`` is
    applied in its step. Raises ``OutOfRange`` (state at the last verified step), ``BadRequest`` for
    a senseless fault.
    """
    if steps < 0:
        raise ValueError("steps must not be negative")
    if fault is not None:
        check_fault(fault, state.request)
    if isinstance(state, RealState):
        return _advance_doubles(state, steps, retrace, fault)
    if retrace:
        _check_reversible(state)
    start = state.clone() if retrace else None
    begun = state.step
    violation = None
    while violation is None and state.step < begun + steps:
        block = min(state.steps_at_once_max or BLOCK_STEPS, begun + steps - state.step)
        drill = None
        if fault is not None and fault.step > state.step:
            drill = _drill(state, fault) if fault.step == state.step + 1 else None
            block = 1 if drill else min(block, fault.step - 1 - state.step)
        violation = _advance_block(state, block, drill)
    done = state.step - begun
    matched = None if start is None or not done else _matches_backwards(state, start, done)
    return StepReport(done, violation, matched)


def _advance_doubles(
    state: RealState, steps: int, retrace: bool, fault: Fault | None
) -> StepReport:
    if retrace:
        raise BadRequest(f"This run cannot be retraced. {state.unclaimed['information']}")
    begun = state.step
    violation = None
    while violation is None and state.step < begun + steps:
        block = begun + steps - state.step
        drill = None
        if fault is not None and fault.step > state.step:
            drill = fault if fault.step == state.step + 1 else None
            block = 1 if drill else min(block, fault.step - 1 - state.step)
        violation = state.advance_block(block, drill)
    return StepReport(state.step - begun, violation, None)


def retrace(state: State, steps: int) -> State:
    """Return a copy of ``state`` run ``steps`` steps backwards, by the same map inverted.

    The laws are checked on the way back too; the copy stops early where one is broken, or where the
    range is left, and then its digest is not the one that was asked for.
    """
    back = turn_round(state)
    rewind(back, steps)
    back.refresh()
    return back


def turn_round(state: State) -> State:
    """Return a copy that ``rewind`` can take back; ``BadRequest`` where there is no way back."""
    _check_reversible(state)
    back = state.clone()
    # The potentials of the way forward do not precede those of the way back.
    back.real[kernels.HISTORY] = 0.0
    back.real[kernels.POTENTIAL_1] = back.reading[kernels.POTENTIAL]
    return back


def _check_reversible(state: State) -> None:
    if not state.is_reversible:
        raise BadRequest(f"This run cannot be retraced. {state.unclaimed['information']}")


def rewind(back: State, steps: int) -> bool:
    """Take a copy that was turned round ``steps`` steps back, in place; return whether it got
    there. A step that breaks a law or leaves the range is not taken.
    """
    block_max = back.steps_at_once_max or BLOCK_STEPS
    for begin in range(0, steps, block_max):
        block = min(block_max, steps - begin)
        done, outcome, _ = _call_kernel(back, block, -1, None)
        back.step -= done
        if outcome:
            back.refresh()
            return False
    return True


def prove_by_retracing(state: State) -> str:
    """Run everything backwards, note whether it came to its start, return the digest reached."""
    digest = retrace(state, state.step).digest()
    note_retraced(state, digest == state.digest_start)
    return digest


def note_retraced(state: State, matched: bool) -> None:
    """Record the answer of a retrace of the whole run."""
    if matched:
        state.proved_steps = state.step
    else:
        state.information_lost = True


def _matches_backwards(state: State, start: State, steps: int) -> bool:
    back = retrace(state, steps)
    matched = np.array_equal(back.x_q, start.x_q) and np.array_equal(back.p_q, start.p_q)
    if matched:
        # Each stretch that maps back to its own start makes the whole a bijection.
        state.proved_steps += steps
    else:
        state.information_lost = True
    return bool(matched)


def _advance_block(state: State, steps: int, drill: _Drill | None) -> Violation | None:
    first = state.step + 1
    done, outcome, record = _call_kernel(state, steps, 1, drill)
    state.step += done
    _track(state, first, record[:done])
    if done:
        state.row[:] = record[done - 1]
    if not outcome:
        # The kernel compares modulo 2^64; this sum has no modulus.
        if "momentum" not in state.unclaimed and state.momentum_q() != state.momentum_0_q:
            raise AssertionError("the exact momentum differs where the kernel found none")
        return None
    if outcome == _NO_ANSWER:
        assert state.silence is not None
        raise NoAnswer(
            f"{state.silence} The run stopped at step {state.step}, the last that it committed.",
            state.silence.ranks,
        ) from state.silence
    left = [why for bit, why in _RANGES if outcome & bit]
    if left:
        state.refresh()
        raise OutOfRange(
            f"Step {state.step + 1} of {state.definition.title} was not taken: {left[0]} for the "
            "integers of this scenario. Nothing overflowed; choose a smaller step or fewer steps."
        )
    state.refused[:] = record[done]
    violation = describe_violation(state, outcome, drill.mass_error if drill else 0)
    state.refresh()
    return violation


def _call_kernel(
    state: State, steps: int, direction: int, drill: _Drill | None
) -> tuple[int, int, np.ndarray]:
    drill = drill or _Drill(0, 0, np.zeros(6))
    if not state.runs_in_one_kernel:
        return _step_with_force(state, steps, direction, drill)
    record = np.zeros((steps, kernels.COLUMNS))
    done, outcome = stepping.advance_verified(
        steps,
        direction,
        state.x,
        state.x_q,
        state.p_q,
        state.k_q,
        state.u_q,
        state.mass,
        state.sink,
        state.source,
        state.sign,
        state.per_charge,
        state.drift,
        state.real,
        state.whole,
        state.reading,
        drill.altered,
        drill.push_body,
        drill.push_q,
        state.before,
        record,
    )
    return int(done), int(outcome), record


def _step_with_force(
    state: State, steps: int, direction: int, drill: _Drill
) -> tuple[int, int, np.ndarray]:
    """Do what ``stepping.advance_verified`` does, with the state's own force."""
    record = np.zeros((steps, kernels.COLUMNS))
    begin_step = getattr(state.force, "begin_step", None)
    for step in range(steps):
        if begin_step is not None:
            begin_step(state.step + direction * (step + 1))
        stepping.remember(state.x_q, state.p_q, state.k_q, state.u_q, state.before)
        kept = state.real.copy()
        try:
            outcome = _composed_step(state, direction)
            if not outcome:
                state.p_q[0, drill.push_body] += drill.push_q
                outcome = _read_and_verify(state, drill.altered, record[step]) & state.watched
        except BaseException:  # a user's force may raise anything; the state stays whole
            _undo(state, kept)
            raise
        if not outcome and state.request.collisions is not None:
            outcome = _collide(state, drill.altered, record[step], kept)
        if outcome:
            _undo(state, kept)
            return step, int(outcome), record
    return steps, 0, record


def _read_and_verify(state: State, altered: np.ndarray, row: np.ndarray) -> int:
    if state.has_fields:
        return read_and_verify_with_fields(state, altered, row)
    outcome = kernels.read_and_verify(
        state.x,
        state.p_q,
        state.k_q,
        state.u_q,
        state.mass,
        state.real,
        state.whole,
        state.reading,
        altered,
        row,
    )
    return int(outcome)


def _collide(state: State, altered: np.ndarray, row: np.ndarray, kept: np.ndarray) -> int:
    bodies = keep_bodies(state)
    try:
        outcome = collide(state, altered, row) & state.watched
    except BaseException:  # the force of a merged body may go unanswered
        restore_bodies(state, bodies)
        _undo(state, kept)
        raise
    if outcome:
        restore_bodies(state, bodies)
    return outcome


def _undo(state: State, kept: np.ndarray) -> None:
    """Put back the integers of the step before, and its constants ``kept``."""
    state.real[:] = kept
    quantum = state.grid.length_quantum
    stepping.restore(state.x, state.x_q, state.p_q, state.k_q, state.u_q, state.before, quantum)


def _composed_step(state: State, direction: int) -> int:
    """Do what ``stepping.composed_step`` does, with the state's own force."""
    left = stepping.kick_all(state.p_q, state.k_q, direction)
    for stage in range(state.method.stages):
        left |= stepping.drift_all(
            state.x,
            state.x_q,
            state.p_q,
            state.drift[stage],
            state.grid.length_quantum,
            direction,
        )
        if left:
            return int(left)
        if state.side_q:
            wrap(state.x_q, state.side_q)
            np.multiply(state.x_q, state.grid.length_quantum, out=state.x)
        try:
            within = state.evaluate(stage, direction).within
        except NoAnswer as silence:
            state.silence = silence
            return _NO_ANSWER
        if not within:
            return kernels.LEFT_PAIR
        left |= stepping.kick_all(state.p_q, state.k_q, direction * int(state.sign[stage]))
    return int(left)


def _track(state: State, first: int, record: np.ndarray) -> None:
    steps = np.arange(first, first + len(record))
    state.tracks["energy"].extend(
        steps, record[:, kernels.ENERGY_ERROR], record[:, kernels.ENERGY_LIMIT]
    )
    state.tracks["angular_momentum"].extend(
        steps, record[:, kernels.SPIN_ERROR], record[:, kernels.SPIN_LIMIT]
    )
    state.tracks["momentum"].extend(
        steps, record[:, kernels.MOMENTUM_ERROR], record[:, kernels.MOMENTUM_LIMIT]
    )


def _drill(state: State, fault: Fault) -> _Drill:
    """Translate a fault into what the kernel adds. Whole numbers move by one at least."""
    altered = np.zeros(6)
    size = fault.relative_size
    if fault.body >= state.bodies:
        raise BadRequest(f"The fault's body {fault.body} is gone: it has merged with another.")
    if fault.kind == "momentum":
        largest = int(np.max(np.abs(state.p_q[:, fault.body])))
        return _Drill(fault.body, max(1, round(size * largest)), altered)
    reading = state.reading
    if fault.quantity == "energy":
        altered[0] = size * (reading[kernels.KINETIC] - reading[kernels.POTENTIAL])
    elif fault.quantity == "angular_momentum":
        altered[3] = size * reading[kernels.SPIN_SCALE]
    elif fault.quantity == "momentum":
        altered[4] = max(1.0, np.rint(size * float(np.sum(np.abs(state.p_q.astype(np.float64))))))
        altered[4] = min(altered[4], 2.0**62)
    else:
        altered[5] = max(1.0, np.rint(size * 2.0**40))
    return _Drill(0, 0, altered)
