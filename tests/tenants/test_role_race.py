"""All databases of a server share its roles, and two of them may make the same one at a time."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection, connections
from psycopg import sql

from audit.roles import LOG_OWNER
from tenants import services
from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.roles import TENANT_GROUP, tenant_role
from tests.cast import NOON
from tests.conftest import clean_database

pytestmark = pytest.mark.django_db(databases=["default", "owner"], transaction=True)
WAIT_S_MAX = 60


@pytest.fixture
def slug() -> str:
    """A tenant whose role no earlier test has left on the server."""
    return f"race{secrets.token_hex(4)}"


@pytest.fixture
def rival(slug: str) -> Iterator[psycopg.Connection]:
    """The owner's session in another database of the server, in a transaction."""
    with psycopg.connect(os.environ["AII_TEST_OWNER_URL"]) as session:
        yield session
    connections.close_all()
    clean_database()
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as superuser:
        superuser.execute(sql.SQL("DROP OWNED BY {}").format(name(tenant_role(slug))))
        superuser.execute(sql.SQL("DROP ROLE {}").format(name(tenant_role(slug))))


def name(text: str) -> sql.Identifier:
    return sql.Identifier(text)


def provision(slug: str) -> Tenant:
    try:
        return services.provision_tenant(
            slug=slug, name=slug, host=f"{slug}.localhost", provisioned_by="t", provisioned_at=NOON
        )
    finally:
        connections.close_all()


def wait_until_held_up(provisioning: Future[Tenant], by: int) -> None:
    """Return once the other transaction is what the provisioning waits for."""
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as observer:
        end = time.monotonic() + WAIT_S_MAX
        while observer.execute(blocked, [by]).fetchone() == (0,):
            assert not provisioning.done(), provisioning.result()
            assert time.monotonic() < end, "the two never met"
            time.sleep(0.02)


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_a_role_that_another_database_makes_at_the_same_moment_is_taken(slug, rival, ends):
    role = tenant_role(slug)
    rival.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(name(role)))
    with ThreadPoolExecutor(1) as pool:
        provisioning = pool.submit(provision, slug)
        wait_until_held_up(provisioning, by=rival.info.backend_pid)
        getattr(rival, ends)()
        provisioning.result(WAIT_S_MAX)

    assert rival.execute(
        "SELECT pg_has_role(%s, %s, 'USAGE'), pg_has_role(%s, %s, 'MEMBER')",
        [role, TENANT_GROUP, role, LOG_OWNER],
    ).fetchone() == (True, False)
    with tenant_context(slug), connection.cursor() as cursor:
        cursor.execute("SELECT current_user, (SELECT count(*) FROM person_session)")
        assert cursor.fetchone() == (role, 0)
        cursor.execute("SELECT has_schema_privilege('acme', 'USAGE')")
        assert cursor.fetchone() == (False,)
