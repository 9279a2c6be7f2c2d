"""What a tenant's role can do to the shared tables, tried as that role with raw SQL."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError

from monitoring.models import OwnTotal
from monitoring.totals.models import Opening, Participant, Posting, Publication, Round
from tenants.context import public_context, tenant_context
from tests.cast import NOON, TENANTS
from tests.totals.conftest import open_account, read, run_round

pytestmark = pytest.mark.django_db
TABLES = ("participant", "round", "posting", "publication", "opening")


@pytest.fixture
def published(private):
    for schema in ("acme", "globex"):
        with tenant_context(schema):
            read(open_account())
    return run_round(private, NOON)


def count() -> dict[str, int]:
    with public_context():
        return {m.__name__: m.objects.count() for m in (Participant, Round, Posting, Publication)}


def run_as(schema: str, statement: str, values=()) -> None:
    with tenant_context(schema), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)


def run_as_the_platform(statement: str) -> None:
    with public_context(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def save_as(schema: str, row) -> None:
    with tenant_context(schema), transaction.atomic():
        row.save(force_insert=True)


class TestReading:
    def test_a_tenant_sees_its_own_rows_and_what_is_published(self, published):
        with tenant_context("acme"):
            assert Participant.objects.get().tenant.slug == "acme"
            assert Posting.objects.count() == 3
            assert {each.participant_id for each in Posting.objects.all()} == {
                Participant.objects.get().pk
            }
            assert Round.objects.count() == Publication.objects.count() == 1

    def test_the_published_document_names_nobody(self, published):
        with public_context():
            pseudonyms = {str(each.pk) for each in Participant.objects.all()}
        document = json.loads(published.document)
        assert set(document["participants"]) == pseudonyms
        for slug, name in TENANTS.items():
            assert slug not in published.document
            assert name not in published.document

    def test_no_plain_number_is_in_a_shared_table(self, published):
        with tenant_context("acme"):
            own = {row.quantity: row for row in OwnTotal.objects.all()}
        momentum = int(own["momentum"].numbers["now"])
        assert momentum == int(1.25e20) << 200
        secrets = [own["momentum"].numbers["now"], format(momentum, "x")]
        secrets += [own["momentum"].exponents["now"]]
        for table in TABLES:
            with public_context(), connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT coalesce(string_agg(t::text, ' '), '') FROM totals_{table} t"
                )
                (text,) = cursor.fetchone()
            for secret in secrets:
                assert secret not in text

    def test_a_tenants_plain_totals_are_its_own(self, published):
        for statement in (
            "SELECT * FROM globex.monitoring_owntotal",
            "DELETE FROM globex.monitoring_owntotal",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"):
                run_as("acme", statement)


class TestWriting:
    @pytest.mark.parametrize("table", TABLES)
    @pytest.mark.parametrize("statement", ["DELETE FROM", "TRUNCATE", "UPDATE"])
    def test_nobody_changes_or_removes_a_row(self, published, table, statement):
        before = count()
        sql = f"{statement} public.totals_{table}"
        if statement == "UPDATE":
            column = {"participant": "joined_at", "round": "answer_by"}.get(table, "")
            column = column or {"posting": "posted_at", "opening": "opened_at"}.get(
                table, "published_at"
            )
            sql += f" SET {column} = now()"
        with pytest.raises(ProgrammingError, match="permission denied"):
            run_as("acme", sql)
        with pytest.raises(ProgrammingError, match="permission denied"):
            run_as_the_platform(sql)
        assert count() == before

    def test_a_tenant_posts_for_nobody_else(self, published):
        with public_context():
            other = Participant.objects.get(tenant__slug="globex")
        before = count()
        forged = Posting(round_id=1, participant=other, quantity="mass", now="1", posted_at=NOON)
        with pytest.raises(ProgrammingError, match="row-level security"):
            save_as("acme", forged)
        assert count() == before

    def test_a_tenant_opens_for_nobody_else(self, published):
        with public_context():
            other = Posting.objects.filter(participant__tenant__slug="globex").first()
        forged = Opening(
            posting=other, participant_id=other.participant_id, agrees=True, opened_at=NOON
        )
        with pytest.raises(ProgrammingError, match="row-level security"):
            save_as("acme", forged)

    @pytest.mark.parametrize(
        "statement",
        [
            "INSERT INTO public.totals_round VALUES (9, now(), now(), '{}')",
            "INSERT INTO public.totals_publication VALUES (1, '{}', '', 'CONSERVED', now())",
            "INSERT INTO public.totals_participant SELECT gen_random_uuid(), now(), id"
            " FROM public.tenants_tenant",
        ],
    )
    def test_a_tenant_opens_no_round_and_publishes_none(self, published, statement):
        before = count()
        with pytest.raises(ProgrammingError, match="permission denied"):
            run_as("acme", statement)
        assert count() == before
