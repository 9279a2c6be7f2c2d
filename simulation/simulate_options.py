"""What the options of ``manage.py simulate`` ask of the engine: text in, checked values out.

Each refusal is a sentence (``BadRequest``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from simulation import engine, own_bodies
from simulation.engine import BadRequest, Fault

_DIGITS_MAX = 18
_INPUT_BYTES_MAX = 64 * 2**20


def request_of(options: dict[str, Any]) -> engine.Request:
    """Return the request of a run from its start."""
    scenario: str | engine.Scenario
    softening = real("--softening", options["softening"])
    radius: float | list[float] | None = real("--radius", options["radius"])
    if options["input"] is not None:
        if options["scenario"] is not None:
            raise BadRequest("Give a scenario or --input, not both.")
        content = _read(Path(options["input"]))
        scenario = own_bodies.scenario_of(content, options["units"], softening_tu=softening or 0.0)
        radii = scenario.build(scenario.bodies, 0).radius
        if radius is None and radii is not None and options["collisions"] is not None:
            radius = radii.tolist()
    elif options["scenario"] is None:
        raise BadRequest(
            f"Name a scenario ({', '.join(engine.SCENARIOS)}), or give --input or --resume."
        )
    else:
        scenario = options["scenario"]
    return engine.check_request(
        scenario,
        bodies=whole("--bodies", options["bodies"]),
        dt_tu=real("--dt-tu", options["dt_tu"]),
        steps=whole("--steps", options["steps"]),
        seed=whole("--seed", options["seed"]) or 0,
        integrator=options["integrator"] or "leapfrog",
        force=options["force"] or "direct",
        accuracy=real("--accuracy", options["accuracy"]),
        softening=softening,
        collisions=options["collisions"],
        radius=radius,
        restitution=real("--restitution", options["restitution"]),
        boundary=options["boundary"] or "open",
        box=real("--box", options["box"]),
    )


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _INPUT_BYTES_MAX:
            raise BadRequest(f"{path} is larger than {_INPUT_BYTES_MAX >> 20} MiB.")
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror}.") from None


def between(name: str, text: str | int | None, most: int) -> int | None:
    """Return a whole number of 1 to ``most``, or None where none was given."""
    number = whole(name, text)
    if number is not None and not 1 <= number <= most:
        raise BadRequest(f"{name} must lie between 1 and {most}, not {number}.")
    return number


def whole(name: str, text: str | int | None) -> int | None:
    """Return a whole number, or None where none was given."""
    if text is None or isinstance(text, int):
        return text
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise BadRequest(f"{name} must be a whole number, not {text[:40]!r}.")
    if len(text) > _DIGITS_MAX:
        raise BadRequest(f"{name} must be a number of at most {_DIGITS_MAX} digits.")
    return int(text)


def real(name: str, text: str | float | None) -> float | None:
    """Return a number, or None where none was given."""
    if text is None or isinstance(text, float):
        return text
    try:
        return float(text)
    except ValueError:
        raise BadRequest(f"{name} must be a number, not {str(text)[:40]!r}.") from None


def fault_of(text: str) -> Fault:
    """Return the drill that KIND:STEP[:QUANTITY] names."""
    kind, _, rest = text.partition(":")
    step, _, quantity = rest.partition(":")
    number = whole("The step of --fault", step)
    return Fault(kind=kind, step=number or 0, quantity=quantity or "momentum")
