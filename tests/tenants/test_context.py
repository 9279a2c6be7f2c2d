"""The tenant of the context: never assumed, never leaked, fenced by the database as well."""

from __future__ import annotations

import asyncio

import pytest
from channels.db import database_sync_to_async
from django.db import DatabaseError, ProgrammingError, connection, transaction
from django.utils import timezone

from tenants.context import NoTenantChosen, current_schema, public_context, tenant_context
from tenants.models import Membership, Tenant, User
from tenants.sessions.models import PersonSession as Session
from tests.cast import PEOPLE

pytestmark = pytest.mark.django_db


def one_value(statement: str):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def add_session(key: str) -> None:
    Session.objects.create(session_key=key, session_data="x", expire_date=timezone.now())


def test_a_query_without_a_tenant_raises():
    with pytest.raises(NoTenantChosen):
        Session.objects.count()
    with pytest.raises(NoTenantChosen):
        current_schema()


def test_public_is_not_a_tenant():
    with public_context(), pytest.raises(NoTenantChosen):
        current_schema()
    with pytest.raises(NoTenantChosen):
        tenant_context("public")


def test_role_and_search_path_follow_the_context_and_come_back():
    with tenant_context("acme"):
        assert one_value("SELECT current_user") == "t_acme"
        with tenant_context("globex"):
            assert one_value("SELECT current_user") == "t_globex"
            assert one_value("SELECT current_schema()") == "globex"
        assert one_value("SELECT current_user") == "t_acme"
        assert one_value("SELECT current_schema()") == "acme"


def test_rows_of_one_tenant_are_not_there_for_another():
    with tenant_context("acme"):
        add_session("of-acme")
    with tenant_context("globex"):
        assert not Session.objects.filter(session_key="of-acme").exists()


def test_the_right_tenant_is_used_after_a_rollback_inside_which_it_was_switched():
    with tenant_context("acme"):
        add_session("of-acme")
    with tenant_context("globex"):
        with transaction.atomic(), tenant_context("acme"):
            assert Session.objects.filter(session_key="of-acme").exists()
            transaction.set_rollback(True)
        assert not Session.objects.filter(session_key="of-acme").exists()
        with tenant_context("acme"):
            assert Session.objects.filter(session_key="of-acme").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM globex.person_session",
        "DELETE FROM globex.person_session",
        "SELECT * FROM acme.django_migrations",
        "SELECT count(*) FROM public.django_migrations",
        "CREATE TABLE acme.mine (id int)",
        "UPDATE public.tenants_membership SET role = 'OWNER'",
        "UPDATE public.tenants_user SET email = 'x@y.example'",
        "INSERT INTO public.tenants_tenant (slug) VALUES ('x')",
    ],
)
def test_the_tenants_role_is_refused_elsewhere(statement):
    with tenant_context("acme"), pytest.raises(ProgrammingError), transaction.atomic():
        one_value(statement)


def test_the_search_path_alone_does_not_open_another_tenant():
    with tenant_context("acme"), transaction.atomic():
        assert one_value("SELECT current_user") == "t_acme"
        # Behind the backend's back: it would refuse to change the path.
        raw = connection.connection
        raw.execute("SET LOCAL search_path TO globex, public")
        with pytest.raises(DatabaseError), transaction.atomic():
            one_value("SELECT count(*) FROM person_session")


def test_shared_tables_show_a_tenant_only_its_own_rows():
    with tenant_context("acme"):
        assert list(Tenant.objects.values_list("slug", flat=True)) == ["acme"]
        emails = set(User.objects.values_list("email", flat=True))
        assert emails == {email for email, places in PEOPLE.values() if places[0][0] == "acme"}
        assert set(Membership.objects.values_list("tenant__slug", flat=True)) == {"acme"}


def test_the_application_by_itself_reads_no_people():
    with public_context(), pytest.raises(ProgrammingError), transaction.atomic():
        User.objects.count()


@pytest.mark.django_db(transaction=True)
def test_concurrent_async_readers_never_see_the_other_tenant():
    """The trial that failed 150 times in 300 with the tenant on the connection."""
    for slug in ("acme", "globex"):
        with tenant_context(slug):
            add_session(f"of-{slug}")

    @database_sync_to_async
    def read(slug: str) -> list[str]:
        with tenant_context(slug):
            return list(Session.objects.values_list("session_key", flat=True))

    async def reader(slug: str) -> list[list[str]]:
        found = []
        for _ in range(50):
            found.append(await read(slug))
            await asyncio.sleep(0)
        return found

    async def leaky_reader(slug: str) -> list[list[str]]:
        """Even the form that is not allowed here (a context around an await) must not leak."""
        found = []
        for _ in range(50):
            with tenant_context(slug):
                found.append(
                    [key async for key in Session.objects.values_list("session_key", flat=True)]
                )
        return found

    async def both():
        return await asyncio.gather(
            reader("acme"), reader("globex"), leaky_reader("acme"), leaky_reader("globex")
        )

    acme, globex, acme_2, globex_2 = asyncio.run(both())
    assert acme == acme_2 == [["of-acme"]] * 50
    assert globex == globex_2 == [["of-globex"]] * 50
