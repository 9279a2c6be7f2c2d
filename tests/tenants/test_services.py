"""Provisioning: whole or not at all."""

from __future__ import annotations

import os
import re

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections

from tenants import selectors, services
from tenants.context import public_context, tenant_context
from tenants.errors import Invalid
from tenants.models import Domain, Membership, Tenant, User
from tests.conftest import NOON

both = pytest.mark.django_db(databases=["default", "owner"], transaction=True)


def provision(slug="initech", host="initech.localhost", name="Initech"):
    return services.provision_tenant(
        slug=slug, name=name, host=host, provisioned_by="tests", provisioned_at=NOON
    )


def schemas() -> set[str]:
    with public_context(), connections["owner"].cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'")
        return {row[0] for row in cursor.fetchall()}


@both
def test_a_provisioned_tenant_answers_to_its_host_and_has_tables_behind_its_own_role():
    provision()

    tenant = selectors.find_tenant_by_host("initech.localhost")
    assert tenant is not None
    assert tenant.name == "Initech"
    with tenant_context("initech"), connection.cursor() as cursor:
        cursor.execute("SELECT current_user, (SELECT count(*) FROM person_session)")
        assert cursor.fetchone() == ("t_initech", 0)


@both
@pytest.mark.parametrize("is_copied", [True, False])
def test_a_copied_tenant_has_what_a_migrated_one_has(is_copied, settings):
    if not is_copied:
        settings.AII_PG_DUMP = None
    provision()

    assert describe("initech") == describe("aii_template")


def describe(schema: str) -> list[tuple[str, str]]:
    """Return every column, index, constraint and applied migration of a schema."""
    statements = [
        "SELECT table_name || column_name, data_type || coalesce(column_default, '') || is_nullable"
        " || is_identity FROM information_schema.columns WHERE table_schema = '{0}'",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = '{0}'",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = '{0}'::regnamespace",
        "SELECT app, name FROM {0}.django_migrations",
    ]
    # As the superuser: the owner does not even see the columns of the log's partitions.
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"]) as cursor:
        found = cursor.execute(" UNION ALL ".join(statements).format(schema)).fetchall()
        # PostgreSQL prints a condition that it read back with its casts in other places.
        casts = re.compile(r"::character varying|::text|\[\]|[()]")
        rows = [tuple(casts.sub("", cell.replace(schema, "x")) for cell in row) for row in found]
    assert len(rows) > 20
    return sorted(rows)


@both
@pytest.mark.parametrize(
    "slug",
    ["", "a", "Acme", "1st", "with-dash", "with space", "public", "pgbad", "x" * 41, "a'b", "a;b"],
)
def test_a_bad_slug_is_refused_and_leaves_no_trace(slug):
    before = schemas()
    with pytest.raises(Invalid):
        provision(slug=slug)
    assert schemas() == before
    with public_context():
        assert set(Tenant.objects.values_list("slug", flat=True)) == {"acme", "globex"}


@both
@pytest.mark.parametrize(
    "host", ["", "with space", "a_b.example", "-a.example", "x:80", "a..b", "ä.de"]
)
def test_a_bad_host_name_is_refused_and_leaves_no_trace(host):
    before = schemas()
    with pytest.raises(Invalid):
        provision(host=host)
    assert schemas() == before


@both
@pytest.mark.parametrize("taken", [{"slug": "acme"}, {"host": "acme.localhost"}])
def test_what_is_taken_is_refused_and_leaves_no_trace(taken):
    before = schemas()
    with pytest.raises(services.SlugTaken):
        provision(**taken)
    assert schemas() == before
    with public_context():
        assert Domain.objects.count() == 2


@both
def test_a_failure_after_the_schema_was_made_rolls_it_back(monkeypatch):
    def fail(schema):
        raise ZeroDivisionError

    monkeypatch.setattr(services, "apply_tenant_fence", fail)
    before = schemas()
    with pytest.raises(ZeroDivisionError):
        provision()
    assert schemas() == before
    assert selectors.find_tenant_by_host("initech.localhost") is None


@both
def test_a_process_without_the_owners_credentials_may_not_provision(monkeypatch):
    monkeypatch.delitem(connections.settings, "owner")
    with pytest.raises(services.NotAnOwnerProcess):
        provision()


@both
def test_the_application_cannot_make_a_schema_whatever_the_code_asks():
    with psycopg.connect(_application_dsn(), autocommit=True) as application:
        for statement in (
            "CREATE SCHEMA mine",
            "CREATE ROLE mine",
            "DROP SCHEMA acme CASCADE",
            "CREATE TABLE public.mine (id int)",
            "SET ROLE aii_owner",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                application.execute(statement)


def _application_dsn() -> str:
    database = settings.DATABASES["default"]
    return psycopg.conninfo.make_conninfo(
        host=database["HOST"],
        port=database["PORT"],
        user=database["USER"],
        password=database["PASSWORD"],
        dbname=connections["default"].settings_dict["NAME"],
    )


class TestAddMember:
    @pytest.mark.django_db(databases=["default", "owner"])
    def test_gives_a_known_person_another_role_and_keeps_the_password(self, acme, viewer):
        membership = services.add_member(
            tenant=acme,
            email=viewer.email.upper(),
            role=Membership.Role.AUDITOR,
            password="another one",
            added_by="tests",
            added_at=NOON,
        )
        assert membership.role == Membership.Role.AUDITOR
        assert membership.user_id == viewer.pk
        with public_context():
            user = User.objects.using("owner").get(pk=viewer.pk)
        assert not user.check_password("another one")

    @pytest.mark.django_db(databases=["default", "owner"])
    @pytest.mark.parametrize(
        ("email", "role"), [("nobody", "OWNER"), ("", "OWNER"), ("a@b.example", "KING")]
    )
    def test_refuses_bad_input_and_leaves_no_trace(self, acme, email, role):
        with public_context():
            before = User.objects.using("owner").count()
        with pytest.raises(Invalid):
            services.add_member(
                tenant=acme, email=email, role=role, added_by="tests", added_at=NOON
            )
        with public_context():
            assert User.objects.using("owner").count() == before
