"""The shape of what people and pages send."""

from __future__ import annotations

from typing import Any

from django import forms

from monitoring.models import Alert
from monitoring.readings import CARDS
from monitoring.selectors import PERFORMANCE_SERIES
from monitoring.services.alerts import NOTE_LENGTH_MAX

WINDOW_S_MAX = 3600


class Note(forms.Form):
    """An optional note to an acknowledgement or a resolution."""

    note = forms.CharField(
        required=False, max_length=NOTE_LENGTH_MAX, widget=forms.Textarea(attrs={"rows": 2})
    )


class AlertFilter(forms.Form):
    """Which alerts the list shows; the address holds it."""

    state = forms.ChoiceField(choices=[(s.value.lower(), s.label) for s in Alert.State])


class HistoryQuery(forms.Form):
    """Which history a strip asks for: one quantity or one series, over at most an hour."""

    quantity = forms.ChoiceField(required=False, choices=[(name, name) for name in CARDS])
    series = forms.ChoiceField(
        required=False, choices=[(name, name) for name in PERFORMANCE_SERIES]
    )
    window = forms.IntegerField(required=False, min_value=10, max_value=WINDOW_S_MAX)

    def clean(self) -> dict[str, Any]:
        """Ask for exactly one of the two."""
        cleaned = super().clean() or {}
        if not self.errors and bool(cleaned.get("quantity")) == bool(cleaned.get("series")):
            raise forms.ValidationError("Ask for one quantity or one series.")
        return cleaned
