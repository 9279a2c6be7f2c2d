"""The shape of what people say about a case and its risks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms

from business import roi
from business.cases.building import SECTIONS
from business.cases.services import (
    NOTE_MAX,
    PERSON_MAX,
    RISKS_MAX,
    TITLE_MAX,
    CaseInput,
    RiskInput,
)

LEVELS = [(level, str(level)) for level in range(1, 6)]
INDUSTRIES = [("", "None"), *((key, one.title) for key, one in roi.INDUSTRIES.items() if one.facts)]


def _line(label: str, most: int, *, required: str = "", help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=most,
        required=bool(required),
        help_text=help_text,
        error_messages={"required": required, "max_length": f"Use at most {most} characters."},
    )


class Heads(forms.Form):
    """Title, for whom, by whom, industry."""

    title = _line("Title", TITLE_MAX, required="Give the business case a title.")
    prepared_for = _line("Prepared for", PERSON_MAX, help_text="As in: the board of North Mills.")
    author = _line("Author", PERSON_MAX)
    industry = forms.ChoiceField(
        label="Industry",
        required=False,
        choices=INDUSTRIES,
        help_text="Its published figures stand beside yours, with their sources.",
        error_messages={"invalid_choice": "Choose an industry of the list, or none."},
    )

    def to_input(self) -> CaseInput:
        """Return what was said, checked."""
        names = ("title", "industry", "author", "prepared_for")
        return CaseInput(**{name: self.cleaned_data[name] for name in names})


class NewCase(Heads):
    """The start of a case, from a scenario. Notes come later."""

    scenario = forms.ChoiceField(
        label="Scenario",
        error_messages={
            "required": "Choose a saved scenario.",
            "invalid_choice": "Choose a saved scenario of the list.",
        },
    )
    version = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=999_999,
        widget=forms.HiddenInput,
        error_messages=dict.fromkeys(
            ("invalid", "min_value", "max_value"), "There is no such version of the scenario."
        ),
    )
    field_order = ("scenario", "version")

    def __init__(self, *args: Any, scenarios: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["scenario"].choices = scenarios  # type: ignore[attr-defined]


class CaseForm(Heads):
    """The heads, and a note to each section."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, title in SECTIONS.items():
            self.fields[f"note_{key}"] = forms.CharField(
                label=title,
                required=False,
                max_length=NOTE_MAX,
                widget=forms.Textarea(attrs={"rows": 3}),
                error_messages={"max_length": f"Use at most {NOTE_MAX:,} characters."},
            )

    @property
    def notes(self) -> list[forms.BoundField]:
        """The fields of the notes, in the order of the sections."""
        return [self[f"note_{key}"] for key in SECTIONS]

    def to_input(self) -> CaseInput:
        """Return what was said, checked."""
        said = self.cleaned_data
        # Browsers send line ends as two characters.
        notes = {key: said[f"note_{key}"].replace("\r\n", "\n") for key in SECTIONS}
        return replace(super().to_input(), notes=notes)


class RiskForm(forms.Form):
    """A row of the register."""

    title = _line("Risk", TITLE_MAX, required="Name the risk, or remove the row.")
    likelihood = forms.TypedChoiceField(
        choices=LEVELS,
        coerce=int,
        initial=3,
        error_messages={"invalid_choice": "Choose 1 to 5.", "required": "Choose 1 to 5."},
    )
    impact = forms.TypedChoiceField(
        choices=LEVELS,
        coerce=int,
        initial=3,
        error_messages={"invalid_choice": "Choose 1 to 5.", "required": "Choose 1 to 5."},
    )
    mitigation = _line("Mitigation", 500)
    owner = _line("Owner", PERSON_MAX)

    def to_input(self) -> RiskInput:
        """Return what was said, checked."""
        names = ("title", "likelihood", "impact", "mitigation", "owner")
        return RiskInput(**{name: self.cleaned_data[name] for name in names})


# Two empty rows at the end; an empty row is no risk.
RiskRows = forms.formset_factory(
    RiskForm,
    extra=2,
    can_delete=True,
    max_num=RISKS_MAX,
    absolute_max=RISKS_MAX + 2,
    validate_max=True,
)
