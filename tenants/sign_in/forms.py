"""The shape of input about signing in."""

from __future__ import annotations

from django import forms


class Rules(forms.Form):
    """What the tenant asks of everybody."""

    second_factor_for_all = forms.BooleanField(
        label="Everybody needs a second factor, also those who only look", required=False
    )


class Unlock(forms.Form):
    """Whom to let try again."""

    email = forms.EmailField(label="E-mail", max_length=254)
