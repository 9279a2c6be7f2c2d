"""The socket: who is let in, what is sent, what is taken, and that no tenant hears another."""

from __future__ import annotations

import asyncio
import json

import pytest
from channels.db import database_sync_to_async

from monitoring import hub, live, services
from monitoring.models import Alert
from tenants.context import tenant_context
from tenants.redis import get_redis, tenant_key
from tests.conftest import session_for
from tests.monitoring.conftest import NOON, open_alert
from tests.monitoring.sockets import close_code_of, frame_of, frame_where, page

# Sockets read the database on a thread of their own: what they should see must be committed.
pytestmark = pytest.mark.django_db(transaction=True)

publish = database_sync_to_async(live.publish)


def run(scenario):
    return asyncio.run(scenario)


async def until_subscribed(socket):
    frame = await frame_of(socket)
    assert frame["type"] == "snapshot"
    return frame


class TestWhoIsLetIn:
    def test_a_viewer_gets_a_snapshot_and_then_deltas(self, viewer):
        key = session_for(viewer, "acme")
        live.publish("acme", {"tick": {"t": 1}, "run.1": {"state": "QUEUED"}})

        async def scenario():
            async with page(key) as socket:
                first = await frame_of(socket)
                await publish("acme", {"tick": {"t": 2}, "run.1": None})
                return first, await frame_of(socket)

        snapshot, delta = run(scenario())
        assert snapshot["type"] == "snapshot"
        assert snapshot["state"] == {"tick": {"t": 1}, "run.1": {"state": "QUEUED"}}
        assert delta["type"] == "delta"
        assert delta["seq"] == snapshot["seq"] + 1
        assert delta["changes"] == {"tick": {"t": 2}, "run.1": None}
        assert delta["t"] >= snapshot["t"] > 1.7e12

    @pytest.mark.parametrize("key", ["", "x" * 32, "' OR 1=1 --"])
    def test_a_stranger_is_told_to_sign_in(self, acme, key):
        async def scenario():
            async with page(key) as socket:
                return await frame_of(socket), await close_code_of(socket)

        assert run(scenario()) == ({"type": "bye", "reason": "signed_out"}, 4401)

    @pytest.mark.parametrize(
        ("on", "farewell"),
        [
            # The tenant's role does not even see somebody who is no member.
            ("acme", ({"type": "bye", "reason": "signed_out"}, 4401)),
            ("nobody", ({"type": "bye", "reason": "no_access"}, 4403)),
        ],
    )
    def test_an_outsider_is_turned_away(self, outsider, on, farewell):
        key = session_for(outsider, "acme")

        async def scenario():
            async with page(key, on=on) as socket:
                return await frame_of(socket), await close_code_of(socket)

        assert run(scenario()) == farewell

    def test_a_session_of_another_tenant_is_none_here(self, consultant):
        key = session_for(consultant, "globex")

        async def scenario():
            async with page(key, on="acme") as socket:
                return await frame_of(socket)

        assert run(scenario())["reason"] == "signed_out"

    def test_a_cookie_of_somebody_else_does_not_hide_the_session(self, viewer):
        key = session_for(viewer, "acme")

        async def scenario():
            async with page(key, cookies='a/b=1; prefs={"x":1}; ') as socket:
                return await frame_of(socket)

        assert run(scenario())["type"] == "snapshot"

    @pytest.mark.parametrize("origin", ["http://evil.example", "http://globex.localhost", "null"])
    def test_a_foreign_origin_does_not_get_through_the_handshake(self, viewer, origin):
        key = session_for(viewer, "acme")

        async def scenario():
            async with page(key, origin=origin) as socket:
                return socket.accepted

        assert run(scenario()) is False

    def test_signing_out_ends_the_stream_at_the_next_check(self, viewer, settings):
        settings.AII_CHECK_SESSION_EVERY_S = 0.2
        key = session_for(viewer, "acme")

        def sign_out():
            from tenants.sessions.models import PersonSession as Session

            with tenant_context("acme"):
                Session.objects.filter(pk=key).delete()

        async def scenario():
            async with page(key) as socket:
                await until_subscribed(socket)
                await asyncio.sleep(0.5)
                assert await socket.receive_nothing(0.1)
                await database_sync_to_async(sign_out)()
                return await frame_of(socket), await close_code_of(socket)

        assert run(scenario()) == ({"type": "bye", "reason": "signed_out"}, 4401)


class TestTenantsApart:
    def test_each_hears_only_its_own(self, viewer, outsider):
        keys = session_for(viewer, "acme"), session_for(outsider, "globex")

        async def scenario():
            async with page(keys[0]) as acme, page(keys[1], on="globex") as globex:
                await until_subscribed(acme)
                await until_subscribed(globex)
                assert hub.count_clients() == {"acme": 1, "globex": 1}
                for number in range(20):
                    await publish("acme", {"secret": {"of": "acme", "n": number}})
                    await publish("globex", {"secret": {"of": "globex", "n": number}})
                heard = []
                for socket in (acme, globex):
                    frames = [await frame_of(socket) for _ in range(20)]
                    assert await socket.receive_nothing(0.2)
                    heard.append({frame["changes"]["secret"]["of"] for frame in frames})
                return heard

        assert run(scenario()) == [{"acme"}, {"globex"}]
        assert hub.count_clients() in ({}, {"acme": 0, "globex": 0})


class TestWords:
    def test_a_page_that_missed_frames_asks_and_gets_a_snapshot(self, viewer):
        key = session_for(viewer, "acme")

        async def scenario():
            async with page(key) as socket:
                await until_subscribed(socket)
                await publish("acme", {"a": {"n": 1}})
                await socket.send_to(text_data='{"type":"snapshot?"}')
                return await frame_where(socket, lambda frame: frame["type"] == "snapshot")

        frame = run(scenario())
        assert frame["state"] == {"a": {"n": 1}}

    def test_a_render_time_is_kept_for_the_tenant(self, viewer):
        key = session_for(viewer, "acme")

        async def scenario():
            async with page(key) as socket:
                await until_subscribed(socket)
                word = {"type": "rendered", "seq": 3, "t": 1.0, "latency_ms": 41.26}
                await socket.send_to(text_data=json.dumps(word))
                await socket.send_to(text_data='{"type":"snapshot?"}')
                await frame_of(socket)

        run(scenario())
        kept = get_redis().lrange(tenant_key("acme", "live", "rendered"), 0, -1)
        assert [line.split()[1] for line in kept] == ["41.3"]
        assert not get_redis().exists(tenant_key("globex", "live", "rendered"))

    @pytest.mark.parametrize(
        "text",
        [
            " ",
            "not JSON",
            "[]",
            "null",
            "42",
            '"snapshot?"',
            "{}",
            '{"type":"publish","changes":{}}',
            '{"type":["snapshot?"]}',
            '{"type":"rendered"}',
            '{"type":"rendered","seq":1,"t":1,"latency_ms":"1"}',
            '{"type":"rendered","seq":1,"t":1,"latency_ms":NaN}',
            '{"type":"rendered","seq":1,"t":1,"latency_ms":-1}',
            '{"type":"rendered","seq":1,"t":1,"latency_ms":1e12}',
            '{"type":"rendered","seq":true,"t":1,"latency_ms":1}',
            '{"type":"rendered","seq":1,"t":1,"latency_ms":' + "9" * 400 + "}",
            "[" * 512,
            '{"type":"snapshot?","pad":"' + "x" * 1000 + '"}',
        ],
    )
    def test_a_hostile_frame_is_answered_and_ends_it_and_nothing_is_written(self, viewer, text):
        key = session_for(viewer, "acme")

        async def scenario():
            async with page(key) as socket:
                await until_subscribed(socket)
                await socket.send_to(text_data=text)
                return await frame_of(socket), await close_code_of(socket)

        frame, code = run(scenario())
        assert frame["type"] == "error"
        assert code == 4400
        assert not get_redis().exists(tenant_key("acme", "live", "rendered"))

    def test_bytes_and_floods_end_it_too(self, viewer):
        key = session_for(viewer, "acme")

        async def scenario():
            async with page(key) as socket:
                await until_subscribed(socket)
                await socket.send_to(bytes_data=b"\xff\x00")
                codes = [(await frame_of(socket))["type"], await close_code_of(socket)]
            async with page(key) as socket:
                await until_subscribed(socket)
                for _ in range(60):
                    await socket.send_to(text_data='{"type":"snapshot?"}')
                frame = await frame_where(socket, lambda frame: frame["type"] == "error")
                return codes, frame["detail"], await close_code_of(socket)

        assert run(scenario()) == (["error", 4400], "Too many frames.", 4400)


class TestHub:
    def test_a_slow_page_loses_the_oldest_and_keeps_the_newest(self):
        async def scenario():
            client = hub.Client()
            for seq in range(1, 101):
                client.put(hub.Frame(str(seq), seq))
            return [await client.next_text() for _ in range(hub.QUEUE_MAX)]

        assert run(scenario()) == [str(n) for n in range(101 - hub.QUEUE_MAX, 101)]

    def test_a_snapshot_replaces_what_it_contains(self):
        async def scenario():
            client = hub.Client()
            client.put(hub.Frame("1", 1))
            client.put(hub.status_frame("up"))
            client.put(hub.Frame("snapshot to 3", 3, is_snapshot=True))
            client.put(hub.Frame("3", 3))
            client.put(hub.Frame("4", 4))
            return [await client.next_text() for _ in range(3)]

        status, *rest = run(scenario())
        assert json.loads(status)["redis"] == "up"
        assert rest == ["snapshot to 3", "4"]

    def test_an_alert_reaches_the_page(self, viewer):
        key = session_for(viewer, "acme")

        def violate():
            with tenant_context("acme"):
                return open_alert(opened_at=NOON).pk

        async def scenario():
            async with page(key) as socket:
                await until_subscribed(socket)
                alert_id = await database_sync_to_async(violate)()
                return alert_id, await frame_of(socket)

        alert_id, frame = run(scenario())
        assert frame["changes"][f"alert.{alert_id}"]["state"] == "FIRING"
        with tenant_context("acme"):
            assert Alert.objects.count() == 1


def test_a_flushed_redis_begins_a_new_sequence_and_the_snapshot_says_so(acme):
    live.publish("acme", {"a": {"n": 1}})
    get_redis().flushdb()
    assert live.publish("acme", {"b": {"n": 2}}) == 1
    assert live.read_state("acme") == (1, {"b": {"n": 2}})


def test_publications_do_not_reach_another_redis_database(acme):
    """Two installations on one Redis, and two test workers, must not hear each other."""
    from redis import Redis

    client = get_redis()
    other = Redis(db=client.connection_pool.connection_kwargs.get("db", 0) + 1)
    try:
        assert live.channel_of("acme", client) != live.channel_of("acme", other)
    finally:
        other.close()


def test_services_swallow_an_absent_redis_and_keep_the_row(acme, monkeypatch):
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    nobody = Redis(host="127.0.0.1", port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(live, "get_redis", lambda: nobody)
    with tenant_context("acme"):
        open_alert()
        services.publish_run(run_id="1", fields={"state": "RUNNING"})
        assert Alert.objects.count() == 1
