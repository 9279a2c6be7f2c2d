"""Bodies that touch: bounce, or merge into one, with exact momentum and the energy accounted for.

At the end of each step the pairs are found that overlap, |x_j - x_i| <= r_i + r_j, and approach,
(x_j - x_i).(v_j - v_i) < 0. Pairs are looked for at the ends of steps alone: a body that crosses
another within one step is not seen, so a step should be short against radius / speed.

*Bounce.* Along the line of centres n, with the reduced mass mu and e the coefficient of
restitution, j is given the impulse -(1 + e) mu v_n n, rounded to whole quanta, and i its opposite:
momentum is exact. A body in several pairs meets them one after the other, because impulses that are
all taken from the same speeds would add energy (three spheres at once: 7/4 of it). The order is
that of the bodies' integers, so the order of the input does not matter. A pair that still
approaches afterwards is met again in the next step.

*Merge.* Pairs that share bodies form a chain, and each chain becomes one body at once: the sum of
the integer momenta, the exact sum of the masses, the centre of mass rounded half to even to a whole
quantum in exact integer arithmetic, the radius whose cube is the sum of cubes. All are sums of
integers and so the same for every order of the bodies; simultaneous mergers are all kept. Masses
are rounded at the start to 2^-52 of their total, so that every sum of them is a double. The new
body takes the place and the name of the heaviest.

*Books.* What a collision takes out is computed from its closed form, not from the readings: a
bounce (1 - e^2) mu v_n^2 / 2; a merger the kinetic energy and the angular momentum about the common
centre, and the change of potential energy. It is booked as declared flux, so an elastic bounce
books nothing and a bounce that takes more than it should is a violation of the energy law. That law
is about leapfrog's modified energy H + dt^2 H2: a collision changes H2 too, and the limit grows by
dt^2 |change of H2| and by the O(dt^4) of ``kernels`` before and after.

*Information.* Neither is a bijection: a merged body does not know its parts, and a pair that
overlaps and parts may or may not have bounced. Such runs cannot be retraced and say so.

Sources: Goldstein, Poole & Safko (2002), 3.11 (restitution); Rein & Liu (2012), A&A 537, A128.
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from conservation import Law
from simulation.engine import kernels
from simulation.engine.arithmetic import fma, kernel
from simulation.engine.errors import BadRequest

if TYPE_CHECKING:
    from simulation.engine.requests import Request
    from simulation.engine.state import State

# A run that merges may make bodies this much heavier than its heaviest pair, by the product.
HEAVIER = 64.0
_MASS_BITS = 52
# What is all replaced when bodies merge.
_OF_BODIES = (
    "names",
    "mass",
    "x_q",
    "p_q",
    "radius_q",
    "inertia",
    "kicks",
    "sink",
    "source",
    "per_charge",
    "drift",
    "x",
    "k_q",
    "u_q",
    "before",
)
_NOT_REVERSIBLE = {
    "merge": "Not claimed: merging maps many states to one, so bits are lost at each merger, and "
    "the run cannot be retraced.",
    "bounce": "Not claimed: a pair that overlaps and parts may or may not have bounced, so a "
    "bounce is not a bijection, and the run cannot be retraced.",
}


def unclaimed_laws(request: Request) -> dict[str, str]:
    """Return the laws that collisions take away, each with its reason."""
    if request.collisions is None:
        return {}
    return {"information": _NOT_REVERSIBLE[request.collisions]}


def laws_with_collisions(laws: dict[str, Law], request: Request) -> dict[str, Law]:
    """Return the laws with what collisions declare as flux."""
    if request.collisions is None:
        return laws
    energy, spin = laws["energy"], laws["angular_momentum"]
    booked = (
        " Collisions take out energy that is computed from its closed form and booked as flux; "
        "the bound grows by dt^2 times the change of H2 in each."
    )
    laws = {**laws, "energy": replace(energy, reason=energy.reason + booked)}
    if request.collisions == "merge" or request.restitution != 1.0:
        laws["energy"] = replace(laws["energy"], sources_and_sinks=("collisions",))
    if request.collisions == "merge":
        laws["angular_momentum"] = replace(
            spin,
            sources_and_sinks=("collisions",),
            reason=spin.reason + " What turned about the centre of a merger is booked as flux.",
        )
    return laws


def masses_for(request: Request, mass: np.ndarray) -> np.ndarray:
    """Return the masses (N,); those that may merge rounded to 2^-52 of their total, so that all
    sums of them are doubles. Raises ``BadRequest`` for a mass of 0, or one that is lost so.
    """
    if request.collisions is None:
        return mass
    if np.any(mass <= 0.0):
        raise BadRequest("Collisions need a mass for every body; a test particle has none.")
    if request.collisions == "bounce":
        return mass
    _, exponent = math.frexp(math.fsum(mass))
    found = np.ldexp(np.rint(np.ldexp(mass, _MASS_BITS - exponent)), exponent - _MASS_BITS)
    if np.any(found <= 0.0):
        raise BadRequest("The masses differ too much to be merged: one is lost beside the others.")
    return np.asarray(found)


def radii_in_quanta(request: Request, quantum: float) -> np.ndarray:
    """Return the radii (N,) in quanta of length, int64."""
    radii = np.broadcast_to(np.asarray(request.radius, dtype=np.float64), (request.bodies,))
    return np.rint(radii / quantum).astype(np.int64)


@kernel
def _touching(order, x, radius, velocity, widest, pairs):  # type: ignore[no-untyped-def]
    """Write the pairs (i, j) that overlap and approach; return how many there are.

    ``order`` (N,) sorts by x; beyond 2 ``widest`` along x nothing touches. No more than fit are
    written.
    """
    count = 0
    for a in range(order.size):
        i = order[a]
        for b in range(a + 1, order.size):
            j = order[b]
            dx = x[0, j] - x[0, i]
            if dx > 2.0 * widest:
                break
            dy = x[1, j] - x[1, i]
            dz = x[2, j] - x[2, i]
            reach = radius[i] + radius[j]
            if fma(dx, dx, fma(dy, dy, dz * dz)) > reach * reach:
                continue
            closing = dx * (velocity[0, j] - velocity[0, i])
            closing += dy * (velocity[1, j] - velocity[1, i])
            closing += dz * (velocity[2, j] - velocity[2, i])
            if closing < 0.0:
                if count < pairs.shape[0]:
                    pairs[count, 0] = i
                    pairs[count, 1] = j
                count += 1
    return count


def touching_pairs(state: State) -> np.ndarray:
    """Return the pairs (K, 2) of bodies that overlap and approach. O(N log N) where few are near.

    Which pairs they are does not depend on the order of the bodies.
    """
    quantum = state.grid.length_quantum
    radius = state.radius_q * quantum
    velocity = state.p_q * state.grid.momentum_quantum / state.mass
    order = np.argsort(state.x_q[0], kind="stable")
    room = 64
    while True:
        pairs = np.empty((room, 2), dtype=np.int64)
        count = int(_touching(order, state.x, radius, velocity, float(np.max(radius)), pairs))
        if count <= room:
            return pairs[:count]
        room = count


def collide(state: State, altered: np.ndarray, row: np.ndarray) -> int:
    """Let bodies that touch bounce or merge, in place, and verify the laws anew.

    Returns what broke or was left, as ``kernels.read_and_verify``; the caller undoes the step.
    ``state.restore_bodies`` takes back a merger.
    """
    pairs = touching_pairs(state)
    if not pairs.size:
        return 0
    before = _second_order(state)
    potential = float(state.reading[kernels.POTENTIAL])
    if state.request.collisions == "bounce":
        _bounce_all(state, pairs)
    else:
        left = _merge_all(state, pairs)
        if left:
            return left
    state.read()
    change = float(state.reading[kernels.POTENTIAL]) - potential
    if state.request.collisions == "merge":
        _book_energy(state, change)
    _widen(state, before, _second_order(state))
    return state.verify_reading(altered, row)


def _second_order(state: State) -> tuple[float, float, float]:
    """Return H2, its bound B, and the part of B that stands for higher orders."""
    term, bound = state.read_second_order()
    if state.method.order > 2:
        return 0.0, bound, bound
    dt_tu = state.real[kernels.DT]
    state.real[kernels.DT] = 0.0
    _, leading = state.read_second_order()
    state.real[kernels.DT] = dt_tu
    return term, bound, bound - leading


def _widen(
    state: State, before: tuple[float, float, float], after: tuple[float, float, float]
) -> None:
    state.real[kernels.BOUND_0] += abs(after[0] - before[0]) + before[2] + after[2]
    # Two more readings were taken of an energy and of an angular momentum.
    read_off = (state.bodies + 8) * kernels.UNIT_ROUND_OFF
    size = state.reading[kernels.KINETIC] - state.reading[kernels.POTENTIAL]
    state.real[kernels.ENERGY_VARIANCE] += (read_off * size) ** 2
    state.real[kernels.SPIN_VARIANCE] += (read_off * state.reading[kernels.SPIN_SCALE]) ** 2


def _book_energy(state: State, change_tu: float) -> None:
    state.flux_tu["energy"] = float(state.flux_tu.get("energy", 0.0)) + change_tu  # type: ignore[arg-type]
    state.real[kernels.ENERGY_0] += change_tu


def _key(state: State, i: int) -> tuple[object, ...]:
    """Return what orders bodies whatever their place: their integers, then their name."""
    return (
        *(int(q) for q in state.x_q[:, i]),
        *(int(q) for q in state.p_q[:, i]),
        float(state.mass[i]),
        state.names[i],
    )


def _bounce_all(state: State, pairs: np.ndarray) -> None:
    keys = {int(i): _key(state, int(i)) for i in np.unique(pairs)}
    ordered = sorted(
        (sorted((int(i), int(j)), key=keys.__getitem__) for i, j in pairs),
        key=lambda pair: (keys[pair[0]], keys[pair[1]]),
    )
    taken_tu = 0.0
    for i, j in ordered:
        taken_tu += _bounce(state, i, j)
    if taken_tu:
        _book_energy(state, -taken_tu)


def _bounce(state: State, i: int, j: int) -> float:
    """Exchange the impulse of one pair; return the kinetic energy that it should take out."""
    quantum = state.grid.momentum_quantum
    restitution = state.request.restitution
    assert restitution is not None
    mi, mj = float(state.mass[i]), float(state.mass[j])
    apart = state.x[:, j] - state.x[:, i]
    speed = (state.p_q[:, j] / mj - state.p_q[:, i] / mi) * quantum
    distance = math.sqrt(apart[0] ** 2 + apart[1] ** 2 + apart[2] ** 2)
    closing = float(apart[0] * speed[0] + apart[1] * speed[1] + apart[2] * speed[2])
    if not closing < 0.0:
        return 0.0  # an earlier bounce of this step has parted them
    closing /= distance
    reduced = mi * mj / (mi + mj)
    impulse = -(1.0 + restitution) * reduced * closing / distance
    impulse_q = np.rint(impulse * apart / quantum).astype(np.int64)
    state.p_q[:, j] += impulse_q
    state.p_q[:, i] -= impulse_q
    # The rounding of the impulse does work and turns; so does that of the books themselves.
    worked = 2.0 * quantum * float(np.sqrt(np.sum(speed**2)))
    worked += 16.0 * kernels.UNIT_ROUND_OFF * reduced * closing**2
    state.real[kernels.ENERGY_VARIANCE] += worked**2
    state.real[kernels.SPIN_VARIANCE] += (2.0 * quantum * distance) ** 2
    return 0.5 * (1.0 - restitution**2) * reduced * closing**2


def _chains(pairs: np.ndarray) -> list[list[int]]:
    """Return the connected components of the pairs, by union-find."""
    root = {int(i): int(i) for i in np.unique(pairs)}

    def find(i: int) -> int:
        while root[i] != i:
            root[i] = root[root[i]]
            i = root[i]
        return i

    for i, j in pairs:
        root[find(int(i))] = find(int(j))
    chains: dict[int, list[int]] = {}
    for i in root:
        chains.setdefault(find(i), []).append(i)
    return list(chains.values())


def _merge_all(state: State, pairs: np.ndarray) -> int:
    """Replace each chain by one body; return what was left or broke."""
    mass, x_q, p_q = state.mass.copy(), state.x_q.copy(), state.p_q.copy()
    radius_q, gone = state.radius_q.copy(), np.zeros(state.bodies, dtype=bool)
    for chain in _chains(pairs):
        # The heaviest stays; of equals, the first by integers and name.
        chain.sort(key=lambda i: (-float(state.mass[i]), _key(state, i)))
        stays = chain[0]
        _book_merger(state, chain)
        shares = [Fraction(float(state.mass[i])) for i in chain]
        whole = sum(shares, Fraction(0))
        for a in range(3):
            moment = sum(
                (m * int(state.x_q[a, i]) for m, i in zip(shares, chain, strict=True)), Fraction(0)
            )
            x_q[a, stays] = round(moment / whole)
            momentum = sum(int(state.p_q[a, i]) for i in chain)
            if abs(momentum) >= kernels.MOMENTUM_RANGE:
                return kernels.LEFT_MOMENTUM
            p_q[a, stays] = momentum
        mass[stays] = float(whole)
        radius_q[stays] = _cube_root(sum(int(state.radius_q[i]) ** 3 for i in chain))
        gone[chain[1:]] = True
    stay = np.flatnonzero(~gone)
    names = tuple(state.names[i] for i in stay)
    state.replace_bodies(names, mass[stay], x_q[:, stay], p_q[:, stay], radius_q[stay])
    if not state.evaluate(-1).within:
        return kernels.LEFT_PAIR
    return 0 if state.mass_q() == state.mass_0_q else kernels.BROKE_MASS


def _book_merger(state: State, chain: list[int]) -> None:
    """Book the kinetic energy and angular momentum about the centre of a chain."""
    quantum = state.grid.momentum_quantum
    mass = state.mass[chain]
    total = float(np.sum(mass))
    x, p = state.x[:, chain], state.p_q[:, chain] * quantum
    momentum = np.sum(p, axis=1)
    velocity = p / mass - (momentum / total)[:, None]
    arm = x - (np.sum(mass * x, axis=1) / total)[:, None]
    kinetic = 0.5 * float(np.sum(mass * np.sum(velocity**2, axis=0)))
    spin = np.sum(mass * np.cross(arm, velocity, axis=0), axis=1)
    _book_energy(state, -kinetic)
    booked = state.flux_tu.get("angular_momentum", (0.0, 0.0, 0.0))
    assert isinstance(booked, tuple)
    state.flux_tu["angular_momentum"] = tuple(
        float(b - s) for b, s in zip(booked, spin, strict=True)
    )
    state.real[kernels.SPIN_X0 : kernels.SPIN_Z0 + 1] -= spin
    # The centre is rounded to a quantum, and the books to doubles.
    size = float(np.sqrt(np.sum(momentum**2)))
    turned = state.grid.length_quantum * size + 16.0 * kernels.UNIT_ROUND_OFF * float(
        np.sum(np.sqrt(np.sum(x**2, axis=0) * np.sum(p**2, axis=0)))
    )
    worked = 16.0 * kernels.UNIT_ROUND_OFF * float(np.sum(np.sum(p**2, axis=0) / mass))
    state.real[kernels.SPIN_VARIANCE] += turned**2
    state.real[kernels.ENERGY_VARIANCE] += worked**2


def _cube_root(value: int) -> int:
    """Return the integer cube root, rounded down, by Newton's method on integers."""
    if value == 0:
        return 0
    root = 1 << -(-value.bit_length() // 3)
    while True:
        lower = (2 * root + value // (root * root)) // 3
        if lower >= root:
            return root
        root = lower


def keep_bodies(state: State) -> dict[str, object]:
    """Return what a merger replaces, so that ``restore_bodies`` can put it back."""
    return {name: getattr(state, name) for name in _OF_BODIES} | {
        "flux_tu": dict(state.flux_tu),
        "mass_bits_0": state.mass_bits_0,
    }


def restore_bodies(state: State, kept: dict[str, object]) -> None:
    """Put back what ``keep_bodies`` kept."""
    for name, value in kept.items():
        setattr(state, name, value)
