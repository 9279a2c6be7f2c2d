"""The shapes of a provider's set-up."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from tenants.models import Membership
from tenants.single_sign_on.models import JOIN_ROLES, IdentityProvider

_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}\Z")
DOMAINS_MAX = 20
METADATA_MAX = 200_000
_PLAIN = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off"}


class Add(forms.Form):
    """A name and a protocol."""

    name = forms.CharField(
        label="Name",
        max_length=40,
        help_text="As people know it: the sign-in page says “Continue with …”.",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    kind = forms.ChoiceField(label="Protocol", choices=IdentityProvider.Kind.choices)


class _Rules(forms.Form):
    factor_counts = forms.BooleanField(
        label="A second factor used at this provider counts here",
        required=False,
    )
    join_role = forms.ChoiceField(
        label="People without an account",
        required=False,
        choices=[
            ("", "stay out until somebody invites them"),
            *((role, f"become {Membership.Role(role).label.lower()}") for role in JOIN_ROLES),
        ],
    )
    join_domains = forms.CharField(
        label="… of these e-mail domains",
        required=False,
        max_length=2000,
        help_text="For example: acme.example, lab.acme.example",
        widget=forms.TextInput(attrs=_PLAIN),
    )

    def clean_join_domains(self) -> list[str]:
        """Return the domains, each of them one."""
        found = re.split(r"[\s,;]+", self.cleaned_data["join_domains"].strip().lower())
        domains = sorted({each.removeprefix("@") for each in found if each})
        wrong = [each for each in domains if not _DOMAIN.match(each)]
        if wrong:
            raise forms.ValidationError(f"“{wrong[0][:60]}” is not a domain.")
        if len(domains) > DOMAINS_MAX:
            raise forms.ValidationError(f"Name at most {DOMAINS_MAX} domains.")
        return domains

    def clean(self) -> dict[str, Any]:
        """Ask for domains where people may join."""
        cleaned = super().clean() or {}
        if cleaned.get("join_role") and "join_domains" in cleaned and not cleaned["join_domains"]:
            self.add_error("join_domains", "Name the domains whose people may join.")
        return cleaned


class SetUpOIDC(_Rules):
    """What an OpenID Connect provider tells its clients."""

    issuer = forms.CharField(
        label="Issuer",
        max_length=500,
        help_text="An https address, as the provider writes it; the rest is found there.",
        widget=forms.URLInput(attrs={**_PLAIN, "placeholder": "https://login.example.com"}),
    )
    client_id = forms.CharField(
        label="Client ID", max_length=191, widget=forms.TextInput(attrs=_PLAIN)
    )
    client_secret = forms.CharField(
        label="Client secret",
        max_length=500,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Enter the client secret."},
    )
    field_order = ("issuer", "client_id", "client_secret")

    def __init__(self, *args: Any, has_secret: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["client_secret"].required = not has_secret
        self.fields["client_secret"].help_text = (
            "Kept sealed and shown to nobody. Leave it empty to keep the one that is set."
            if has_secret
            else "Kept sealed and shown to nobody."
        )

    def clean_client_secret(self) -> str:
        """Return it without what was copied around it."""
        secret: str = self.cleaned_data["client_secret"].strip()
        return secret


class SetUpSAML(_Rules):
    """A SAML provider's metadata, by its address or as text."""

    metadata_url = forms.CharField(
        label="Address of its metadata",
        max_length=500,
        required=False,
        help_text="Read now, and again each time you save an address here.",
        widget=forms.URLInput(
            attrs={**_PLAIN, "placeholder": "https://login.example.com/metadata"}
        ),
    )
    metadata_xml = forms.CharField(
        label="… or the metadata itself",
        max_length=METADATA_MAX,
        required=False,
        widget=forms.Textarea(attrs={**_PLAIN, "rows": 6}),
    )
    email_attribute = forms.CharField(
        label="Attribute of the e-mail address",
        max_length=200,
        required=False,
        help_text="Empty: email, mail or the usual names, else the NameID. “NameID”: that alone.",
        widget=forms.TextInput(attrs=_PLAIN),
    )
    field_order = ("metadata_url", "metadata_xml", "email_attribute")

    def __init__(self, *args: Any, is_set_up: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_set_up = is_set_up

    def clean(self) -> dict[str, Any]:
        """Ask for one of the two, the first time."""
        cleaned = super().clean()
        given = [name for name in ("metadata_url", "metadata_xml") if cleaned.get(name)]
        if len(given) == 2:
            self.add_error("metadata_xml", "Give the address or the text, not both.")
        if not given and not self.is_set_up and not self.errors:
            self.add_error("metadata_url", "Enter the address of the metadata, or paste it below.")
        return cleaned


class Require(forms.Form):
    """What the tenant asks of its members."""

    single_sign_on_required = forms.BooleanField(
        label="Members other than owners sign in by single sign-on alone", required=False
    )
