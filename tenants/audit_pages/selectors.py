"""Reads of the log for its pages: plain columns alone, nothing that is sealed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection
from django.db.models import Q, QuerySet

from audit.models import Entry
from tenants.audit_pages.forms import WHO_KINDS, Cursor, EntryFilter, cursor_of
from tenants.errors import NotFound
from tenants.models import Membership, Tenant

ROWS_ON_A_PAGE = 50
# The actions that are offered for choice are those of the newest entries.
ACTIONS_FROM = 2000
_PLAIN = (
    *("number", "inserted_at", "id", "at", "kind", "action"),
    *("who_kind", "who_id", "subject_type", "subject_id"),
)
_KINDS = dict(WHO_KINDS)


class EntryUnknown(NotFound):
    """There is no such entry in this tenant's log."""

    code = "entry_unknown"


@dataclass(frozen=True)
class Row:
    """An entry in the list: who did it, as far as members' names tell, and its leaf number."""

    entry: Entry
    who: str
    # The address of the member that it is about.
    about: str
    index: int | None

    @property
    def place(self) -> str:
        """The leaf number in words."""
        return "" if self.index is None else grouped(self.index)


@dataclass(frozen=True)
class Page:
    """Some entries, the newest first, and where the pages beside this one begin."""

    rows: list[Row] = field(default_factory=list)
    older: str = ""
    newer: str = ""


def list_entries() -> QuerySet[Entry]:
    """Return the entries without their sealed parts, the newest first."""
    return Entry.objects.only(*_PLAIN).order_by("-inserted_at", "-number")


def get_page(
    asked: EntryFilter, people: dict[str, str], *, before: Cursor | None, after: Cursor | None
) -> Page:
    """Return one page of what is asked for. Keyset: each page costs the same, however deep."""
    entries = asked.choose(list_entries())
    if after:
        at, number = after
        entries = entries.filter(inserted_at__gte=at).filter(
            Q(inserted_at__gt=at) | Q(number__gt=number)
        )
        found = list(entries.reverse()[: ROWS_ON_A_PAGE + 1])
        has_newer, has_older = len(found) > ROWS_ON_A_PAGE, True
        shown = found[:ROWS_ON_A_PAGE][::-1]
    else:
        if before:
            at, number = before
            entries = entries.filter(inserted_at__lte=at).filter(
                Q(inserted_at__lt=at) | Q(number__lt=number)
            )
        found = list(entries[: ROWS_ON_A_PAGE + 1])
        has_newer, has_older = before is not None, len(found) > ROWS_ON_A_PAGE
        shown = found[:ROWS_ON_A_PAGE]
    places = leaf_indexes(entry.number for entry in shown)
    rows = [
        Row(
            entry,
            name_of(entry, people),
            people.get(entry.subject_id, "") if entry.subject_type == "person" else "",
            places.get(entry.number),
        )
        for entry in shown
    ]
    return Page(
        rows,
        older=cursor_of(shown[-1]) if shown and has_older else "",
        newer=cursor_of(shown[0]) if shown and has_newer else "",
    )


def get_entry(number: int) -> Entry:
    """Return an entry with its sealed parts, or raise ``EntryUnknown``."""
    entry = Entry.objects.filter(number=number).first()
    if entry is None:
        raise EntryUnknown("There is no such entry in this log.")
    return entry


def leaf_indexes(numbers: Iterable[int]) -> dict[int, int]:
    """Return the leaf number of each entry that has one already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number, index FROM audit_leaf WHERE number = ANY(%s)", [list(numbers)]
        )
        return dict(cursor.fetchall())


def list_people(tenant: Tenant) -> dict[str, str]:
    """Return the e-mail address of each member by the id that the log has."""
    members = Membership.objects.filter(tenant_id=tenant.pk).select_related("user")
    return {str(member.user_id): member.user.email for member in members.order_by("user__email")}


def name_of(entry: Entry, people: dict[str, str]) -> str:
    """Return who did it without opening the entry: a member's address, else what kind."""
    if entry.who_kind == "person":
        return people.get(entry.who_id, f"former member {entry.who_id[:8]}")
    kind = _KINDS.get(entry.who_kind, entry.who_kind)
    return f"{kind}: {entry.who_id}" if entry.who_id else kind


def grouped(number: int) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,}".replace(",", "\u202f")


def list_actions() -> list[str]:
    """Return the actions of the newest entries, for choice."""
    newest = list_entries().values_list("action", flat=True)[:ACTIONS_FROM]
    return sorted(set(newest))
