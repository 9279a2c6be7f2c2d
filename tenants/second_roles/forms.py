"""The shape of a second role."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from django import forms

from tenants.models import Membership
from tenants.second_roles.services import REASON_MAX


class Grant(forms.Form):
    """Whom, what, until when, and why."""

    person = forms.ChoiceField(
        label="Person",
        error_messages={
            "required": "Choose a person.",
            "invalid_choice": "There is no such person. Choose one of the list.",
        },
    )
    role = forms.ChoiceField(
        label="Second role",
        choices=Membership.Role.choices,
        error_messages={
            "required": "Choose a role.",
            "invalid_choice": "There is no such role. Choose one of the list.",
        },
    )
    until = forms.DateField(
        label="Last day (UTC)",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="At most a year; an exception at most 30 days.",
        error_messages={"required": "Choose the last day.", "invalid": "Choose a day."},
    )
    reason = forms.CharField(
        label="Reason",
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 2}),
        error_messages={"required": "Say why."},
    )
    is_exception = forms.BooleanField(
        label="This is an exception: the two roles hold duties that nobody holds together",
        required=False,
        help_text="Needed where they do. Each use is written into the audit log.",
    )

    def __init__(self, *arguments: object, people: list[tuple[str, str]]) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.fields["person"].choices = people  # type: ignore[attr-defined]

    def clean_until(self) -> datetime:
        """Return the end of the day."""
        day = self.cleaned_data["until"]
        if not 2000 <= day.year < 9999:
            raise forms.ValidationError("Choose a day.")
        return datetime.combine(day, time(), UTC) + timedelta(days=1)
