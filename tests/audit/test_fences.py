"""PostgreSQL itself refuses to change the past: whoever asks, and however."""

from __future__ import annotations

import os

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction
from psycopg import sql

from tenants.context import public_context, tenant_context

PAST = (
    "INSERT INTO audit_entry (id, at, kind, action, who_kind, who_id, subject_type, subject_id,"
    " actor, details, actor_digest, details_digest) VALUES (gen_random_uuid(), now(), 'entry',"
    " 'test.done', 'process', 'tests', 'test', '1', '', '', sha256(''), sha256(''))"
)
CHANGES = [
    "UPDATE {}.audit_entry SET action = 'other.done'",
    "DELETE FROM {}.audit_entry",
    "TRUNCATE {}.audit_entry",
    "UPDATE {}.audit_leaf SET number = 2",
    "DELETE FROM {}.audit_tile",
    "TRUNCATE {}.audit_head",
]
STRUCTURE = [
    "ALTER TABLE {}.audit_entry DISABLE TRIGGER ALL",
    "ALTER TABLE {}.audit_entry DETACH PARTITION {}.{month}",
    "ALTER TABLE {}.audit_leaf ADD COLUMN more text",
    "DROP TRIGGER audit_refuse ON {}.audit_leaf",
    "DROP TABLE {}.{month}",
    "DROP TABLE {}.audit_head",
    "DROP FUNCTION {}.audit_refuse() CASCADE",
    "CREATE OR REPLACE FUNCTION {}.audit_refuse() RETURNS trigger LANGUAGE plpgsql"
    " AS 'BEGIN RETURN NULL; END'",
    "CREATE RULE silence AS ON INSERT TO {}.audit_leaf DO INSTEAD NOTHING",
    "CREATE TRIGGER more BEFORE INSERT ON {}.audit_leaf FOR EACH ROW EXECUTE FUNCTION"
    " {}.audit_refuse()",
    "ALTER SCHEMA {} RENAME TO elsewhere",
    "DROP SCHEMA {} CASCADE",
]


@pytest.fixture
def superuser():
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as connection:
        yield connection


def month(connection: psycopg.Connection) -> str:
    return connection.execute(
        "SELECT 'audit_entry_' || to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')"
    ).fetchone()[0]


def fill(statement: str, connection: psycopg.Connection, schema: str = "acme") -> str:
    name = sql.Identifier(schema).as_string(connection)
    return statement.replace("{month}", month(connection)).replace("{}", name)


@pytest.mark.parametrize("statement", CHANGES)
def test_the_application_may_not_change_the_past(db, statement):
    with tenant_context("acme"):
        with connection.cursor() as cursor:
            cursor.execute(PAST)
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(fill(statement, connection.connection))


@pytest.mark.parametrize("column", ["number", "xact", "inserted_at"])
def test_the_application_may_not_choose_place_or_time_of_an_entry(in_acme, column):
    statement = PAST.replace("(id,", f"({column}, id,").replace("VALUES (", "VALUES (DEFAULT, ")
    with (
        pytest.raises(DatabaseError, match="permission denied"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_no_tenant_reads_or_writes_anothers_log_or_the_platforms(in_acme):
    for statement in (
        "SELECT 1 FROM globex.audit_entry",
        "SELECT 1 FROM public.audit_entry",
        "SELECT tenant FROM public.audit_global_leaf",
        PAST.replace("INTO audit_entry", "INTO globex.audit_entry"),
        PAST.replace("INTO audit_entry", "INTO public.audit_entry"),
    ):
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)


@pytest.mark.parametrize("schema", ["acme", "public"])
@pytest.mark.parametrize("statement", [*CHANGES, *STRUCTURE[:5]])
def test_the_owner_of_the_log_may_not_change_it(db, superuser, statement, schema):
    """Not even as aii_audit, which the migrating role may become."""
    with superuser.transaction(force_rollback=True):
        superuser.execute("SET LOCAL ROLE aii_audit")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"):
            superuser.execute(fill(statement, superuser, schema))


@pytest.mark.parametrize("statement", [*CHANGES, *STRUCTURE])
def test_a_superuser_must_say_that_he_means_it(db, superuser, statement):
    with (
        superuser.transaction(force_rollback=True),
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"),
    ):
        superuser.execute(fill(statement, superuser))


def test_every_partition_refuses_by_itself(superuser):
    with superuser.transaction(force_rollback=True):
        assert superuser.execute("SELECT acme.audit_make_partitions(30)").fetchone()[0] > 20
        parts = superuser.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'acme.audit_entry'::regclass"
        ).fetchall()
        assert len(parts) > 30
        for (part,) in parts:
            for statement in (f"DELETE FROM {part}", f"TRUNCATE {part}", f"DROP TABLE {part}"):
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"),
                    superuser.transaction(),
                ):
                    superuser.execute(statement)


def test_a_copied_tenant_has_every_fence_that_a_migrated_one_has(superuser):
    """Provisioning replays a dump (tenants.cloning), which knows neither owners nor rights."""
    found = superuser.execute(
        "SELECT relname, relkind, pg_get_userbyid(relowner), relacl::text,"
        " (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid),"
        " EXISTS (SELECT FROM aii_fence.closed WHERE id = c.oid)"
        " FROM pg_class c WHERE relnamespace = 'acme'::regnamespace AND relname LIKE 'audit\\_%'"
        " AND relkind IN ('r', 'p') AND relname !~ '[0-9]$' ORDER BY 1"
    ).fetchall()
    assert [row[0] for row in found] == ["audit_entry", "audit_head", "audit_leaf", "audit_tile"]
    for _, _, owner, rights, triggers, closed in found:
        assert owner == "aii_audit" and triggers == 1 and closed
        assert "t_acme=" in rights and "t_acme=arwd" not in rights


def test_the_platforms_own_entries_come_from_its_processes(db):
    with public_context(), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PAST)
        cursor.execute("SELECT count(*) FROM audit_entry")
        assert cursor.fetchone()[0] == 1
