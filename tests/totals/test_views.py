"""The page of the audit across tenants and its downloads, through HTTP."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from audit.models import Entry
from monitoring.models import Account
from monitoring.totals import services
from monitoring.totals.models import Participant, Publication
from monitoring.totals.services.openings import list_drawn
from tenants.context import public_context, tenant_context
from tests.cast import NOON
from tests.totals.conftest import HOUR, answer, open_account, read, run_round

pytestmark = pytest.mark.django_db
ADDRESSES = ("/totals/", "/totals/round.json?round=1", "/totals/verify_totals.py")


@pytest.fixture
def page_of(client_for, owner, acme):
    def get(address="/totals/", **kwargs):
        return client_for(owner, acme).get(address, **kwargs)

    return get


@pytest.fixture
def begun(private):
    for schema in ("acme", "globex"):
        with tenant_context(schema):
            read(open_account())
    return run_round(private, NOON)


def go_on(private, **values) -> Publication:
    for schema in ("acme", "globex"):
        with tenant_context(schema):
            read(Account.objects.get(), at=NOON + HOUR, **(values if schema == "acme" else {}))
    return run_round(private, NOON + HOUR)


class TestThePage:
    def test_before_the_first_round(self, page_of):
        assert "No round of the audit across tenants yet" in page_of().content.decode()

    def test_while_answers_come_in(self, page_of, private):
        services.open_round(private=private, opened_at=NOON)
        text = page_of().content.decode()
        assert "Round 1 waits for the tenants" in text
        assert "<dd >has not answered</dd>" in text
        answer("acme", 1)
        assert "<dd >answered</dd>" in page_of().content.decode()

    def test_a_first_round_is_unknown_and_says_why(self, page_of, begun):
        text = page_of().content.decode()
        assert "It is not known whether every quantity is conserved" in text
        assert "this round is a beginning" in text
        assert 'data-level="unknown"' in text

    def test_a_round_that_holds(self, page_of, begun, private):
        go_on(private)
        text = page_of().content.decode()
        assert "Every audited quantity is conserved across 2 tenants" in text
        assert "Bounded" in text
        assert 'data-level="unknown"' not in text.split('id="rounds"')[0].split('id="round"')[1]

    def test_a_round_that_is_violated(self, page_of, begun, private):
        go_on(private, information=4000.0)
        text = page_of().content.decode()
        assert "A quantity is not conserved across tenants" in text
        assert "−96" in text
        assert "Violated" in text

    def test_silence_is_told(self, page_of, begun, private):
        services.open_round(private=private, opened_at=NOON + HOUR)
        services.publish_round(number=2, private=private, published_at=NOON + HOUR)
        text = page_of().content.decode()
        assert "did not answer" in text
        assert "It is not known" in text

    def test_an_earlier_round_by_its_address(self, page_of, begun, private):
        go_on(private)
        assert "this round is a beginning" in page_of("/totals/?round=1").content.decode()

    def test_the_page_names_this_tenants_pseudonym_and_nobody_else(self, page_of, begun):
        text = page_of().content.decode()
        with public_context():
            mine = Participant.objects.get(tenant__slug="acme")
            other = Participant.objects.get(tenant__slug="globex")
        assert str(mine.pk) in text
        assert str(other.pk) not in text
        assert "globex" not in text.lower()

    @pytest.mark.parametrize("number", ["99", "0", "999999999"])
    @pytest.mark.parametrize("address", ["/totals/", "/totals/round.json"])
    def test_there_is_no_such_round(self, page_of, begun, address, number):
        assert page_of(f"{address}?round={number}").status_code == 404

    @pytest.mark.parametrize("number", ["", "-1", "1.0", "x", "1e3", "٣", "1" * 40, "1;DROP"])
    @pytest.mark.parametrize("address", ["/totals/", "/totals/round.json"])
    def test_what_is_no_number_is_bad_input(self, page_of, begun, address, number):
        assert page_of(address, query_params={"round": number}).status_code == 422


class TestDownloads:
    def test_a_stranger_verifies_what_was_downloaded(self, page_of, begun, private, tmp_path):
        go_on(private)
        for name in ("round-1.json", "round-2.json"):
            number = name[6]
            (tmp_path / name).write_bytes(page_of(f"/totals/round.json?round={number}").content)
        (tmp_path / "verify_totals.py").write_bytes(page_of("/totals/verify_totals.py").content)
        command = [sys.executable, "-I", "-S", "verify_totals.py", "round-2.json"]
        done = subprocess.run(
            [*command, "--previous", "round-1.json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "It goes on where round 1 ended" in done.stdout

    def test_a_round_is_sent_as_a_file(self, page_of, begun):
        sent = page_of("/totals/round.json?round=1")
        assert sent["Content-Disposition"] == 'attachment; filename="round-1.json"'
        assert sent.content.decode() == begun.document

    def test_openings_are_for_the_auditors_and_the_log_says_who_looked(
        self, client_for, acme, auditor, owner, begun
    ):
        with tenant_context("acme"):
            mine = str(Participant.objects.get().pk)
        drawn = [quantity for name, quantity in list_drawn(begun) if name == mine]
        sent = client_for(auditor, acme).get("/totals/openings.json?round=1")
        if drawn:
            totals = json.loads(sent.content)["totals"]
            assert sorted(each["quantity"] for each in totals) == sorted(drawn)
        else:
            assert sent.status_code == 404
        with tenant_context("acme"):
            read_ = Entry.objects.filter(action="totals.openings_read").count()
        assert read_ == bool(drawn)
        assert client_for(owner, acme).get("/totals/openings.json?round=1").status_code == 403

    @pytest.mark.parametrize("address", ADDRESSES)
    @pytest.mark.parametrize("role", ["operator", "viewer"])
    def test_others_are_refused(self, request, client_for, acme, begun, address, role):
        client = client_for(request.getfixturevalue(role), acme)
        assert client.get(address).status_code == 403
