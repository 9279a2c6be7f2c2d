"""Bundles of a real log, read by the stand-alone verifier; tampering in the database shows."""

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from audit import selectors
from audit.bundles import NothingSigned, find_window, write_bundle
from audit.encryption.services import destroy_key
from audit.models import Entry
from audit.proofs import find_proof
from audit.sequencer import Sequencer
from audit.services import Subject, Who, record
from audit.signing import read_keys, rotate_key
from audit.verify_bundle import Failed, load, verify
from tenants.context import tenant_context
from tests.audit.conftest import add_entries
from tests.cast import NOON

pytestmark = pytest.mark.django_db(transaction=True)

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def at(second: int) -> datetime:
    return BEGIN + timedelta(seconds=second)


@pytest.fixture
def log(transactional_db, key_file):
    """Five rounds a second apart: entries 0–2, 3–5, … of acme, and one of globex beside each."""
    now = [BEGIN]
    sequencer = Sequencer(read_keys, clock=lambda: now[0])
    for second in range(5):
        now[0] = at(second)
        add_entries("acme", 3, action=f"test.round{second}", after={"round": second}, why="wanted")
        add_entries("globex", 1)
        sequencer.round()
    yield sequencer
    sequencer.close()


def bundle(since=None, until=None, **options) -> dict:
    file = io.StringIO()
    with tenant_context("acme"):
        write_bundle(file, read_keys(), find_window(since, until or at(10)), **options)
    return load(file.getvalue())


def keys() -> list[str]:
    return [each["verifier_key"] for each in read_keys().describe()["keys"]]


class TestBundle:
    def test_the_whole_log(self, log):
        found = verify(bundle(), keys())
        assert (found["count"], found["first"], found["head"]["size"]) == (15, 0, 15)
        assert found["contents"] == {"shown": 30, "withheld": 0}
        assert found["window"]["covered_to"] == "2026-03-01T12:00:04.000000Z"
        assert found["log"] == "aii.test/log"

    @pytest.mark.parametrize(
        ("since", "until", "first", "size"),
        [(0, 2, 3, 9), (1, 1, 6, 6), (1.5, 2.5, 6, 12), (3, 9, 12, 15), (7, 9, 15, 15)],
    )
    def test_a_window_holds_all_that_was_integrated_in_it(self, log, since, until, first, size):
        made = bundle(at(since), at(until))
        found = verify(made, keys())
        assert (found["first"], found["head"]["size"]) == (first, size)
        assert [entry["index"] for entry in made["entries"]] == list(range(first, size))

    def test_shows_the_contents_that_were_logged(self, log):
        text = bundle(at(3))["entries"][0]["details"]["opened"]["text"]
        assert json.loads(text)["after"] == {"round": 4}

    def test_contents_that_do_not_concern_the_reader_are_withheld(self, log):
        made = bundle(shows=lambda entry: entry.action == "test.round2")
        assert verify(made, keys())["contents"] == {"shown": 6, "withheld": 24}
        withheld = made["entries"][0]
        assert withheld["actor"]["opened"] is None
        assert "sealed" not in withheld["actor"]

    def test_windows_that_adjoin_continue_each_other(self, log):
        earlier, later = bundle(at(0), at(2)), bundle(at(2), at(4))
        assert earlier["end"]["size"] == later["start"]["size"]
        found = verify(later, keys(), json.dumps(earlier))
        assert found["earlier"]["size"] == 9

    def test_after_an_erasure_the_same_window_still_verifies(self, transactional_db, key_file):
        ada = Who("person", "6f1d3c0e-0000-4000-8000-000000000001", "ada@acme.example")
        with tenant_context("acme"), transaction.atomic():
            record(who=ada, action="test.done", subject=Subject("test", "1"), at=NOON, why="x")
        sequencer = Sequencer(read_keys, clock=lambda: at(1))
        sequencer.round()
        sequencer.close()
        before = bundle()
        assert "ada@acme.example" in json.dumps(before)
        with tenant_context("acme"), transaction.atomic():
            destroy_key(f"person:{ada.id}", destroyed_by="test", reason="asked", at=NOON)
        after = bundle()
        assert "ada@acme.example" not in json.dumps(after)
        assert verify(after, keys())["contents"] == {"shown": 1, "withheld": 1}
        assert verify(before, keys())["contents"] == {"shown": 2, "withheld": 0}

    def test_heads_of_an_earlier_key_count_with_it(self, log):
        earlier = keys()
        rotate_key(datetime.now(UTC))
        assert len(keys()) == 2
        assert verify(bundle(), keys())["count"] == 15
        assert verify(bundle(), earlier)["count"] == 15
        with pytest.raises(Failed, match="not signed"):
            verify(bundle(), keys()[1:])

    def test_a_log_without_a_head(self, transactional_db, key_file):
        with pytest.raises(NothingSigned):
            bundle()

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE acme.audit_entry SET action = 'test.other' WHERE number = %s",
            "UPDATE acme.audit_entry SET at = at + interval '1 second' WHERE number = %s",
            "UPDATE acme.audit_entry SET who_id = 'somebody' WHERE number = %s",
            "UPDATE acme.audit_entry SET details = details || 'x' WHERE number = %s",
            "UPDATE acme.audit_entry SET details_digest = sha256('x') WHERE number = %s",
        ],
    )
    def test_an_entry_changed_in_the_database_is_named(self, log, superuser, change):
        with tenant_context("acme"):
            (placed,) = selectors.iterate_placed(7, 8)
        superuser.execute(change, [placed.row[1]])
        with pytest.raises(Failed) as failure:
            verify(bundle(), keys())
        assert failure.value.entry == 7


class TestProof:
    def test_every_entry_of_the_log(self, log):
        with tenant_context("acme"):
            for entry in Entry.objects.all():
                proof = find_proof(entry.number, read_keys())
                assert proof.data.split("\n")[7] == entry.action
                assert proof.key == keys()[0]

    def test_an_entry_that_waits_for_its_place(self, log):
        add_entries("acme", 1)
        with tenant_context("acme"):
            newest = Entry.objects.order_by("-number").first()
            assert find_proof(newest.number, read_keys()) is None
