"""The shape of what people say was saved."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms

from business.roi.amounts import MONEY_MAX, NotANumber, read_number
from business.scenarios.amounts import from_text
from business.scenarios.services import SavingInput

_SOURCE_MAX = 300


def _month(label: str, help_text: str = "") -> forms.IntegerField:
    names = ("invalid", "required", "min_value", "max_value")
    return forms.IntegerField(
        label=label,
        min_value=1,
        max_value=999,
        help_text=help_text,
        error_messages=dict.fromkeys(names, "Enter a month of the scenario, as in 3."),
    )


class SavingForm(forms.Form):
    """What was saved in some months, and where that stands."""

    first_month = _month("First month", "Month 1 is the first month of the scenario's year 1.")
    last_month = _month("Last month")
    amount = forms.CharField(
        label="Saved in them, before tax",
        max_length=60,
        help_text="Benefits less running costs; less than 0 where the change cost more.",
        error_messages={
            "required": "Enter an amount, as in 12 500.",
            "max_length": "Use at most 60 characters.",
        },
    )
    source = forms.CharField(
        label="Source",
        max_length=_SOURCE_MAX,
        help_text="Where the figure stands, as in: ledger, cost centre 4711, closed 3 April.",
        error_messages={
            "required": "Say where the figure stands.",
            "max_length": f"Use at most {_SOURCE_MAX} characters.",
        },
    )
    corrects = forms.UUIDField(required=False, widget=forms.HiddenInput)

    def clean_amount(self) -> Decimal:
        """Return the amount, to a hundredth of a hundredth; text that is no number is refused."""
        try:
            text = from_text(self.cleaned_data["amount"], "money")
            return round(read_number(text, low=-MONEY_MAX, high=MONEY_MAX), 4)
        except NotANumber as refusal:
            raise forms.ValidationError(f"The amount {refusal}") from None

    def clean(self) -> dict[str, Any]:
        """Say beside the field that the last month is before the first one."""
        said = super().clean() or self.cleaned_data
        first, last = said.get("first_month"), said.get("last_month")
        if first and last and last < first:
            self.add_error("last_month", "Choose the first month or a later one.")
        return said

    def to_input(self) -> SavingInput:
        """Return what was said, checked."""
        names = ("amount", "first_month", "last_month", "source")
        return SavingInput(**{name: self.cleaned_data[name] for name in names})
