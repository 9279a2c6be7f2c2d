"""The shape of a decision."""

from __future__ import annotations

from django import forms

from tenants.approvals.services import REASON_MAX


class Decision(forms.Form):
    """A note, and the hash of what was read."""

    note = forms.CharField(
        label="Note",
        required=False,
        max_length=REASON_MAX,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept with the request. Needed to decline.",
        error_messages={"max_length": f"Use at most {REASON_MAX} characters."},
    )
    seen_sha256 = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)
