"""The shapes of an invitation, of a change of role, and of joining."""

from __future__ import annotations

from django import forms

from tenants.members.joining import NAME_MAX, PASSWORD_MAX
from tenants.models import Membership

_NO_ROLE = "There is no such role. Choose one of the list."


class Invite(forms.Form):
    """Whom, and as what."""

    email = forms.EmailField(
        label="E-mail",
        max_length=254,
        error_messages={
            "required": "Enter the person's e-mail.",
            "invalid": "Enter an e-mail address, such as ada@example.com.",
        },
    )
    role = forms.ChoiceField(
        label="Role",
        choices=Membership.Role.choices,
        initial=Membership.Role.VIEWER,
        error_messages={"required": "Choose a role.", "invalid_choice": _NO_ROLE},
    )


class ChangeRole(forms.Form):
    """The role that is wanted, and the one that was shown."""

    role = forms.ChoiceField(
        label="Role",
        choices=Membership.Role.choices,
        error_messages={"required": "Choose a role.", "invalid_choice": _NO_ROLE},
    )
    seen_role = forms.CharField(required=False, max_length=16, widget=forms.HiddenInput)


class Join(forms.Form):
    """The code, and the proof of who joins."""

    code = forms.CharField(
        label="Invitation code",
        max_length=100,
        help_text="The link of your invitation fills it in.",
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        error_messages={"required": "Paste the code of your invitation."},
    )
    name = forms.CharField(
        label="Your name",
        max_length=NAME_MAX,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )
    password = forms.CharField(
        label="Password",
        max_length=PASSWORD_MAX,
        strip=False,
        help_text="New here: choose one of at least 12 characters. Already a member of another "
        "tenant here: the one that you have.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Enter a password."},
    )
    password_again = forms.CharField(
        label="Password again",
        max_length=PASSWORD_MAX,
        strip=False,
        required=False,
        help_text="Only for a new one.",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
