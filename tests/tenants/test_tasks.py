"""Tasks keep their tenant from the sender to the worker."""

from __future__ import annotations

import pytest
from celery import shared_task
from django.db import connection, transaction

from tenants.context import NoTenantChosen, public_context, tenant_context
from tenants.redis import get_redis
from tenants.tasks import TenantTask, enqueue_on_commit, queue_of

pytestmark = pytest.mark.django_db(transaction=True)


@shared_task(base=TenantTask, name="tests.who_am_i")
def who_am_i(**_):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        return cursor.fetchone()[0]


def queued(schema: str) -> int:
    return get_redis().llen(queue_of(schema))


def test_a_task_runs_in_the_tenant_that_its_payload_names():
    assert who_am_i(tenant_schema="acme") == "t_acme"
    assert who_am_i(tenant_schema="globex") == "t_globex"


@pytest.mark.parametrize("schema", ["", "public", "nobody", 'acme"; --'])
def test_a_task_without_a_tenant_that_exists_does_not_run(schema):
    with pytest.raises(NoTenantChosen):
        who_am_i(tenant_schema=schema)


def test_enqueue_refuses_without_a_tenant():
    with pytest.raises(NoTenantChosen), public_context():
        enqueue_on_commit("tests.who_am_i")
    with pytest.raises(NoTenantChosen):
        enqueue_on_commit("tests.who_am_i")


def test_enqueue_sends_after_the_commit_to_the_tenants_own_queue():
    with tenant_context("acme"):
        with transaction.atomic():
            enqueue_on_commit("tests.who_am_i")
            assert queued("acme") == 0
        assert queued("acme") == 1
        assert queued("globex") == 0
        with transaction.atomic():
            enqueue_on_commit("tests.who_am_i")
            transaction.set_rollback(True)
        assert queued("acme") == 1


def test_a_payload_that_names_another_tenant_than_its_queue_does_not_run():
    def deliver(queue: str):
        who_am_i.push_request(delivery_info={"routing_key": queue})
        try:
            return who_am_i(tenant_schema="acme")
        finally:
            who_am_i.pop_request()

    assert deliver(queue_of("acme")) == "t_acme"
    assert deliver("platform") == "t_acme"
    with pytest.raises(NoTenantChosen):
        deliver(queue_of("globex"))


@pytest.mark.parametrize("schema", [["acme"], {"acme": 1}, None, 7, "ACME", "acme ", "t_acme"])
def test_a_tenant_that_is_not_a_name_does_not_run(schema):
    with pytest.raises((NoTenantChosen, TypeError)):
        who_am_i(tenant_schema=schema)


def test_payloads_are_json_and_nothing_that_can_run():
    from celery import current_app

    assert set(current_app.conf.accept_content) == {"json"}
    assert current_app.conf.task_serializer == "json"
