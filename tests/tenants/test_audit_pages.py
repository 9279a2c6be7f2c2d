"""The audit explorer: filters, pages, differences, exports, and what each leaves in the log."""

from __future__ import annotations

import csv
import io
import json
import os
from hashlib import sha256

import psycopg
import pytest
from django.db import connection, transaction
from django.http import QueryDict
from django.utils import timezone

from audit import merkle
from audit.checkpoint import parse_and_verify, parse_verifier_key, signed_text
from audit.models import Entry
from audit.sequencer import Sequencer
from audit.signing import read_keys
from audit.verify_bundle import load, verify
from tenants.audit_pages import selectors, services
from tenants.audit_pages.differences import differences
from tenants.audit_pages.exports import safe_cell
from tenants.audit_pages.forms import EntryFilter
from tenants.context import tenant_context
from tenants.journal import Subject, Who, note
from tests.audit.conftest import key_file
from tests.cast import NOON

__all__ = ["key_file"]

pytestmark = pytest.mark.django_db


def add(who, action="run.requested", subject=("run", "r-1", "Kepler"), **fields):
    with transaction.atomic():
        return note(who=who, action=action, subject=Subject(*subject), at=NOON, **fields)


def actions() -> list[str]:
    return list(Entry.objects.order_by("number").values_list("action", flat=True))


@pytest.fixture
def log(in_acme, operator, owner):
    add(operator, after={"steps": 1000})
    add(Who("process", "worker"), "run.done", before={"state": "RUNNING"}, after={"state": "DONE"})
    add(owner, "member.added", ("person", str(owner.pk), "owner@acme.example"), why="New colleague")


def page_of(client, query=""):
    response = client.get(f"/audit/{query}")
    return response, response.content.decode()


def forget_statistics() -> None:
    """Let the planner know no more of the log than on the first day, whatever other tests wrote."""
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"]) as superuser:
        superuser.execute(
            "SELECT pg_clear_attribute_stats(schemaname::text, tablename::text, attname::text,"
            " inherited) FROM pg_stats WHERE schemaname = 'acme' AND tablename ~ '^audit_entry'"
        )
        superuser.execute(
            "SELECT pg_clear_relation_stats('acme', relname::text) FROM pg_class"
            " WHERE relnamespace = 'acme'::regnamespace AND relname ~ '^audit_entry'"
            " AND relkind IN ('r', 'p', 'i', 'I')"
        )


class TestList:
    def test_an_empty_log_says_what_will_stand_here(self, client_for, auditor, acme):
        response, page = page_of(client_for(auditor, acme))
        assert response.status_code == 200
        assert "Nothing is signed yet in the log of Acme Robotics" in page
        assert "Nothing has happened yet" in page

    def test_shows_who_did_what_on_which_object_and_nothing_that_is_sealed(
        self, client_for, auditor, acme, log
    ):
        before = actions()
        _, page = page_of(client_for(auditor, acme))
        assert "operator@acme.example" in page  # a member, by the id in the log
        assert "The platform: worker" in page
        assert page.index("member.added") < page.index("run.done") < page.index("run.requested")
        assert "Kepler" not in page
        assert "New colleague" not in page
        assert actions() == before  # reading the plain columns leaves nothing

    @pytest.mark.parametrize(
        ("query", "shown"),
        [
            ("?action=run.*", {"run.requested", "run.done"}),
            ("?action=run.done", {"run.done"}),
            ("?who=process", {"run.done"}),
            ("?object=person", {"member.added"}),
            ("?object=run:r-1", {"run.requested", "run.done"}),
            ("?object=run:r-2", set()),
            ("?since=2020-01-01T00:00", {"run.requested", "run.done", "member.added"}),
            ("?until=2020-01-01T00:00", set()),
        ],
    )
    def test_filters(self, client_for, auditor, acme, log, query, shown):
        _, page = page_of(client_for(auditor, acme), query)
        listed = page[page.index('id="entries"') :]
        found = {each for each in ("run.requested", "run.done", "member.added") if each in listed}
        assert found == shown
        assert ("No entry matches" in page) is (not shown)

    def test_a_person_is_filtered_by_the_address_that_the_page_offers(
        self, client_for, auditor, acme, log, operator
    ):
        _, page = page_of(client_for(auditor, acme), f"?who=person:{operator.pk}")
        listed = page[page.index('id="entries"') :]
        assert "run.requested" in listed
        assert "member.added" not in listed

    @pytest.mark.parametrize(
        "query",
        ["?since=yesterday", "?action=run%27", "?since=2026-02-02T00:00&until=2026-01-01T00:00"],
    )
    def test_a_filter_that_cannot_be_read_is_told(self, client_for, auditor, acme, log, query):
        response, page = page_of(client_for(auditor, acme), query)
        assert response.status_code == 422
        assert "The filter cannot be read" in page
        assert "run.requested" not in page[page.index('id="entries"') :]

    @pytest.mark.parametrize("cursor", ["x", "2026-01-01~1", "2026-13-01T00:00:00.000000Z~1", "~"])
    def test_a_page_that_nobody_wrote(self, client_for, auditor, acme, cursor):
        for name in ("before", "after"):
            response = client_for(auditor, acme).get("/audit/", {name: cursor})
            assert response.status_code == 422

    def test_pages_show_every_entry_once_in_both_directions(
        self, client_for, auditor, acme, in_acme, operator
    ):
        with transaction.atomic():
            for number in range(120):
                note(
                    who=operator,
                    action=f"test.a{number:03}",
                    subject=Subject("test", str(number)),
                    at=NOON,
                )
        client = client_for(auditor, acme)
        seen, query = [], "?action=test.*"
        while query:
            response, _ = page_of(client, query)
            page = response.context["page"]
            seen += [row.entry.action for row in page.rows]
            query = f"?action=test.*&before={page.older}" if page.older else ""
        assert seen == [f"test.a{number:03}" for number in reversed(range(120))]
        back = page_of(client, f"?action=test.*&after={page.newer}")[0].context["page"]
        assert [row.entry.action for row in back.rows] == seen[50:100]
        newest = page_of(client, f"?action=test.*&after={back.newer}")[0].context["page"]
        assert [row.entry.action for row in newest.rows] == seen[:50]
        assert newest.newer == ""

    @pytest.mark.parametrize(
        ("query", "column"),
        [
            ("", "inserted_at"),
            ("since=2026-01-01T00:00", "inserted_at"),
            ("action=run.done", "action"),
            ("who=person:7", "who_id"),
            ("object=run:7", "subject_id"),
        ],
    )
    def test_a_page_walks_an_index_in_its_order(self, in_acme, query, column):
        """So it costs the same among a hundred thousand entries: nothing is sorted."""
        forget_statistics()
        asked = EntryFilter(QueryDict(query))
        assert asked.is_valid()
        with connection.cursor() as cursor:
            # The test's table is small: a scan would be cheaper.
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        entries = asked.choose(selectors.list_entries())
        for page in (entries, entries.filter(inserted_at__lte=timezone.now())):
            plan = page[:51].explain()
            assert f"Backward using audit_entry_{timezone.now():%Y_%m}_{column}" in plan
            assert "Sort  (" not in plan


class TestEntry:
    def test_opens_to_its_difference_and_is_recorded(self, client_for, auditor, acme, log):
        done = Entry.objects.get(action="run.done")
        page = client_for(auditor, acme).get(f"/audit/{done.number}/").content.decode()
        assert "RUNNING" in page
        assert "DONE" in page
        assert "Kepler" in page
        newest = Entry.objects.order_by("-number").first()
        assert (newest.action, newest.who_id) == ("audit.entry_read", str(auditor.pk))
        assert (newest.subject_type, newest.subject_id) == ("entry", str(done.id))

    def test_an_entry_that_is_not_there(self, client_for, auditor, acme, log):
        before = actions()
        assert client_for(auditor, acme).get("/audit/999999/").status_code == 404
        assert actions() == before

    def test_a_person_who_was_erased(self, client_for, auditor, acme, log, owner):
        from audit.encryption.services import destroy_key

        destroy_key(f"person:{owner.pk}", destroyed_by="test", reason="asked", at=NOON)
        added = Entry.objects.get(action="member.added")
        page = client_for(auditor, acme).get(f"/audit/{added.number}/").content.decode()
        assert "The contents were erased" in page
        assert "New colleague" not in page

    def test_contents_are_text_and_no_markup(self, client_for, auditor, acme, in_acme, operator):
        add(operator, after={"name": "<script>alert(1)</script>"}, why="</script><b>x</b>")
        number = Entry.objects.get(action="run.requested").number
        page = client_for(auditor, acme).get(f"/audit/{number}/").content.decode()
        assert "<script>alert" not in page
        assert "<b>x</b>" not in page


class TestDifferences:
    def test_by_dotted_names_changed_ones_first(self):
        found = differences(
            {"a": 1, "b": {"c": "x", "d": 2}, "gone": [1, 2]},
            {"a": 1, "b": {"c": "y", "d": 2}, "new": True},
        )
        assert [(c.name, c.before, c.after, c.kind) for c in found] == [
            ("b.c", "x", "y", "changed"),
            ("gone", "[1, 2]", "", "removed"),
            ("new", "", "true", "added"),
            ("a", "1", "1", "same"),
            ("b.d", "2", "2", "same"),
        ]

    def test_one_is_not_true(self):
        assert [c.kind for c in differences({"a": 1}, {"a": True})] == ["changed"]


class TestExport:
    def take(self, client, kind, query=""):
        response = client.post(f"/audit/export/{query}", {"format": kind})
        assert response.status_code == 200, response.content
        return response, b"".join(response.streaming_content).decode()

    def test_csv_of_what_is_filtered(self, client_for, auditor, acme, log):
        response, text = self.take(client_for(auditor, acme), "csv", "?action=run.*")
        assert response["Content-Disposition"].startswith('attachment; filename="audit-acme-')
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["action"] for row in rows] == ["run.requested", "run.done"]
        assert rows[0]["who"] == "operator@acme.example"
        assert json.loads(rows[1]["before"]) == {"state": "RUNNING"}

    def test_json_of_what_is_filtered(self, client_for, auditor, acme, log):
        _, text = self.take(client_for(auditor, acme), "json")
        rows = json.loads(text)
        assert [row["action"] for row in rows] == ["run.requested", "run.done", "member.added"]
        assert rows[2]["why"] == "New colleague"

    @pytest.mark.parametrize("kind", ["csv", "json"])
    def test_an_export_is_recorded_with_what_was_taken(self, client_for, auditor, acme, log, kind):
        self.take(client_for(auditor, acme), kind, "?action=run.*")
        newest = Entry.objects.order_by("-number").first()
        assert (newest.action, newest.who_id) == ("audit.exported", str(auditor.pk))
        _, opened = services.read_entry(acting_user=auditor, number=newest.number, read_at=NOON)
        assert opened.details.said["after"] == {
            "format": kind,
            "filter": {"action": "run.*"},
            "entries": 2,
        }

    def test_no_cell_is_a_formula(self, client_for, auditor, acme, in_acme, operator):
        add(operator, why='=HYPERLINK("http://evil.example")', subject=("run", "r", "@SUM(A1)"))
        _, text = self.take(client_for(auditor, acme), "csv")
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["why"].startswith("'=")
        assert row["subject"] == "'@SUM(A1)"
        for sign in "=+-@\t\r":
            assert safe_cell(f"{sign}1") == f"'{sign}1"

    def test_more_than_a_file_holds_is_refused_and_not_recorded(
        self, client_for, auditor, acme, log, monkeypatch
    ):
        monkeypatch.setattr(services, "EXPORT_ROWS_MAX", 2)
        before = actions()
        response = client_for(auditor, acme).post("/audit/export/", {"format": "csv"})
        assert response.status_code == 422
        assert actions() == before

    @pytest.mark.parametrize("query", ["?action=run%27", ""])
    def test_a_filter_or_form_that_cannot_be_read(self, client_for, auditor, acme, log, query):
        before = actions()
        kind = "csv" if query else "xml"
        response = client_for(auditor, acme).post(f"/audit/export/{query}", {"format": kind})
        assert response.status_code == 422
        assert actions() == before

    def test_only_auditors_take_evidence_away(self, client_for, owner, acme, log):
        before = actions()
        client = client_for(owner, acme)
        assert client.post("/audit/export/", {"format": "csv"}).status_code == 403
        assert actions() == [*before, "permission.refused"]
        assert "audit/export" not in page_of(client)[1]


@pytest.fixture
def signed(transactional_db, key_file, in_acme, operator):
    """Three entries with their places, under a signed head."""
    for number in range(3):
        add(operator, f"run.a{number}", after={"steps": number})
    sequencer = Sequencer(read_keys)
    sequencer.round()
    sequencer.close()
    return Entry.objects.order_by("number").first()


@pytest.mark.django_db(transaction=True)
class TestProof:
    def test_leads_from_the_entry_to_the_signed_heads(self, client_for, auditor, acme, signed):
        proof = client_for(auditor, acme).get(f"/audit/{signed.number}/proof.json").json()
        leaf = merkle.leaf_hash(proof["data"].encode())
        (name, public) = parse_verifier_key(proof["key"])
        head = parse_and_verify(proof["head"], public, f"{name}/acme")
        path = [bytes.fromhex(each) for each in proof["path"]]
        merkle.verify_inclusion(leaf, proof["index"], head.size, path, head.root)
        whole = parse_and_verify(proof["checkpoint"], public, name)
        leaf = merkle.leaf_hash(b"aii/head/1\n" + signed_text(proof["head"]).encode())
        path = [bytes.fromhex(each) for each in proof["global_path"]]
        merkle.verify_inclusion(leaf, proof["global_index"], whole.size, path, whole.root)

    def test_the_page_claims_the_lines_of_the_leaf(self, client_for, auditor, acme, signed):
        client = client_for(auditor, acme)
        claims = client.get(f"/audit/{signed.number}/").context["claims"]
        lines = client.get(f"/audit/{signed.number}/proof.json").json()["data"].split("\n")
        assert {str(at): line for at, line in enumerate(lines) if 2 <= at <= 11} == claims["lines"]
        for place, name in ((14, "actor"), (15, "details")):
            part = claims["parts"][name]
            held = bytes.fromhex(part["salt"]) + part["text"].encode()
            assert sha256(held).hexdigest() == lines[place]

    def test_an_entry_without_a_place_yet(self, client_for, auditor, acme, signed, operator):
        add(operator, "run.later")
        client = client_for(auditor, acme)
        number = Entry.objects.get(action="run.later").number
        answer = client.get(f"/audit/{number}/proof.json")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_signed_yet")
        assert "waits for its place" in client.get(f"/audit/{number}/").content.decode()


@pytest.mark.django_db(transaction=True)
class TestBundle:
    def take(self, client, query=""):
        response = client.post(f"/audit/export/{query}", {"format": "bundle"})
        assert response.status_code == 200, response.content
        return load(b"".join(response.streaming_content).decode())

    def test_verifies_offline_and_is_recorded(self, client_for, auditor, acme, signed):
        keys = [each["verifier_key"] for each in read_keys().describe()["keys"]]
        found = verify(self.take(client_for(auditor, acme)), keys)
        assert (found["count"], found["contents"]) == (3, {"shown": 6, "withheld": 0})
        assert Entry.objects.order_by("-number").first().action == "audit.exported"

    def test_a_filter_withholds_contents_and_leaves_no_entry_out(
        self, client_for, auditor, acme, signed
    ):
        bundle = self.take(client_for(auditor, acme), "?action=run.a1")
        found = verify(bundle, [])
        assert (found["count"], found["contents"]) == (3, {"shown": 2, "withheld": 4})
        assert [entry["details"]["opened"] is None for entry in bundle["entries"]] == [
            True,
            False,
            True,
        ]

    def test_nothing_signed_and_no_keys(self, client_for, auditor, acme, key_file):
        client = client_for(auditor, acme)
        assert client.post("/audit/export/", {"format": "bundle"}).status_code == 409
        key_file.unlink()
        key_file.with_name("log-keys.json").unlink()
        assert client.post("/audit/export/", {"format": "bundle"}).status_code == 503
        with tenant_context("acme"):
            assert actions() == []
