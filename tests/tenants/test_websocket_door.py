"""The door for sockets: which handshakes pass, and what a page that talks too much gets."""

from __future__ import annotations

import asyncio

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings

from audit.models import Entry
from tenants.context import tenant_context
from tenants.websocket import TenantScope, is_same_origin
from tests.cast import host
from tests.conftest import session_for
from tests.monitoring.sockets import close_code_of, frame_where, page

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("origin", "name", "is_same"),
    [
        ("http://acme.localhost", "acme.localhost", True),
        ("http://ACME.localhost", "acme.LOCALHOST", True),
        ("https://acme.localhost:8443", "acme.localhost:8443", True),
        ("http://acme.localhost:8000", "acme.localhost", False),
        ("http://acme.localhost", "acme.localhost:8000", False),
        ("http://globex.localhost", "acme.localhost", False),
        ("http://x@acme.localhost", "acme.localhost", False),
        ("http://acme.localhost.evil.example", "acme.localhost", False),
        ("http://evil.example/acme.localhost", "acme.localhost", False),
        ("http://evil.example#acme.localhost", "acme.localhost", False),
        ("file://acme.localhost", "acme.localhost", False),
        ("chrome-extension://acme.localhost", "acme.localhost", False),
        ("//acme.localhost", "acme.localhost", False),
        ("acme.localhost", "acme.localhost", False),
        ("http://[::1", "acme.localhost", False),
        ("null", "null", False),
        ("http://", "", False),
        ("", "", False),
    ],
)
def test_only_a_page_of_the_very_host_may_open_a_socket(origin, name, is_same):
    assert is_same_origin(origin, name) is is_same


def test_in_production_the_page_must_have_come_over_tls(settings):
    settings.SESSION_COOKIE_SECURE = True
    assert is_same_origin("https://acme.aii.example", "acme.aii.example")
    assert not is_same_origin("http://acme.aii.example", "acme.aii.example")


HANDSHAKES = {
    "no origin": {"origin": None},
    "two origins": {"extra": [(b"origin", b"http://evil.example")]},
    "two hosts": {"extra": [(b"host", b"globex.localhost")]},
    "a foreign origin with the right referer": {
        "origin": b"http://evil.example",
        "extra": [(b"referer", b"http://acme.localhost/")],
    },
    "a forwarded host": {
        "origin": b"http://globex.localhost",
        "extra": [(b"x-forwarded-host", b"globex.localhost")],
    },
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_a_doubtful_handshake_is_refused_before_anything_is_read(case, viewer):
    given = {"origin": b"http://acme.localhost", "extra": [], **HANDSHAKES[case]}
    reached = []

    async def inner(scope, receive, send):
        reached.append(scope)

    cookie = f"{settings.SESSION_COOKIE_NAME}={session_for(viewer, 'acme')}".encode()
    headers = [(b"host", host("acme").encode()), (b"cookie", cookie), *given["extra"]]
    if given["origin"]:
        headers.append((b"origin", given["origin"]))

    async def knock() -> tuple[bool, int | None]:
        socket = WebsocketCommunicator(TenantScope(inner), "/ws/live/", headers=headers)
        return await socket.connect(timeout=5)

    assert asyncio.run(knock()) == (False, 4403)
    assert reached == []
    with tenant_context("acme"):
        assert Entry.objects.filter(action="socket.refused").count() == (case != "two hosts")


def test_of_two_session_cookies_one_decides_and_a_tossed_one_opens_nothing(viewer, outsider):
    own, foreign = session_for(viewer, "acme"), session_for(outsider, "globex")
    name = settings.SESSION_COOKIE_NAME

    async def hear(key: str, cookies: str) -> int | str:
        async with page(key, cookies=cookies) as socket:
            output = await socket.receive_output(5)
            return "snapshot" in output["text"]

    # As a sibling host may toss one in front; the own session is the last of them.
    assert asyncio.run(hear(own, f"{name}={foreign}; ")) is True
    # And the other way round the stranger's session is no good here.
    assert asyncio.run(hear(foreign, f"{name}={own}; ")) is False


def test_a_page_that_floods_is_told_so_and_cut_off(viewer):
    key = session_for(viewer, "acme")

    async def flood() -> tuple[dict, int]:
        async with page(key) as socket:
            for _ in range(70):
                await socket.send_to(text_data='{"type":"rendered","seq":1,"t":1,"latency_ms":1}')
            error = await frame_where(socket, lambda frame: frame["type"] == "error")
            return error, await close_code_of(socket)

    error, code = asyncio.run(flood())
    assert "Too many" in error["detail"]
    assert code == 4400
