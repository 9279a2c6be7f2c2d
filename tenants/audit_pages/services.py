"""Reading what is sealed and taking it away: both leave an entry of their own."""

from __future__ import annotations

import io
import tempfile
from datetime import datetime, timedelta
from typing import IO

from django.db import transaction

from audit.bundles import NothingSigned, find_window, write_bundle
from audit.models import Entry
from audit.proofs import EntryProof, find_proof
from audit.reading import Opened, open_entries
from audit.signing import KeyUnusable, SigningKeys, read_keys
from tenants.audit_pages import exports, selectors
from tenants.audit_pages.forms import EntryFilter
from tenants.context import current_schema
from tenants.errors import Conflict, Invalid, Unavailable
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


class NotSignedYet(Conflict):
    """The log has no signed head, so nothing can be proven."""

    code = "not_signed_yet"


class KeysMissing(Unavailable):
    """The public keys of the log cannot be read here."""

    code = "log_keys_missing"


@transaction.atomic
def export_entries(
    *, acting_user: User, asked: EntryFilter, form: str, exported_at: datetime
) -> IO[bytes]:
    """Write what is asked for as CSV or JSON into a file, and record who took it away.

    Raises ``TooManyEntries``. Opens every entry: about 20 000 a second.
    """
    entries = asked.choose(Entry.objects.order_by("inserted_at", "number"))
    _check_count(entries[: EXPORT_ROWS_MAX + 1].count())
    write = exports.write_csv if form == "csv" else exports.write_json
    file, text = _new_file()
    count = write(text, entries)
    _note_export(acting_user, form, asked, count, exported_at)
    return _finished(file, text)


@transaction.atomic
def export_bundle(*, acting_user: User, asked: EntryFilter, exported_at: datetime) -> IO[bytes]:
    """Write the bundle of the time that is asked for, and record who took it away.

    It holds every entry of that time, or it could not prove that none is missing; the contents
    of those that the rest of the filter leaves out are withheld. Raises ``TooManyEntries``,
    ``NotSignedYet`` and ``KeysMissing``.
    """
    since, until = asked.cleaned_data["since"], asked.cleaned_data["until"]
    keys = get_keys()
    try:
        window = find_window(since, until or exported_at)
    except NothingSigned as problem:
        raise NotSignedYet(f"{problem} Try again in a few seconds.") from None
    _check_count(window.count)
    matching = Entry.objects.filter(asked.matching())
    if since:
        # What was recorded before the window began may have got its place inside it.
        matching = matching.filter(inserted_at__gte=since - timedelta(days=1))
    shown = set(matching.values_list("number", flat=True))
    file, text = _new_file()
    write_bundle(text, keys, window, shows=lambda entry: entry.number in shown)
    _note_export(acting_user, "bundle", asked, window.count, exported_at)
    return _finished(file, text)


def get_proof(number: int) -> EntryProof:
    """Return an entry's proof; raise ``EntryUnknown``, ``NotSignedYet`` or ``KeysMissing``."""
    proof = find_proof(selectors.get_entry(number).number, get_keys())
    if proof is None:
        raise NotSignedYet("The entry waits for its place in the tree. Try again in a second.")
    return proof


def get_keys() -> SigningKeys:
    """Return the keys that verify the log's heads."""
    try:
        return read_keys()
    except KeyUnusable as problem:
        raise KeysMissing("The log's keys cannot be read now.") from problem


def _new_file() -> tuple[IO[bytes], io.TextIOWrapper]:
    file = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115  (the answer closes it)
    return file, io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)


def _finished(file: IO[bytes], text: io.TextIOWrapper) -> IO[bytes]:
    text.detach()
    file.seek(0)
    return file


def _note_export(
    acting_user: User, form: str, asked: EntryFilter, count: int, exported_at: datetime
) -> None:
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
