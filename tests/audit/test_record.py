"""Entries are part of what they tell of, hide what is personal, and cost a statement."""

from __future__ import annotations

import math

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext

from audit.content import TooMuchToSay, unpack
from audit.encryption import keys
from audit.encryption.services import destroy_key, open_sealed
from audit.models import Entry
from audit.services import Origin, Subject, Who, part_context, record
from tenants.context import tenant_context
from tests.cast import NOON

ADA = Who("person", "6f1d3c0e-0000-4000-8000-000000000001", "ada@acme.example")
RUN = Subject("run", "r1", "Kepler of Ada Lovelace")


def record_one(**given):
    fields = {"who": ADA, "action": "run.requested", "subject": RUN, "at": NOON, **given}
    with transaction.atomic():
        return record(**fields)


def opened(entry: Entry, part: str) -> dict:
    context = part_context("acme", part, entry.id)
    return unpack(open_sealed(bytes(getattr(entry, part)), context=context))


def test_an_entry_says_who_what_on_which_object_before_after_why_and_from_where(in_acme):
    record_one(
        before={"role": "VIEWER"},
        after={"role": "OWNER", "limit": math.inf, "at": NOON},
        why="Ada leads now",
        origin=Origin("203.0.113.9", "Firefox", "3f2a"),
    )

    entry = Entry.objects.get()
    assert (entry.kind, entry.action, entry.at) == ("entry", "run.requested", NOON)
    assert (entry.who_kind, entry.who_id) == ("person", ADA.id)
    assert (entry.subject_type, entry.subject_id) == ("run", "r1")
    assert opened(entry, "actor") == {
        "label": "ada@acme.example",
        "why": "Ada leads now",
        "origin": {"ip": "203.0.113.9", "user_agent": "Firefox", "session": "3f2a"},
    }
    assert opened(entry, "details") == {
        "label": "Kepler of Ada Lovelace",
        "before": {"role": "VIEWER"},
        "after": {"role": "OWNER", "limit": "inf", "at": str(NOON)},
    }


def test_what_is_personal_lies_sealed_in_the_table(in_acme):
    record_one(why="secret reason", origin=Origin("203.0.113.9"), after={"note": "Lovelace"})
    with connection.cursor() as cursor:
        cursor.execute("SELECT e::text, encode(actor || details, 'escape') FROM audit_entry e")
        row = "".join(cursor.fetchone())
    for personal in ("ada@acme", "secret", "203.0.113.9", "Lovelace"):
        assert personal not in row


def test_an_entry_goes_with_its_transaction(in_acme):
    with transaction.atomic():
        record(who=ADA, action="run.requested", subject=RUN, at=NOON)
        transaction.set_rollback(True)
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_nothing_is_recorded():
    with tenant_context("acme"):
        with pytest.raises(AssertionError, match="transaction"):
            record(who=ADA, action="run.requested", subject=RUN, at=NOON)
        assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_warm", [True, False])
def test_an_entry_costs_one_statement_and_one_for_all_keys_that_are_not_in_memory(is_warm):
    with tenant_context("acme"):
        record_one()
        record_one()
        if not is_warm:
            keys.forget_everything()
        with transaction.atomic(), CaptureQueriesContext(connection) as queries:
            record(who=ADA, action="run.requested", subject=RUN, at=NOON)
    statements = [query["sql"] for query in queries if query["sql"] != "BEGIN"]
    said = [text.split("(")[0].strip() for text in statements]
    assert said == ["SELECT DISTINCT ON"] * (not is_warm) + ["INSERT INTO audit_entry"]


@pytest.mark.parametrize(
    "field",
    [
        {"action": "two words"},
        {"action": ""},
        {"subject": Subject("run", "ada@acme.example")},
        {"subject": Subject("run", "one\ntwo")},
        {"who": Who("person", "ada@acme.example")},
        {"who": Who("", "1")},
        {"kind": "Entry/1\n"},
    ],
)
def test_the_database_refuses_what_does_not_belong_into_a_leaf(in_acme, field):
    with pytest.raises((IntegrityError, ValueError)):
        record_one(**field)
    assert not Entry.objects.exists()


def test_a_part_has_a_limit(in_acme):
    with pytest.raises(TooMuchToSay):
        record_one(after={"file": "x" * 300_000})
    assert not Entry.objects.exists()


def test_what_happens_to_an_erased_person_is_recorded_without_them(in_acme):
    record_one()
    destroy_key(f"person:{ADA.id}", destroyed_by="tests", reason="asked for", at=NOON)
    record_one()

    before, after = Entry.objects.order_by("number")
    assert (
        open_sealed(bytes(before.actor), context=part_context("acme", "actor", before.id)) is None
    )
    assert opened(after, "actor") == {}
    assert after.who_id == ADA.id
