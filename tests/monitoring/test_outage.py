"""Redis killed and started again under an open page: it is told, and gets a fresh snapshot."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
import redis
from channels.db import database_sync_to_async
from redis.backoff import NoBackoff
from redis.retry import Retry

from aii_site.embedded import processes
from aii_site.embedded.home import Home
from aii_site.embedded.valkey import Valkey
from monitoring import live
from tenants import redis as tenants_redis
from tests.conftest import session_for
from tests.monitoring.sockets import frame_of, frame_where, page

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def own_valkey(tmp_path, settings, monkeypatch):
    """A Valkey of this test's own, that may be killed; every client of the process uses it."""
    from aii_site.embedded import account as accounts

    home = Home(tmp_path / "home")
    home.create()
    account = accounts.find_account(None)
    place = accounts.choose_place(home.path, account, durable=False)
    if place != home.path:
        accounts.make_folder(place, account, mode=0o711)
    valkey = Valkey(home, place, account, durable=False)
    valkey.prepare("secret")
    valkey.start(processes.choose_port(None))
    url = f"redis://:secret@127.0.0.1:{valkey.port}/0"
    settings.REDIS_URL = url
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=2, retry=Retry(NoBackoff(), 1)
    )
    monkeypatch.setattr(live, "get_redis", lambda: client)
    assert tenants_redis.get_async_redis().connection_pool.connection_kwargs["port"] == valkey.port
    yield valkey
    client.close()
    valkey.stop()


def test_a_page_hears_that_redis_went_and_gets_a_snapshot_when_it_is_back(viewer, own_valkey):
    key = session_for(viewer, "acme")
    publish = database_sync_to_async(live.publish)

    async def scenario():
        loop = asyncio.get_running_loop()
        await publish("acme", {"a": {"n": 1}})
        async with page(key) as socket:
            first = await frame_of(socket)
            assert first["state"] == {"a": {"n": 1}}

            os.kill(own_valkey.process.pid, signal.SIGKILL)
            own_valkey.process.wait()
            killed_at = loop.time()
            down = await frame_where(socket, lambda frame: frame["type"] == "status")
            told_after_s = loop.time() - killed_at
            # A page that comes now is told at once, and waits with the others.
            async with page(key) as late:
                assert (await frame_of(late))["redis"] == "down"

                await asyncio.to_thread(own_valkey.start, own_valkey.port)
                started_at = loop.time()
                await publish("acme", {"b": {"n": 2}})
                up = await frame_where(socket, lambda frame: frame["type"] == "status")
                snapshot = await frame_of(socket)
                back_after_s = loop.time() - started_at
                assert (await frame_where(late, lambda f: f["type"] == "snapshot"))["state"]
            await publish("acme", {"c": {"n": 3}})
            delta = await frame_where(socket, lambda frame: frame["type"] == "delta")
        return down, told_after_s, up, snapshot, back_after_s, delta

    down, told_after_s, up, snapshot, back_after_s, delta = asyncio.run(scenario())
    assert (down["redis"], up["redis"]) == ("down", "up")
    assert told_after_s < 2
    assert back_after_s < 3
    assert snapshot["type"] == "snapshot"
    assert snapshot["state"] == {"b": {"n": 2}}
    assert delta["changes"] == {"c": {"n": 3}}
    assert delta["seq"] == snapshot["seq"] + 1
