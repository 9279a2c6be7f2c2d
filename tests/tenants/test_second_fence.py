"""Attempts to get past the tenant's fences inside a process: connections, threads, async, guards.

What broke here once has been mended and stays so.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from channels.testing import HttpCommunicator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.cache import cache
from django.db import DatabaseError, connection, connections, transaction
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from psycopg import sql

from tenants.cache import tenant_cache_key
from tenants.context import NoTenantChosen, public_context, tenant_context
from tenants.middleware import TenantMiddleware
from tenants.models import Tenant
from tenants.postgresql.base import DatabaseWrapper
from tenants.postgresql.guard import SwitchRefused, refuse_switch
from tenants.redis import tenant_key
from tests.cast import host

pytestmark = pytest.mark.django_db(transaction=True)

ACME, GLOBEX = ("t_acme", "acme"), ("t_globex", "globex")


def who(on=connection) -> tuple[str, str]:
    """Return the role and the schema that a statement runs with now."""
    with on.cursor() as cursor:
        cursor.execute("SELECT current_user, current_schema()")
        return cursor.fetchone()


# --- one connection, many tenants ----------------------------------------------------------------


def test_a_commit_that_was_a_rollback_does_not_bring_the_last_tenant_back():
    """COMMIT of a failed transaction rolls back in silence, and reverts the SET in it."""
    with tenant_context("acme"):
        assert who() == ACME
    with tenant_context("globex"):
        with transaction.atomic(), contextlib.suppress(DatabaseError), connection.cursor() as c:
            c.execute("SELECT 1 / 0")
        assert who() == GLOBEX


def test_a_cursor_made_for_one_tenant_works_for_the_tenant_at_hand():
    with tenant_context("acme"), connection.cursor() as cursor:
        with tenant_context("globex"):
            cursor.execute("SELECT current_user")
            assert cursor.fetchone() == ("t_globex",)
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("t_acme",)
    with tenant_context("acme"):
        cursor = connection.cursor()
    with pytest.raises(NoTenantChosen):
        cursor.execute("SELECT 1")
    cursor.close()


def test_a_server_side_cursor_reads_its_own_tenant():
    with tenant_context("acme"):
        rows = Tenant.objects.values_list("slug", flat=True).iterator(chunk_size=1)
        assert list(rows) == ["acme"]
    lazy = Tenant.objects.values_list("slug", flat=True)
    with tenant_context("globex"):
        assert list(lazy.iterator(chunk_size=1)) == ["globex"]
    with pytest.raises(NoTenantChosen):
        list(lazy.all())


ENDINGS = ["error", "swallowed", "savepoint", "rollback", "lost", "fine"]


def end(ending: str, on) -> None:
    """End a transaction in one of the ways in which transactions end."""
    with contextlib.suppress(ZeroDivisionError, DatabaseError), transaction.atomic(using=on.alias):
        who(on)
        if ending == "error":
            raise ZeroDivisionError
        if ending == "swallowed":
            with contextlib.suppress(DatabaseError):
                on.cursor().execute("SELECT 1 / 0")
        if ending == "savepoint":
            with contextlib.suppress(DatabaseError), transaction.atomic(using=on.alias):
                on.cursor().execute("SELECT 1 / 0")
        if ending == "rollback":
            transaction.set_rollback(True, using=on.alias)
        if ending == "lost":
            on.connection.close()
    if ending == "lost":
        on.close()


def test_no_ending_of_a_transaction_leaves_a_connection_with_another_tenant():
    draw = random.Random(4)
    for _ in range(300):
        schema = draw.choice(["acme", "globex"])
        with tenant_context(schema):
            end(draw.choice(ENDINGS), connection)
            assert who() == (f"t_{schema}", schema)
        with public_context():
            assert who()[1] == "public"


def test_pooled_connections_serve_whoever_asks_whatever_happened_before():
    """Eight threads, three connections, mixed tenants, and every third transaction fails."""
    given = connections["default"].settings_dict
    pooled = {**given, "CONN_MAX_AGE": 0, "OPTIONS": {**given["OPTIONS"]}}
    pooled["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 3, "timeout": 20}

    def work(seed: int) -> int:
        draw, wrong = random.Random(seed), 0
        for _ in range(25):
            # A connection object of this thread alone; the pool behind it is shared.
            own = connections["default"] = DatabaseWrapper(pooled, alias="default")
            schema = draw.choice(["acme", "globex"])
            with tenant_context(schema):
                wrong += who() != (f"t_{schema}", schema)
                end(draw.choice(["error", "swallowed", "fine"]), own)
                wrong += who() != (f"t_{schema}", schema)
            own.close()
        return wrong

    try:
        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(work, range(8))) == [0] * 8
    finally:
        DatabaseWrapper(pooled, alias="default").close_pool()


# --- statements that would switch unseen ---------------------------------------------------------

SWITCHES = [
    "SET ROLE t_globex",
    "set local role t_globex",
    "SET SESSION ROLE t_globex",
    'SET "role" = t_globex',
    "SET/**/ROLE t_globex",
    "SET -- why not\n ROLE t_globex",
    "  RESET ROLE",
    "RESET ALL",
    "DISCARD ALL",
    "SET search_path TO globex",
    "SET SCHEMA 'globex'",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET row_security = off",
    "SELECT 1; RESET ROLE",
    "SELECT pg_catalog.set_config('role', 't_globex', false)",
    "SELECT SET_CONFIG ('role', 't_globex', false)",
    "BEGIN",
    "COMMIT",
    "rollback",
    "ROLLBACK TO SAVEPOINT x",
    "ABORT",
    "END",
    "START TRANSACTION",
    "SAVEPOINT x",
    "DO $$ BEGIN EXECUTE 'SET ' || 'ROLE t_globex'; END $$",
]


@pytest.mark.parametrize("statement", SWITCHES)
def test_a_statement_that_switches_unseen_is_refused(statement):
    with tenant_context("acme"), connection.cursor() as cursor:
        for form in (statement, sql.SQL(statement), sql.SQL(statement) + sql.SQL("")):
            with pytest.raises(SwitchRefused):
                cursor.execute(form)
        with pytest.raises(SwitchRefused):
            cursor.executemany(statement, [()])
        assert who() == ACME


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE "tenants_membership" SET "role" = %s WHERE id = 1',
        "SET LOCAL statement_timeout = 5",
        "SET CONSTRAINTS ALL DEFERRED",
        "SELECT 'set role' AS text",
        "SELECT document, ended, rollback_count FROM done",
        "EXPLAIN SELECT 1",
        "LISTEN something",
    ],
)
def test_other_statements_pass_the_guard(statement):
    refuse_switch(statement)


def test_the_application_by_itself_reads_no_tenants_rows():
    """RESET ROLE behind the backend's back: what is left is what finds a tenant."""
    with tenant_context("acme"):
        who()
        raw = connection.connection
        raw.execute("RESET ROLE")
        for table in ("acme.django_migrations", "public.tenants_user", "globex.django_migrations"):
            with (
                pytest.raises(DatabaseError),
                transaction.atomic(),
                connection.wrap_database_errors,
            ):
                raw.execute(f"SELECT * FROM {table}")
        connection.close()
        assert who() == ACME


# --- threads, async, views -----------------------------------------------------------------------


def outcome(function) -> object:
    try:
        return function()
    except NoTenantChosen:
        return NoTenantChosen
    finally:
        connection.close()


def test_a_thread_begins_without_a_tenant():
    found = []
    with tenant_context("acme"):
        thread = threading.Thread(target=lambda: found.append(outcome(who)))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            found.append(pool.submit(outcome, who).result())
    assert found == [NoTenantChosen, NoTenantChosen]


def test_async_code_takes_its_tenant_along_or_has_none():
    async def walk() -> list[object]:
        loop = asyncio.get_running_loop()
        with tenant_context("acme"):
            later = asyncio.create_task(sync_to_async(outcome)(who))
            bare = loop.run_in_executor(None, outcome, who)
            threads = asyncio.to_thread(outcome, who)
            insensitive = sync_to_async(outcome, thread_sensitive=False)(who)
        with tenant_context("globex"):
            here = await sync_to_async(outcome)(who)
            return [here, await later, await bare, await threads, await insensitive]

    here, later, bare, in_thread, insensitive = asyncio.run(walk())
    assert here == GLOBEX
    # A task keeps the tenant that it was made in.
    assert later == ACME
    assert bare is NoTenantChosen
    # Coroutines that were made in one tenant and awaited in another run in the latter: no mixture.
    assert in_thread == insensitive == GLOBEX


def test_async_views_of_two_tenants_at_once(settings, monkeypatch):
    settings.ROOT_URLCONF = "tests.tenants.fence_urls"
    # Each request has a thread of its own, which must not leave its connection open.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)

    application = get_asgi_application()

    async def ask(slug: str, path: str) -> str:
        headers = [(b"host", host(slug).encode())]
        page = HttpCommunicator(application, "GET", path, headers=headers)
        answer = await page.get_response(20)
        await page.wait(20)
        return answer["body"].decode()

    async def storm() -> list[tuple[str, str]]:
        asked = [(slug, path) for slug in ("acme", "globex") for path in ("/slow/", "/plain/")] * 8
        answers = await asyncio.gather(*(ask(*each) for each in asked))
        return [(slug, answer) for (slug, _), answer in zip(asked, answers, strict=True)]

    for slug, answer in asyncio.run(storm()):
        assert set(answer.split()) == {f"t_{slug}"}


def test_what_a_page_streams_after_its_request_has_no_tenant():
    def parts():
        yield " ".join(who())

    request = RequestFactory().get("/", headers={"host": host("acme")})
    response = TenantMiddleware(lambda request: StreamingHttpResponse(parts()))(request)
    # It fails; it does not guess.
    with pytest.raises(NoTenantChosen):
        list(response.streaming_content)


def test_no_generator_of_ours_keeps_a_tenant_open_between_two_values():
    """A context entered in a generator leaks into whoever asks for its next value."""
    found = []
    for path in settings.BASE_DIR.glob("*/**/*.py"):
        relative = path.relative_to(settings.BASE_DIR)
        if relative.parts[0] in (".venv", "tests", ".boot", "benchmarks"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.With | ast.AsyncWith):
                continue
            enters = any("_context(" in ast.unparse(item.context_expr) for item in node.items)
            own = [n for part in node.body for n in ast.walk(part)]
            nested = {id(n) for f in own if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
            yields = [n for n in own if isinstance(n, ast.Yield | ast.YieldFrom)]
            if enters and any(id(n) not in nested for n in yields):
                found.append(f"{relative}:{node.lineno}")
    assert found == []


# --- keys ----------------------------------------------------------------------------------------


def test_cache_keys_are_a_tenants_own():
    for schema in ("acme", "globex"):
        with tenant_context(schema):
            cache.set("answer", schema)
            cache.set_many({"a:b": schema, "aii:globex:cache::1:answer": "forged"})
    with tenant_context("globex"):
        assert cache.get("answer") == "globex"
    with tenant_context("acme"):
        assert cache.get_many(["answer", "a:b"]) == {"answer": "acme", "a:b": "acme"}
        cache.delete("answer")
    assert cache.get("answer") is None  # Outside every tenant: public's own.
    with tenant_context("globex"):
        assert cache.get("answer") == "globex"


def test_no_key_of_one_tenant_spells_another_tenants():
    with tenant_context("acme"):
        assert tenant_cache_key("x", "", 1).startswith("aii:acme:cache:")
    for schema in ("", "acme:live", "a:b"):
        with pytest.raises(NoTenantChosen):
            tenant_key(schema, "live", "seq")
