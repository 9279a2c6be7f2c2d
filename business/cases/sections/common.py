"""What several sections need: bound values of the results, of an input, of the platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from business.cases.document import NOT_MEASURED, Bound, Note, Said, Text
from business.cases.inputs import Figure, Inputs
from business.scenarios.outline import Held, notes_of
from business.scenarios.selectors import describe_number
from business.scenarios.wording import money
from simulation.figures import percent

RESULTS, SIMULATION, ROADMAP, PROPOSAL = "results", "simulation", "roadmap", "proposal"
REGISTER, BEFORE = "register", "before"
NOT_KNOWN = "not known"


def of_results(
    inputs: Inputs,
    key: str,
    label: str,
    write: Callable[[Any], str],
    *,
    value: Any = None,
    why: str = "",
    source: str = RESULTS,
) -> Bound:
    """Return a result of the scenario; ``value`` where it is not simply ``results[key]``."""
    answer = inputs.priced.results
    found = answer.get(key) if value is None else value
    if found is not None:
        return Bound(key, label, write(found), source)
    if answer["unknown"]:
        why = "an input of the scenario is unknown"
    return Bound(key, label, NOT_KNOWN, source, why=why)


def in_money(inputs: Inputs) -> Callable[[float], str]:
    """Return how amounts of the results are written."""
    return lambda amount: money(amount, inputs.priced.results["currency"])


def of_input(inputs: Inputs, held: Held) -> Bound:
    """Return a number that was put in, from what it rests on."""
    text = describe_number(held, str(inputs.priced.document.get("currency", "")))
    is_unknown = text == "unknown"
    return Bound(
        f"input.{held.path}",
        held.title,
        NOT_KNOWN if is_unknown else text,
        source_of_input(held),
        why="the scenario leaves it open" if is_unknown else "",
    )


def source_of_input(held: Held) -> str:
    """Return the key of what an input rests on; inputs that rest on the same share it."""
    notes = notes_of(held.value)
    return "input|" + "|".join(str(notes.get(name, "")) for name in ("basis", "source", "year"))


def of_platform(figure: Figure) -> Bound:
    """Return a measured figure, or that it is not measured."""
    text = NOT_MEASURED if figure.why else figure.text
    return Bound(f"platform.{figure.key}", figure.label, text, figure.source, why=figure.why)


def platform_figure(inputs: Inputs, key: str) -> Bound:
    """Return one measured figure by its key."""
    return of_platform(next(one for one in inputs.measured.figures if one.key == key))


def loss(inputs: Inputs) -> Bound:
    """Return the probability of a loss."""
    found = inputs.priced.results["simulation"]
    return of_results(
        inputs,
        "probability_of_loss",
        "Probability of a loss",
        percent,
        value=found["probability_of_loss"] if found else None,
        why="no input is a range",
        source=SIMULATION,
    )


def notes(inputs: Inputs, section: str) -> tuple[Note, ...]:
    """Return the free note to a section, if there is one."""
    return (Note(Said(f"note.{section}")),) if inputs.notes.get(section) else ()


def cells(*texts: Text | str) -> tuple[Text, ...]:
    """Return a row of a table; a text alone is template words."""
    return tuple(((text,) if text else ()) if isinstance(text, str) else text for text in texts)
