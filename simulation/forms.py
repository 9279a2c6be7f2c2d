"""The shape of a request for a run: one sentence for each field that will not do.

The limits are the engine's own; each field is put to it with the others left at their defaults.
"""

from __future__ import annotations

from typing import Any

from django import forms

from simulation import engine
from simulation.engine import BadRequest, Fault, Request, Scenario
from simulation.figures import count, sci

DEFAULT_SCENARIO = "solar_system"
NO_FAULT = ""
FAULT_KINDS = [
    (NO_FAULT, "No fault"),
    ("momentum", "Alter the momentum of one body"),
    ("reading", "Alter a reported reading"),
]
NEEDED_FOR = {
    "momentum": ("fault_step", "fault_size", "fault_body"),
    "reading": ("fault_step", "fault_size", "fault_quantity"),
}
FAULT_QUANTITIES = [
    ("energy", "Energy"),
    ("momentum", "Momentum"),
    ("angular_momentum", "Angular momentum"),
    ("mass", "Mass"),
]


def _whole(label: str, missing: str, **options: Any) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        error_messages={
            "required": missing,
            "invalid": "Enter a whole number, such as 20000, without spaces or letters.",
        },
        **options,
    )


def _number(label: str, missing: str, **options: Any) -> forms.FloatField:
    return forms.FloatField(
        label=label,
        error_messages={"required": missing, "invalid": "Enter a number, such as 0.0078125."},
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
        **options,
    )


class RunRequest(forms.Form):
    """What to integrate, how finely, and whether with a fault in it."""

    scenario = forms.ChoiceField(
        label="Scenario",
        error_messages={"invalid_choice": "There is no such scenario. Choose one of the list."},
    )
    bodies = _whole("Bodies", "Enter the number of bodies.")
    steps = _whole("Steps", "Enter the number of steps.")
    dt_tu = _number("Time step", "Enter the time step.")
    seed = _whole("Seed", "Enter a seed, such as 0.")

    def __init__(self, *args: Any, scenario: Scenario, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.chosen = scenario
        self.engine_request: Request | None = None
        self.fields["scenario"].choices = [(s.name, s.title) for s in engine.SCENARIOS.values()]  # type: ignore[attr-defined]
        self._describe_limits()

    def _describe_limits(self) -> None:
        chosen = self.chosen
        self.fields["scenario"].initial = chosen.name
        self.fields["scenario"].help_text = chosen.description
        self.fields["steps"].initial = chosen.steps
        self.fields["steps"].help_text = f"1 to {count(chosen.steps_max)}."
        self.fields["dt_tu"].initial = chosen.dt_tu
        self.fields["dt_tu"].help_text = f"{sci(chosen.dt_tu_min)} to {chosen.dt_tu_max:g}."
        self.fields["bodies"].initial = chosen.bodies
        self.fields["bodies"].help_text = f"{chosen.bodies_min} to {count(chosen.bodies_max)}."
        self.fields["seed"].initial = 0
        self.fields["seed"].help_text = "The same seed gives the same bodies."
        if chosen.is_fixed:
            # Nothing to choose and nothing drawn at random.
            del self.fields["bodies"], self.fields["seed"]

    def clean(self) -> dict[str, Any]:
        """Hold each field, then all together, to the engine's limits."""
        cleaned = super().clean() or {}
        given = {
            name: cleaned[name]
            for name in ("bodies", "steps", "dt_tu", "seed")
            if cleaned.get(name) is not None
        }
        for name, value in given.items():
            self._ask_engine(name, {name: value})
        if not self.errors:
            self.engine_request = self._ask_engine(None, given)
        return cleaned

    def _ask_engine(self, field: str | None, given: dict[str, Any]) -> Request | None:
        try:
            return engine.check_request(self.chosen.name, **given)
        except BadRequest as refusal:
            self.add_error(field, str(refusal))
            return None

    @property
    def fault(self) -> Fault | None:
        """The fault that is asked for; this form offers none."""
        return None


class RunRequestWithFault(RunRequest):
    """The same for people who may inject a fault."""

    fault_kind = forms.ChoiceField(
        label="Fault",
        choices=FAULT_KINDS,
        required=False,
        help_text="For drills: the verifier must catch it in its very step.",
        error_messages={"invalid_choice": "There is no such fault. Choose one of the list."},
    )
    fault_step = _whole("In step", "Enter the step.")
    fault_quantity = forms.ChoiceField(
        label="Reading to alter",
        choices=FAULT_QUANTITIES,
        error_messages={
            "required": "Choose the reading to alter.",
            "invalid_choice": "There is no such reading. Choose one of the list.",
        },
    )
    fault_body = _whole("Body", "Enter the body's number.")
    fault_size = _number("Relative size", "Enter a size.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fault: Fault | None = None
        if self.is_bound:
            # What the chosen fault does not need may stay as it is.
            needed = NEEDED_FOR.get(str(self.data.get("fault_kind")), ())
            for name in NEEDED_FOR["momentum"] + NEEDED_FOR["reading"]:
                self.fields[name].required = name in needed
        self.fields["fault_step"].initial = self.chosen.steps // 2
        self.fields["fault_step"].help_text = "Any step of the run."
        self.fields["fault_body"].initial = 1
        self.fields["fault_body"].help_text = "The first body is 0."
        self.fields["fault_size"].initial = 0.001
        self.fields["fault_size"].help_text = "Part of the altered number, 1e-12 to 1."

    def clean(self) -> dict[str, Any]:
        """Check the fault against the run that it belongs to."""
        cleaned = super().clean()
        if cleaned.get("fault_kind") and self.engine_request is not None:
            self._clean_fault(cleaned, self.engine_request)
        return cleaned

    def _clean_fault(self, cleaned: dict[str, Any], request: Request) -> None:
        kind = cleaned["fault_kind"]
        wanted = NEEDED_FOR[kind]
        if any(name in self.errors for name in wanted):
            return
        parts: dict[str, Any] = {
            "fault_step": {"step": cleaned["fault_step"]},
            "fault_size": {"relative_size": cleaned["fault_size"]},
            "fault_body": {"body": cleaned.get("fault_body") or 0},
            "fault_quantity": {"quantity": cleaned.get("fault_quantity") or "momentum"},
        }
        quantity = {} if kind == "momentum" else {"quantity": "energy"}
        for name in wanted:
            fault = Fault(**{"kind": kind, "step": 1, **quantity, **parts[name]})
            try:
                engine.check_fault(fault, request)
            except BadRequest as refusal:
                self.add_error(name, str(refusal))
        if not self.errors:
            merged: dict[str, Any] = {"kind": kind}
            for name in wanted:
                merged |= parts[name]
            self._fault = Fault(**merged)

    @property
    def fault(self) -> Fault | None:
        """The fault that is asked for, checked; ``None`` for a run without one."""
        return self._fault


def find_chosen(name: str | None) -> Scenario:
    """Return the scenario of that name, or the first one offered for any other name."""
    return engine.SCENARIOS.get(name or "", engine.SCENARIOS[DEFAULT_SCENARIO])
