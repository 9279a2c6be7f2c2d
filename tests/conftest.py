"""Fixtures: the named cast (two tenants; owner, operator, auditor, viewer, outsider) and clients
signed in as them.
"""

from __future__ import annotations

import os
import time
import uuid

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connections
from django.test import Client, TransactionTestCase
from psycopg import sql

from tenants.context import public_context, tenant_context
from tenants.models import Tenant, User
from tenants.sessions import store
from tests.cast import NOON, PEOPLE, host

__all__ = ["NOON"]


# The cast, as COPY writes it: a row of text for each person, tenant, domain and membership.
_CAST = {
    "tenants_tenant": "",
    "tenants_domain": "",
    "tenants_user": "",
    "tenants_membership": "",
    "account_emailaddress": "",
}


@pytest.fixture(scope="session")
def django_db_setup():
    """The plugin has cloned this worker's database: keep what is in it of the cast."""
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as owner:
        for table in _CAST:
            with owner.cursor().copy(f"COPY {table} TO STDOUT") as rows:
                _CAST[table] = b"".join(rows).decode()


@pytest.fixture(autouse=True)
def _clean_tables_after_a_test_that_commits(request):
    """Empty the tenants' tables after a transactional test: Django's flush would empty the cast,
    too.
    """
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker and marker.kwargs.get("transaction"):
        for connection in connections.all(initialized_only=True):
            connection.close()
        clean_database()


def clean_database() -> None:
    """Empty the tables, drop tenants that a test made, put the cast back, and flush this worker's
    Redis.
    """
    from tenants.redis import get_redis

    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as owner:
        # The log only grows: nobody but the cluster's superuser can empty it, and he must say so.
        owner.execute("SET session_replication_role = replica")
        owner.execute("SET event_triggers = off")
        extra = owner.execute(
            "SELECT schema_name FROM tenants_tenant WHERE slug NOT IN ('acme', 'globex')"
        ).fetchall()
        for (schema,) in extra:
            owner.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
        # Only those with a page: a TRUNCATE of each table and index takes longer than many a test.
        tables = owner.execute(
            "SELECT DISTINCT coalesce(pg_partition_root(oid), oid)::regclass::text FROM pg_class"
            " WHERE relkind = 'r' AND (relnamespace::regnamespace::text IN ('acme', 'globex')"
            " OR relnamespace = 'public'::regnamespace AND NOT relname = ANY(%s)"
            " AND relname <> 'django_content_type')"
            " AND relname <> 'django_migrations' AND pg_relation_size(oid) > 0",
            [list(_CAST)],
        ).fetchall()
        if tables:
            names = ", ".join(name for (name,) in tables)
            owner.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        for table, rows in _CAST.items():
            owner.execute(f"DELETE FROM {table}")
            with owner.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                copy.write(rows)
    get_redis().flushdb()


# Django's flush would empty the cast's tables as well; clean_database does what it is for.
TransactionTestCase._fixture_teardown = lambda self: None


@pytest.fixture(autouse=True)
def _no_keys_in_memory():
    """Start each test without data keys: those of the last one are in no table any more."""
    from audit.encryption.cache import CACHE

    CACHE.clear()


@pytest.fixture(autouse=True)
def _alone_with_the_sequencer(request, monkeypatch):
    """Let a round wait for what other workers' tests have open: all share one server, and a writing
    transaction holds back every log of it.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    from audit.sequencer import Round, Sequencer

    place = Sequencer.round

    def patient(sequencer: Sequencer) -> Round:
        with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as observer:
            now = observer.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]
            end = time.monotonic() + 90
            while time.monotonic() < end:
                older = observer.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE backend_xid::text::bigint < %s"
                    " AND datname NOT IN (%s, current_database())",
                    [now % 2**32, connections["default"].settings_dict["NAME"]],
                ).fetchone()[0]
                if not older:
                    break
                time.sleep(0.05)
        return place(sequencer)

    monkeypatch.setattr(Sequencer, "round", patient)


@pytest.fixture(autouse=True)
def _clean_redis():
    """Start each test with an empty Redis, as it starts with empty tables."""
    from tenants.redis import get_redis

    get_redis().flushdb()


def _tenant(slug: str) -> Tenant:
    with public_context():
        return Tenant.objects.get(slug=slug)


@pytest.fixture
def acme(db) -> Tenant:
    return _tenant("acme")


@pytest.fixture
def globex(db) -> Tenant:
    return _tenant("globex")


@pytest.fixture
def in_acme(acme):
    """Work inside acme for the whole test."""
    with tenant_context("acme"):
        yield acme


def _person(role: str) -> User:
    email, places = PEOPLE[role]
    with tenant_context(places[0][0]):
        return User.objects.get(email=email)


@pytest.fixture
def owner(db) -> User:
    return _person("owner")


@pytest.fixture
def operator(db) -> User:
    return _person("operator")


@pytest.fixture
def auditor(db) -> User:
    return _person("auditor")


@pytest.fixture
def viewer(db) -> User:
    return _person("viewer")


@pytest.fixture
def outsider(db) -> User:
    return _person("outsider")


@pytest.fixture
def consultant(db) -> User:
    return _person("consultant")


def session_for(user: User, slug: str, *, proved_s_ago: float | None = 0) -> str:
    """Return the key of a new session of this person on this tenant's host.

    Both factors were shown so many seconds ago, or with ``None`` the password alone.
    """
    now_s = time.time()
    with tenant_context(slug):
        session = store.SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "tenants.accounts.MemberBackend"
        session[store.SIGNED_IN_AT] = session[store.SEEN_AT] = now_s
        if proved_s_ago is not None:
            # As a sign-in with both factors leaves it.
            proved = {"at": now_s - proved_s_ago}
            session["account_authentication_methods_user"] = str(user.pk)
            session["account_authentication_methods"] = [
                {"method": "password", **proved},
                {"method": "mfa", "type": "totp", "id": 1, **proved},
            ]
        session[store.PUBLIC_ID] = str(uuid.uuid4())
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        return session.session_key


@pytest.fixture
def client_for():
    """Return a function ``(user, tenant) -> Client`` signed in on the tenant's host; ``None`` is a
    stranger.
    """

    def make(
        user: User | None, tenant: Tenant | str, *, proved_s_ago: float | None = 0, **kwargs
    ) -> Client:
        slug = tenant if isinstance(tenant, str) else tenant.slug
        client = Client(headers={"host": host(slug)}, **kwargs)
        if user is not None:
            client.cookies[settings.SESSION_COOKIE_NAME] = session_for(
                user, slug, proved_s_ago=proved_s_ago
            )
        return client

    return make
