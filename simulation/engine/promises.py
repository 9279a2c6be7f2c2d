"""What each integrator and force promises: the five laws of a run, each with its reason.

The reasons are shown to people. The limits of laws that are not exact come from the steps.
"""

from __future__ import annotations

from dataclasses import replace

from conservation import Kind, Law, Quantity
from simulation.engine.requests import Request

LAWS: dict[str, Law] = {
    "energy": Law(
        Quantity("energy", "J"),
        "all bodies: kinetic energy, and potential energy of all pairs",
        Kind.BOUNDED,
        "Kick-drift-kick leapfrog keeps H + dt^2 H2 up to O(dt^4), where "
        "H2 = v.V''.v/12 - sum F^2/24m, so the energy strays from its start by at most "
        "dt^2 (B + B0): B is H2 of the state with every term taken by its magnitude, times "
        "1 + (dt W)^2 for the fastest motion W; plus six standard deviations of rounding.",
    ),
    "momentum": Law(
        Quantity("momentum", "kg·m/s"),
        "all bodies, three components",
        Kind.EXACT,
        "Momenta are integers and both sides of every pair receive opposite integers.",
    ),
    "angular_momentum": Law(
        Quantity("angular_momentum", "kg·m²/s"),
        "all bodies, three components",
        Kind.ROUND_OFF,
        "Pair forces point along the pair; only the rounding of kicks and drifts to quanta turns, "
        "a random walk whose variance is summed from the quanta, the steps and sum |x|^2. The "
        "limit is six standard deviations and the rounding of the reading.",
    ),
    "mass": Law(
        Quantity("mass", "kg"),
        "all bodies",
        Kind.EXACT,
        "No step changes a mass; the masses are summed as integers.",
    ),
    "information": Law(
        Quantity("information", "bits"),
        "the bits of all positions and momenta",
        Kind.EXACT,
        "Each step is a bijection on the integer state: run backwards, every bit returns. Known "
        "for the steps that were retraced and compared, and for no others.",
    ),
}

_ORDER = (
    "A symmetric composition of leapfrog of order {order} keeps H + dt^{order} H{next} up to a "
    "higher order, so the energy strays from its start by at most c dt^{order} (B W^{power} + "
    "B0 W0^{power}): B is leapfrog's second-order term with every part taken by its magnitude, W "
    "the fastest motion of a pair, c follows from the weights; plus six standard deviations of "
    "rounding."
)
_MULTIPOLE_ENERGY = (
    "Leapfrog's bound, with the second-order term read from the second difference of the potential "
    "energy; plus the work that force errors of {accuracy:g} (rms, relative) may do, "
    "dt {accuracy:g} sqrt(N sum v^2 F^2) a step, summed. The energy read is not the Hamiltonian of "
    "the forces used: it is bounded at the level of the force error."
)
_MULTIPOLE_SPIN = (
    "Far forces do not point exactly along pairs: force errors of {accuracy:g} (rms, relative) "
    "turn the system by at most dt {accuracy:g} sqrt(N sum x^2 F^2) a step, summed; plus six "
    "standard deviations of rounding."
)


_DOUBLES = (
    " Doubles are rounded to 2^-53 of their size, {roundings} a step, a random walk whose variance "
    "is summed at the size that the state has at each step. The limit is six standard deviations "
    "and the rounding of the reading."
)
_REAL_ENERGY = {
    "wisdom_holman": (
        Kind.BOUNDED,
        "Wisdom-Holman with the modified kick keeps K + f H_I up to e^2 dt^4, e the planets' part "
        "of the mass. The energy read is corrected by (f - 1) H_I, from the differences of H_I "
        "over 13 steps: that of the output. It strays by at most twice what the highest "
        "differences change, and dt^4 (W^2 + T) sum |F|^2/24m, W the fastest orbit's rate and T "
        "the largest tide; and by rounding.",
    ),
    "saba": (
        Kind.BOUNDED,
        "SABA(10,6,4) keeps the energy up to e dt^10, e^2 dt^6 and e^3 dt^4, e the planets' part "
        "of the mass. The first is read from the differences of H_I over 13 steps with the "
        "method's own coefficients, the others are at most dt^2 sum |F|^2/24m times (dt W)^4 and "
        "dt^2 T, W the fastest orbit's rate and T the largest tide; twice that, and rounding.",
    ),
    "ias15": (
        Kind.ROUND_OFF,
        "Gauss-Radau of order 15 with adaptive substeps errs by less than a double shows. Each "
        "substep rounds position and velocity once, keeping what was cut off: Brouwer's law, "
        "5 x 2^-53 sqrt(substeps) of the kinetic energy and sum |F||x|, six standard deviations.",
    ),
}
_ROUNDINGS = {
    "wisdom_holman": "8 times",
    "saba": "44 times",
    "ias15": "twice a substep, not",
}
NO_WAY_BACK = (
    "This integrator rounds its sums of doubles, so that two states may become one: its steps have "
    "no exact way back, and nothing is claimed about information."
)


def _promises_of_doubles(integrator: str) -> dict[str, Law]:
    walk = _DOUBLES.format(roundings=_ROUNDINGS[integrator])
    spin = "Pair forces point along the pair and are opposite, orbits keep theirs." + walk
    momentum = "The centre of mass moves in a straight line, kicked by nothing." + walk
    if integrator == "ias15":
        spin = momentum = "Pair forces are opposite and point along the pair." + walk
    kind, energy = _REAL_ENERGY[integrator]
    return {
        "energy": replace(LAWS["energy"], kind=kind, reason=energy),
        "momentum": replace(LAWS["momentum"], kind=Kind.ROUND_OFF, reason=momentum),
        "angular_momentum": replace(LAWS["angular_momentum"], reason=spin),
        "mass": LAWS["mass"],
        "information": replace(LAWS["information"], reason=NO_WAY_BACK),
    }


def promises(request: Request) -> dict[str, Law]:
    """Return the laws of a run, by its integrator and its force."""
    from simulation.engine.integrators import INTEGRATORS, REAL_METHODS

    if request.integrator in REAL_METHODS:
        return _promises_of_doubles(request.integrator)
    laws = dict(LAWS)
    if request.force == "fmm":
        for name, reason in (("energy", _MULTIPOLE_ENERGY), ("angular_momentum", _MULTIPOLE_SPIN)):
            law = replace(laws[name], kind=Kind.BOUNDED)
            laws[name] = replace(law, reason=reason.format(accuracy=request.accuracy))
        return laws
    order = INTEGRATORS[request.integrator].order
    if order > 2:
        reason = _ORDER.format(order=order, next=order + 1, power=order - 2)
        laws["energy"] = replace(laws["energy"], reason=reason)
    return laws
