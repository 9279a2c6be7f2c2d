"""Reading what is sealed and taking it away: both leave an entry of their own."""

from __future__ import annotations

import io
import tempfile
from datetime import datetime
from typing import IO

from django.db import transaction

from audit.models import Entry
from audit.reading import Opened, open_entries
from tenants.audit_pages import exports, selectors
from tenants.audit_pages.forms import EntryFilter
from tenants.context import current_schema
from tenants.errors import Invalid
from tenants.journal import Subject, note
from tenants.models import User

# What one file may hold; more is taken away window by window.
EXPORT_ROWS_MAX = 100_000
# Up to this many bytes a file is kept in memory while it is written.
_SPOOL_BYTES = 4 * 1024 * 1024


class TooManyEntries(Invalid):
    """More entries match than one file holds."""

    code = "too_many_entries"


@transaction.atomic
def read_entry(*, acting_user: User, number: int, read_at: datetime) -> tuple[Entry, Opened]:
    """Open an entry, and record that this person read it. Raises ``EntryUnknown``."""
    entry = selectors.get_entry(number)
    (opened,) = open_entries([entry])
    note(
        who=acting_user,
        action="audit.entry_read",
        subject=Subject("entry", str(entry.id)),
        at=read_at,
    )
    return entry, opened


@transaction.atomic
def export_entries(
    *, acting_user: User, asked: EntryFilter, form: str, exported_at: datetime
) -> IO[bytes]:
    """Write what is asked for as CSV or JSON into a file, and record who took it away.

    Raises ``TooManyEntries``. Opens every entry: about 20 000 a second.
    """
    entries = asked.choose(Entry.objects.order_by("inserted_at", "number"))
    _check_count(entries[: EXPORT_ROWS_MAX + 1].count())
    file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115  (the answer closes it)
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    write = exports.write_csv if form == "csv" else exports.write_json
    count = write(text, entries.iterator(chunk_size=exports.BATCH))
    note_export(acting_user, form, asked, count, exported_at)
    text.detach()
    file.seek(0)
    return file


def note_export(
    acting_user: User, form: str, asked: EntryFilter, count: int, exported_at: datetime
) -> None:
    """Record that entries left the platform."""
    note(
        who=acting_user,
        action="audit.exported",
        subject=Subject("log", current_schema()),
        at=exported_at,
        after={"format": form, "filter": asked.said(), "entries": count},
    )


def _check_count(count: int) -> None:
    if count > EXPORT_ROWS_MAX:
        raise TooManyEntries(
            f"More than {EXPORT_ROWS_MAX:,} entries match. Choose a shorter time and export each."
        )
