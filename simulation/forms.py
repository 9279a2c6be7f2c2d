"""The shape of a request for a run: one sentence for each field that will not do.

The limits are the engine's own; each field is put to it with the others left at their defaults.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from simulation import engine
from simulation.engine import BadRequest, Fault, Request, Scenario
from simulation.figures import count, sci
from simulation.models import BodiesFile
from simulation.services.own_bodies import radii_of
from simulation.services.requests import check_workers
from simulation.wording import title_of_force, title_of_integrator
from tenants.errors import Invalid

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


METHOD = ("integrator", "force", "accuracy", "softening")
NO_COLLISIONS = ""
COLLISIONS = [
    (NO_COLLISIONS, "None: bodies pass through each other"),
    ("bounce", "Bounce"),
    ("merge", "Merge into one"),
]
BOUNDARIES = [("open", "Open space"), ("periodic", "A periodic box")]


def _accuracy_of(force: str) -> float | None:
    """Return the accuracy that the engine takes for a force when none is given."""
    return engine.check_request(DEFAULT_SCENARIO, force=force).accuracy


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


def _reason(missing: str) -> forms.CharField:
    return forms.CharField(
        label="Why",
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Read by the person who approves.",
        error_messages={"required": missing, "max_length": "Use at most 500 characters."},
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
    integrator = forms.ChoiceField(
        label="Integrator",
        error_messages={
            "required": "Choose an integrator.",
            "invalid_choice": "There is no such integrator. Choose one of the list.",
        },
    )
    force = forms.ChoiceField(
        label="Force",
        help_text="Direct summation is exact, N² pairs a step. The multipole method takes a time "
        "in proportion to N: faster from some thousand bodies on.",
        error_messages={
            "required": "Choose a force.",
            "invalid_choice": "There is no such force. Choose one of the list.",
        },
    )
    accuracy = forms.TypedChoiceField(
        label="Accuracy of the forces",
        coerce=float,
        empty_value=None,
        help_text="The root mean square of the relative errors, at most. Direct summation has none "
        "to choose.",
        error_messages={
            "required": "Choose an accuracy.",
            "invalid_choice": "There is no such accuracy. Choose one of the list.",
        },
    )
    softening = _number("Softening length", "Enter a length.", required=False)
    collisions = forms.ChoiceField(
        label="Collisions",
        choices=COLLISIONS,
        required=False,
        help_text="The energy that they take out is booked as declared flux. Such a run cannot be "
        "run backwards.",
        error_messages={"invalid_choice": "There is no such collision. Choose one of the list."},
    )
    radius = _number("Radius of each body", "Enter a radius.", required=False)
    restitution = _number(
        "Restitution",
        "Enter a number from 0 to 1.",
        required=False,
        help_text="0 to 1, the part of the speed that is left. Empty: 1, no energy is lost.",
    )
    boundary = forms.ChoiceField(
        label="Space",
        choices=BOUNDARIES,
        required=False,
        help_text="In a box gravity is that of all images; angular momentum is not claimed.",
        error_messages={"invalid_choice": "There is no such space. Choose one of the list."},
    )
    box = _number(
        "Side of the box",
        "Enter the side of the box.",
        required=False,
        help_text="A power of two, such as 128, about the origin; every body starts inside.",
    )
    workers = _whole("Processes", "Enter how many processes.", required=False)

    bodies_file = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, scenario: Scenario, file: BodiesFile | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.chosen = scenario
        self.file = file
        self.radii = None if file is None else radii_of(file)
        self.engine_request: Request | None = None
        offered = [scenario] if file is not None else []
        offered += engine.SCENARIOS.values()
        self.fields["scenario"].choices = [(s.name, s.title) for s in offered]  # type: ignore[attr-defined]
        self.fields["bodies_file"].initial = None if file is None else file.pk
        self._describe_limits()
        self._offer_methods()

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
        self.fields["workers"].help_text = (
            f"1 to {settings.AII_RUN_WORKERS_MAX} that share the forces; no bit of the result "
            "depends on it. Empty: as this machine is set up."
        )
        self.fields["seed"].initial = 0
        self.fields["seed"].help_text = "The same seed gives the same bodies."
        if chosen.is_fixed:
            # Nothing to choose and nothing drawn at random.
            del self.fields["bodies"], self.fields["seed"]

    def _offer_methods(self) -> None:
        default = engine.check_request(self.chosen)
        offered = {
            "integrator": [(name, title_of_integrator(name)) for name in engine.INTEGRATORS],
            "force": [(name, title_of_force(name)) for name in engine.FORCES],
            "accuracy": [(f"{each:g}", sci(each, 1)) for each in engine.ACCURACIES],
        }
        for name, choices in offered.items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]
        self.fields["integrator"].initial = default.integrator
        self.fields["force"].initial = default.force
        with_accuracy = [force for force in engine.FORCES if _accuracy_of(force) is not None]
        self.fields["accuracy"].initial = f"{_accuracy_of(with_accuracy[0]):g}"
        if self.is_bound:
            # A link or a script that names no method takes the engine's own; an exact force needs
            # no accuracy.
            for name in offered:
                self.fields[name].required = name in self.data
            force = self.data.get("force")
            self.fields["accuracy"].required &= force in with_accuracy
            collide = self.data.get("collisions") in engine.COLLISIONS
            self.fields["radius"].required = collide and self.radii is None
            self.fields["box"].required = self.data.get("boundary") == "periodic"
        if self.file is not None:
            self.fields["softening"].help_text = "Empty: none. Or 0, or 1e-6 to 1000."
            if self.radii is not None:
                self.fields["radius"].help_text = "Empty: each body's own, as in the file."
            return
        softening = sci(self.chosen.softening_tu)
        of = "" if self.chosen.is_fixed else f" for {count(self.chosen.bodies)} bodies"
        self.fields[
            "softening"
        ].help_text = f"Empty: the scenario's own, {softening}{of}. Or 0, or 1e-6 to 1000."

    def clean(self) -> dict[str, Any]:
        """Hold each field, then all together, to the engine's limits."""
        cleaned = super().clean() or {}
        given = {
            name: cleaned[name]
            for name in ("bodies", "steps", "dt_tu", "seed", "softening", "integrator", "force")
            if cleaned.get(name) not in (None, "")
        }
        force = given.get("force")
        if force and _accuracy_of(force) is not None and cleaned.get("accuracy") is not None:
            # What an exact force does not need may stay as it is.
            given["accuracy"] = cleaned["accuracy"]
        for name, value in given.items():
            # In the smallest run, so that a field answers for itself alone.
            with_it = {"force": force} if name == "accuracy" else {}
            if name == "integrator" and "softening" in given and "softening" not in self.errors:
                # Some know no softening, and the scenario's own may be another.
                with_it = {"softening": given["softening"]}
            self._ask_engine(name, self._smallest | with_it | {name: value})
        space = self._clean_space(cleaned)
        if not self.errors:
            methods = {name: given[name] for name in METHOD if name in given}
            self._ask_engine("force", self._smallest | methods)
            for name in ("collisions", "boundary"):
                if not self.errors and name in space:
                    self._ask_engine(name, self._smallest | methods | space)
        if not self.errors:
            self.engine_request = self._ask_engine(None, given | space)
        if self.engine_request is not None:
            try:
                check_workers(cleaned.get("workers"), self.engine_request)
            except Invalid as refusal:
                self.add_error("workers", str(refusal))
        return cleaned

    def _clean_space(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        """Return what was chosen of collisions and boundary; what that does not need may stay as it
        is.
        """
        found: dict[str, Any] = {}
        collisions, radius = cleaned.get("collisions"), cleaned.get("radius")
        if radius is None:
            radius = self.radii
        if collisions and radius is not None:
            found |= {"collisions": collisions, "radius": radius}
            self._ask_engine("radius", self._smallest | found)
            restitution = cleaned.get("restitution")
            if collisions == "bounce" and restitution is not None:
                found["restitution"] = restitution
                self._ask_engine("restitution", self._smallest | found | {"radius": 1.0})
        if cleaned.get("boundary") == "periodic" and cleaned.get("box") is not None:
            found |= {"boundary": "periodic", "box": cleaned["box"]}
            in_box = {name: found[name] for name in ("boundary", "box")}
            self._ask_engine("box", self._smallest | in_box)
        return found

    @property
    def _smallest(self) -> dict[str, Any]:
        return {"steps": 1} | ({} if self.chosen.is_fixed else {"bodies": self.chosen.bodies_min})

    def _ask_engine(self, field: str | None, given: dict[str, Any]) -> Request | None:
        try:
            request = engine.check_request(self.chosen, **given)
            if self.file is not None:
                engine.check_start(request)
            return request
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
    fault_reason = _reason("Say why you ask for the fault.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fault: Fault | None = None
        if self.is_bound:
            # What the chosen fault does not need may stay as it is.
            needed = NEEDED_FOR.get(str(self.data.get("fault_kind")), ())
            for name in NEEDED_FOR["momentum"] + NEEDED_FOR["reading"]:
                self.fields[name].required = name in needed
            self.fields["fault_reason"].required = bool(needed)
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


def softening_of(text: str) -> float:
    """Return the softening that a form names, 0 for what will not do: the form says why."""
    try:
        return engine.check_request("plummer", softening=float(text)).softening_tu
    except (ValueError, BadRequest):
        return 0.0


class QuotaRequest(forms.Form):
    """Another limit of runs at once, and why."""

    active_max = _whole("Runs at once", "Enter how many runs.")
    reason = _reason("Say why you ask.")
