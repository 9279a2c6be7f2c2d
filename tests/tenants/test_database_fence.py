"""The fence inside PostgreSQL, attacked with SQL as a tenant's role, behind the backend's back."""

from __future__ import annotations

import os

import psycopg
import pytest
from psycopg import errors

from tests.cast import PEOPLE

pytestmark = pytest.mark.django_db(transaction=True)

# What a tenant's role may read of the shared schema without a row policy, and why.
SAME_FOR_ALL: dict[str, str] = {}


@pytest.fixture
def as_acme():
    """A session of the application that works for acme, without the backend."""
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        session.execute("SET ROLE t_acme")
        session.execute("SET search_path TO acme, public")
        yield session


@pytest.fixture
def as_owner():
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as session:
        yield session


REFUSED = [
    "SELECT * FROM globex.simulation_run",
    "SELECT * FROM aii_template.simulation_run",
    "SELECT 'globex.simulation_run'::regclass",
    "TABLE globex.simulation_run",
    "INSERT INTO globex.simulation_run SELECT * FROM acme.simulation_run",
    "CREATE VIEW acme.peep AS SELECT 1",
    "CREATE TABLE acme.mine (id int)",
    "CREATE TEMP TABLE mine (id int)",
    "CREATE FUNCTION acme.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION dblink",
    "CREATE EXTENSION pg_stat_statements",
    "CREATE ROLE mine",
    "GRANT t_globex TO t_acme",
    "ALTER ROLE t_acme SUPERUSER",
    "ALTER TABLE acme.simulation_run DISABLE TRIGGER ALL",
    "TRUNCATE acme.simulation_run",
    "BEGIN; LOCK TABLE globex.simulation_run",
    "COPY globex.simulation_run TO STDOUT",
    "COPY (SELECT 1) TO '/tmp/aii-peep'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "SELECT * FROM pg_statistic",
    "SELECT query_to_xml('SELECT * FROM globex.simulation_run', true, true, '')",
    "SELECT table_to_xml('globex.simulation_run', true, true, '')",
    "SELECT nextval('globex.django_migrations_id_seq')",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SET SESSION AUTHORIZATION aii_owner",
    "SET ROLE aii_owner",
    "DELETE FROM public.tenants_user",
    "UPDATE public.tenants_user SET email = 'x@y.example'",
    "UPDATE public.tenants_user SET is_active = true",
    "INSERT INTO public.tenants_membership (role) VALUES ('OWNER')",
    "UPDATE public.tenants_domain SET tenant_id = 1",
    "DROP POLICY own_tenant ON public.tenants_user",
    "ALTER TABLE public.tenants_user DISABLE ROW LEVEL SECURITY",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_a_tenants_role_is_refused(as_acme, statement):
    # A server without XML refuses before it asks who is there.
    with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
        as_acme.execute(statement)


def test_without_row_security_there_are_no_rows_at_all(as_acme):
    as_acme.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege):
        as_acme.execute("SELECT email FROM tenants_user")


def test_shared_tables_give_away_no_rows_by_any_statement(as_acme):
    foreign = PEOPLE["outsider"][0]
    with as_acme.cursor().copy("COPY (SELECT * FROM tenants_user) TO STDOUT") as rows:
        text = b"".join(bytes(part) for part in rows).decode()
    assert PEOPLE["owner"][0] in text
    assert foreign not in text
    # A condition that complains about each row that it is shown is shown the own rows alone.
    leak = "SELECT * FROM tenants_user WHERE 1 / (CASE WHEN email = %s THEN 0 ELSE 1 END) = 1"
    assert as_acme.execute(leak, [foreign]).rowcount > 0
    changed = as_acme.execute(
        "UPDATE tenants_user SET last_login = now() WHERE email = %s", [foreign]
    )
    assert changed.rowcount == 0


def test_statistics_and_sessions_of_others_are_not_readable(as_acme, as_owner):
    as_owner.execute("ANALYZE public.tenants_user")
    found = as_acme.execute(
        "SELECT count(*) FROM pg_stats WHERE schemaname = 'globex' OR tablename = 'tenants_user'"
    )
    assert found.fetchone() == (0,)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as other:
        other.execute("SET ROLE t_globex")
        other.execute("SELECT 'the secret of globex'")
        seen = as_acme.execute("SELECT query FROM pg_stat_activity").fetchall()
    assert not any("the secret of globex" in (query or "") for (query,) in seen)


def test_the_application_itself_finds_tenants_and_reads_nothing_else():
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
        assert session.execute("SELECT count(*) FROM public.tenants_tenant").fetchone()[0] >= 2
        for statement in (
            "TABLE public.tenants_user",
            "TABLE acme.simulation_run",
            *REFUSED[13:14],
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                session.execute(statement)


# --- the catalogue: what a later migration might open without anybody noticing -------------------


def readable(session, role: str) -> set[tuple[str, str, bool]]:
    rows = session.execute(
        "SELECT n.nspname, c.relname, c.relrowsecurity FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_'"
        " AND n.nspname <> 'information_schema' AND has_any_column_privilege(%s, c.oid, 'SELECT')"
        " AND has_schema_privilege(%s, n.oid, 'USAGE')",
        [role, role],
    )
    return set(rows.fetchall())


def test_a_tenants_role_reads_its_schema_and_of_the_shared_one_only_tables_with_row_policies(
    as_owner,
):
    found = readable(as_owner, "t_acme")
    assert {schema for schema, _, _ in found} == {"acme", "public"}
    shared = {(table, has_policy) for schema, table, has_policy in found if schema == "public"}
    assert {"tenants_user", "tenants_membership"} <= {table for table, _ in shared}
    assert {table for table, has_policy in shared if not has_policy} == set(SAME_FOR_ALL)


def test_every_row_policy_for_tenants_names_the_tenant(as_owner):
    rows = as_owner.execute(
        "SELECT tablename, policyname, qual, with_check FROM pg_policies"
        " WHERE schemaname = 'public' AND 'aii_tenant' = ANY(roles)"
    ).fetchall()
    assert rows
    for table, name, qual, check in rows:
        assert "CURRENT_USER" in qual.upper(), (table, name)
        assert check is None or "CURRENT_USER" in check.upper(), (table, name)


def test_nothing_in_a_tenants_reach_runs_or_reads_as_somebody_else(as_owner):
    functions = as_owner.execute(
        "SELECT n.nspname || '.' || p.proname, p.proconfig FROM pg_proc p"
        " JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    ).fetchall()
    for name, config in functions:
        # A function that runs as its owner must not find tables by its caller's search path.
        assert any(setting.startswith("search_path=") for setting in config or []), name
    views = as_owner.execute(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('v', 'm') AND n.nspname !~ '^pg_'"
        " AND n.nspname <> 'information_schema'"
        " AND NOT coalesce('security_invoker=true' = ANY(c.reloptions), false)"
    ).fetchall()
    assert views == []


def test_tenants_roles_are_no_members_of_each_other_and_may_not_sign_in(as_owner):
    rows = as_owner.execute(
        "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb"
        " FROM pg_roles WHERE rolname LIKE 't\\_%' OR rolname IN ('aii_tenant', 'aii_app')"
    ).fetchall()
    for name, can_sign_in, *powers in rows:
        assert not any(powers), name
        assert can_sign_in == (name == "aii_app"), name
    for one, other in (("t_acme", "t_globex"), ("t_acme", "aii_app"), ("t_acme", "aii_owner")):
        asked = as_owner.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", [one, other])
        assert asked.fetchone() == (False,), (one, other)
    # The application may become each tenant, and inherits none of them.
    asked = as_owner.execute("SELECT pg_has_role('aii_app', 't_acme', 'USAGE')")
    assert asked.fetchone() == (False,)
