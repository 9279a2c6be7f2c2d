"""What the explorer's address may ask for."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.dateparse import parse_datetime

from audit.models import Entry
from tenants.errors import Invalid

# What the database lets stand in the plain columns of an entry.
_PLAIN = re.compile(r"[A-Za-z0-9._:/+-]*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CURSOR = re.compile(r"([0-9TZ:.-]{20,32})~([0-9]{1,18})")
WHO_KINDS = (("process", "The platform"), ("key", "API keys"), ("stranger", "Not signed in"))
_MINUTES = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")


class PlainField(forms.CharField):
    """A word as the log writes it; anything else matches nothing, and says so."""

    default_error_messages = {  # noqa: RUF012  (Django's own way)
        "plain": "The log has only letters, digits and . _ : / + - here."
    }

    def validate(self, value: Any) -> None:
        """Refuse other characters."""
        super().validate(value)
        if not _PLAIN.fullmatch(value.removesuffix("*")):
            raise forms.ValidationError(self.error_messages["plain"], code="plain")


class EntryFilter(forms.Form):
    """Time (when it was recorded, UTC), person, action, object."""

    since = forms.DateTimeField(required=False, label="From", widget=_MINUTES)
    until = forms.DateTimeField(required=False, label="To", widget=_MINUTES)
    who = PlainField(required=False, max_length=240, label="Person")
    action = PlainField(required=False, max_length=200, label="Action")
    object = PlainField(required=False, max_length=400, label="Object")

    def clean(self) -> dict[str, Any]:
        """Refuse a window that ends before it begins."""
        cleaned = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since >= until:
            self.add_error("until", "The window ends before it begins.")
        return cleaned

    def choose(self, entries: QuerySet[Entry]) -> QuerySet[Entry]:
        """Return those of the entries that are asked for."""
        asked = self.cleaned_data
        if asked["since"]:
            entries = entries.filter(inserted_at__gte=asked["since"])
        if asked["until"]:
            entries = entries.filter(inserted_at__lt=asked["until"])
        return entries.filter(self.matching())

    def matching(self) -> Q:
        """Return the conditions apart from the time."""
        asked, wanted = self.cleaned_data, Q()
        kind, _, who_id = asked["who"].partition(":")
        if kind:
            wanted &= Q(who_kind=kind)
        if who_id:
            wanted &= Q(who_id=who_id)
        if asked["action"].endswith("*"):
            wanted &= Q(action__startswith=asked["action"][:-1])
        elif asked["action"]:
            wanted &= Q(action=asked["action"])
        return wanted & _about(asked["object"])

    def said(self) -> dict[str, str]:
        """Return what is asked for, as an entry about an export says it."""
        shown = {name: value for name, value in self.cleaned_data.items() if value}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in shown.items()
        }


def _about(text: str) -> Q:
    """Read ``run``, ``run:<id>`` or an id."""
    kind, colon, subject_id = text.partition(":")
    if not text:
        return Q()
    if not colon:
        return Q(subject_id=text) if _UUID.fullmatch(text) else Q(subject_type=text)
    return Q(subject_type=kind, subject_id=subject_id)


class Export(forms.Form):
    """In which form the filtered entries leave."""

    format = forms.ChoiceField(choices=[(name, name) for name in ("csv", "json", "bundle")])


Cursor = tuple[datetime, int]


def parse_cursor(text: str) -> Cursor | None:
    """Return the entry that a page begins after; raise ``Invalid`` for what no page has written."""
    if not text:
        return None
    match = _CURSOR.fullmatch(text)
    try:
        at = parse_datetime(match[1]) if match else None
    except ValueError:
        at = None
    if match is None or at is None or at.tzinfo is None:
        raise Invalid("This is not an address of a page. Go back to the newest entries.")
    return at, int(match[2])


def cursor_of(entry: Entry) -> str:
    """Return the place of an entry in the list, for an address."""
    return f"{entry.inserted_at:%Y-%m-%dT%H:%M:%S.%fZ}~{entry.number}"
