"""The rounds by the clock, the tasks, the openings, and the command."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from conservation import paillier
from monitoring.models import Alert, Observation, OwnTotal
from monitoring.totals import rounds, services, tasks
from monitoring.totals.models import Opening, Publication, Round
from monitoring.totals.services.openings import list_drawn, show_openings
from tenants.context import public_context, tenant_context
from tests.cast import NOON
from tests.totals.conftest import HOUR, SECOND, answer, open_account, read, run_round

pytestmark = pytest.mark.django_db
BOTH = ("acme", "globex")


class TestKeeping:
    def test_a_first_round_is_opened_and_everybody_asked(self, private):
        asked = rounds.keep(NOON, 3600)
        assert asked == [("acme", "totals.post", 1), ("globex", "totals.post", 1)]

    def test_who_has_not_answered_is_asked_again(self, private):
        rounds.keep(NOON, 3600)
        answer("acme", 1)
        assert rounds.keep(NOON + SECOND, 3600) == [("globex", "totals.post", 1)]

    def test_a_complete_round_is_published_at_once(self, private):
        rounds.keep(NOON, 3600)
        for schema in BOTH:
            answer(schema, 1)
        asked = rounds.keep(NOON + SECOND, 3600)
        assert {task for _, task, _ in asked} == {"totals.check_openings"}
        with public_context():
            assert Publication.objects.get().published_at == NOON + SECOND
        for schema in BOTH:
            with tenant_context(schema):
                services.check_openings(number=1, opened_at=NOON)
        assert rounds.keep(NOON + 2 * SECOND, 3600) == []

    def test_a_late_round_is_published_without_the_late_as_unknown(self, private):
        rounds.keep(NOON, 3600)
        answer("acme", 1)
        rounds.keep(NOON + timedelta(minutes=29), 3600)
        with public_context():
            assert not Publication.objects.exists()
        rounds.keep(NOON + timedelta(minutes=30), 3600)
        with public_context():
            assert Publication.objects.get().verdict == "UNKNOWN"

    def test_the_next_round_comes_when_it_is_due(self, private):
        run_round(private, NOON)
        rounds.keep(NOON + HOUR - SECOND, 3600)
        with public_context():
            assert Round.objects.count() == 1
        rounds.keep(NOON + HOUR, 3600)
        with public_context():
            assert Round.objects.count() == 2

    def test_nothing_is_opened_where_rounds_are_off(self, private):
        assert rounds.keep(NOON, 0) == []
        with public_context():
            assert not Round.objects.exists()

    def test_a_violation_alerts_every_tenant_once(self, private):
        with tenant_context("acme"):
            account = open_account()
            read(account)
        run_round(private, NOON)
        with tenant_context("acme"):
            read(account, at=NOON + HOUR, information=1.0)
        services.open_round(private=private, opened_at=NOON + HOUR)
        for schema in BOTH:
            answer(schema, 2)
        rounds.keep(NOON + HOUR, 3600)
        rounds.keep(NOON + HOUR + SECOND, 3600)
        for schema in BOTH:
            with tenant_context(schema):
                assert Alert.objects.get().dedupe_key == "totals:2"

    @pytest.mark.django_db(transaction=True)
    def test_the_tasks_do_their_part(self, private):
        rounds.keep(NOON, 3600)
        for schema in BOTH:
            tasks.post(tenant_schema=schema, number=1)
        rounds.keep(NOON + SECOND, 3600)
        for schema in BOTH:
            tasks.check_openings(tenant_schema=schema, number=1)
        with public_context():
            assert Opening.objects.count() >= 2

    @pytest.mark.django_db(transaction=True)
    def test_a_round_that_is_closed_is_a_refusal_and_no_crash(self, private):
        run_round(private, NOON, schemas=[])
        answered = tasks.post(tenant_schema="acme", number=1)
        assert answered["refused"] == "round_closed"


class TestOpenings:
    @pytest.fixture
    def published(self, private):
        for schema in BOTH:
            with tenant_context(schema):
                read(open_account())
        return run_round(private, NOON)

    def drawn_of(self, schema, publication) -> set[str]:
        with tenant_context(schema):
            from monitoring.totals.services.postings import find_participant

            mine = str(find_participant().pk)
        return {quantity for name, quantity in list_drawn(publication) if name == mine}

    def one_who_is_drawn(self, publication) -> str:
        return next(schema for schema in BOTH if self.drawn_of(schema, publication))

    def test_the_draw_follows_from_the_document_alone(self, published):
        drawn = list_drawn(published)
        assert len(drawn) == 2
        assert drawn == list_drawn(published)
        seen = set()
        for digit in "0123456789abcdef":
            published.sha256 = digit * 64
            seen |= list_drawn(published)
        # Nobody is spared: over a few seeds all six postings come up.
        assert len(seen) == 6

    def test_drawn_postings_agree_with_the_readings(self, published):
        for schema in BOTH:
            with tenant_context(schema):
                services.check_openings(number=1, opened_at=NOON)
                assert services.check_openings(number=1, opened_at=NOON) == []
                assert {o.posting.quantity for o in Opening.objects.all()} == self.drawn_of(
                    schema, published
                )
                assert all(o.agrees for o in Opening.objects.all())

    @pytest.mark.parametrize("harm", ["reading", "number", "nothing kept"])
    def test_a_posting_that_does_not_agree_is_said_so(self, published, harm):
        schema = self.one_who_is_drawn(published)
        with tenant_context(schema):
            if harm == "reading":
                Observation.objects.update(value=17.0)
            elif harm == "number":
                for own in OwnTotal.objects.all():
                    own.numbers["now"] = str(int(own.numbers["now"]) + 1)
                    own.save()
            else:
                OwnTotal.objects.all().delete()
            openings = services.check_openings(number=1, opened_at=NOON)
            assert openings
            assert not any(each.agrees for each in openings)
            assert all(each.why for each in openings)

    def test_an_auditor_is_shown_what_opens_the_ciphertext(self, published, private, auditor):
        schema = self.one_who_is_drawn(published)
        with tenant_context(schema):
            opened = show_openings(acting_user=auditor, number=1, shown_at=NOON)
            from audit.models import Entry

            assert Entry.objects.filter(action="totals.openings_read").count() == 1
        key = private.public
        for each in opened:
            ciphertext = paillier.read_ciphertext(key, each.ciphertext)
            paillier.verify_value(key, ciphertext, each.value, int(each.randomness, 16))

    def test_before_publication_there_is_nothing_to_open(self, private, auditor):
        services.open_round(private=private, opened_at=NOON)
        answer("acme", 1)
        with tenant_context("acme"), pytest.raises(services.RoundUnknown):
            show_openings(acting_user=auditor, number=1, shown_at=NOON)


class TestTheCommand:
    def run(self, *arguments) -> tuple[int, str, str]:
        out, err = StringIO(), StringIO()
        try:
            call_command("global_audit", *arguments, stdout=out, stderr=err)
        except SystemExit as stop:
            return stop.code, out.getvalue(), err.getvalue()
        return 0, out.getvalue(), err.getvalue()

    def test_the_first_round_is_unknown_and_the_second_holds(self, private, tmp_path):
        code, text, _ = self.run("--json")
        assert code == 3
        assert json.loads(text)["verdict"] == "UNKNOWN"
        path = tmp_path / "round.json"
        code, text, _ = self.run("--json", "--output", str(path))
        assert code == 0
        answer = json.loads(text)
        assert (answer["round"], answer["verdict"], answer["participants"]) == (2, "BOUNDED", 2)
        with public_context():
            assert path.read_text() == Publication.objects.get(pk=2).document

    def test_a_violation_exits_3(self, private):
        with tenant_context("globex"):
            account = open_account()
            with connection.cursor() as cursor:
                cursor.execute("UPDATE monitoring_account SET opened_at = now() - interval '1 h'")
            from django.utils import timezone

            read(account, at=timezone.now())
        self.run()
        with tenant_context("globex"):
            read(account, at=timezone.now(), information=1.0)
        code, text, _ = self.run()
        assert code == 3
        assert "information: VIOLATED" in text

    def test_it_finishes_a_round_that_was_left_open(self, private):
        services.open_round(private=private, opened_at=NOON)
        answer("acme", 1)
        _, text, _ = self.run("--json")
        assert json.loads(text)["round"] == 1
        assert json.loads(text)["laws"][0]["silent"] == 0

    def test_bad_input_exits_2(self, private, settings, tmp_path):
        settings.AII_TOTALS_KEY_FILE = str(tmp_path / "missing.json")
        code, text, said = self.run("--json")
        assert (code, text) == (2, "")
        assert "cannot be read" in said
        with public_context():
            assert not Round.objects.exists()

    def test_it_makes_a_key_and_replaces_none(self, db, tmp_path):
        path = tmp_path / "key.json"
        assert self.run("--make-key", str(path))[0] == 0
        before = path.read_text()
        code, _, said = self.run("--make-key", str(path))
        assert code == 2
        assert "never replaced" in said
        assert path.read_text() == before
