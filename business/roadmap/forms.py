"""The shape of what people say about the plan."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from business.roadmap.criteria import AT_MOST, SHARES
from business.roadmap.models import Measure, Phase, Task
from business.roadmap.services import TaskInput

FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2100, 12, 31)
COUNT_MAX = 1_000_000


def _day(label: str, *, required: bool = True, **kwargs: Any) -> forms.DateField:
    wrong = "Enter a day, as in 2026-03-31."
    return forms.DateField(
        label=label,
        required=required,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": wrong, "required": wrong},
        validators=[
            MinValueValidator(FIRST_DAY, f"Use a day from {FIRST_DAY} on."),
            MaxValueValidator(LAST_DAY, f"Use a day up to {LAST_DAY}."),
        ],
        **kwargs,
    )


class PlanStart(forms.Form):
    """The first day of the plan."""

    starts_on = _day("First day", help_text="Each phase starts where the one before ends.")


class TaskForm(forms.Form):
    """A task: what, who, until when, how far."""

    title = forms.CharField(
        label="Task",
        max_length=200,
        error_messages={
            "required": "Say what is to be done.",
            "max_length": "Use at most 200 characters.",
        },
    )
    owner = forms.ChoiceField(
        label="Owner",
        required=False,
        error_messages={"invalid_choice": "Choose somebody who belongs to this tenant."},
    )
    due_on = _day("Due", required=False)
    state = forms.ChoiceField(
        label="State",
        choices=Task.State.choices,
        error_messages={"invalid_choice": "Choose a state.", "required": "Choose a state."},
    )

    def __init__(self, *args: Any, owners: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].choices = [("", "Nobody yet"), *owners]  # type: ignore[attr-defined]

    def to_input(self) -> TaskInput:
        """Return what was said, checked."""
        said = self.cleaned_data
        owner = UUID(said["owner"]) if said["owner"] else None
        return TaskInput(said["title"], owner, said["due_on"], said["state"])


class PhaseForm(forms.Form):
    """A phase's days, and a target for each of its criteria."""

    starts_on = _day("First day")
    ends_on = _day("Last day")

    def __init__(self, data: Mapping[str, Any] | None = None, *, phase: Phase) -> None:
        criteria = list(phase.criteria.all())
        initial: dict[str, Any] = {each.measure: each.target for each in criteria}
        initial |= {"starts_on": phase.starts_on, "ends_on": phase.ends_on}
        super().__init__(data, initial=initial)
        self.measures = [Measure(each.measure) for each in criteria]
        for measure in self.measures:
            self.fields[measure] = _target(measure)

    def targets(self) -> dict[str, int]:
        """Return the targets by their measure."""
        return {measure: self.cleaned_data[measure] for measure in self.measures}


def _target(measure: Measure) -> forms.IntegerField:
    largest = 100 if measure in SHARES else COUNT_MAX
    wrong = f"Enter a whole number from 0 to {largest:,}."
    names = ("invalid", "required", "min_value", "max_value")
    return forms.IntegerField(
        label=f"{measure.label}, {'at most' if measure in AT_MOST else 'at least'}",
        min_value=0,
        max_value=largest,
        error_messages=dict.fromkeys(names, wrong),
    )
