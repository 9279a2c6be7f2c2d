"""Sessions × hosts × routes × ids × headers × sockets at random: no answer holds a mark of a tenant
that the asker does not belong to, on the host that was asked.

The seed is printed with each failure. The long run draws new seeds: ``make test-slow``.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client

from monitoring import live
from tests.cast import PEOPLE, host
from tests.conftest import _person, session_for
from tests.flows.marked_tenants import PLACES, Marked, foreign_marks, make_marked, mark, text_of
from tests.flows.test_isolation import ROUTES, SOCKETS, fill, unknown_values

pytestmark = pytest.mark.django_db(transaction=True)

# Signing out would leave the rest of the draws without a session.
LEFT_OUT = {"accounts/logout/"}
GOOD_FORMS = ["{}", "{}:8443", "{}:80"]
BAD_FORMS = [
    *("{}.", "{}:80:80", "x@{}", "{},globex.localhost", "www.{}", "{}/", "{}\x00", " {}"),
    *("\u0430{}", "xn--{}", "127.0.0.1", "localhost", ""),
]
TRICKS: list[dict[str, str]] = [
    {},
    {},
    {"X-Forwarded-Host": "OTHER.localhost"},
    {"Forwarded": "host=OTHER.localhost"},
    {"X-Original-Host": "OTHER.localhost", "X-Host": "OTHER.localhost"},
    {"X-Tenant": "OTHER", "X-Schema": "OTHER", "X-Rewrite-URL": "/members/"},
    {"Accept": "application/json"},
    {"HX-Request": "true"},
]


@pytest.fixture
def tenants() -> list[Marked]:
    return [make_marked(slug) for slug in ("acme", "globex")]


@pytest.fixture
def sessions() -> list[tuple[str | None, str, str]]:
    """(role, tenant of the session, key): everybody everywhere, members and intruders."""
    # Also for some who do not belong there: sessions that should never have been made.
    intruders = ("outsider", "owner")
    return [(None, "acme", ""), (None, "acme", "x" * 32)] + [
        (role, slug, session_for(_person(role), slug))
        for role in PEOPLE
        for slug in ("acme", "globex")
        if slug in PLACES[role] or role in intruders
    ]


def draw_address(draw: random.Random, tenants: list[Marked]) -> str:
    path, _, converters = draw.choice([route for route in ROUTES if route[0] not in LEFT_OUT])
    if "(?P<" in path:
        return "/accounts/password/reset/key/1-set-password/"
    values = draw.choice(tenants).values.get(path) if draw.random() < 0.85 else None
    return fill(path, values if values is not None else unknown_values(converters))


def may_see(role: str | None, of: str, slug: str | None) -> str | None:
    return slug if role is not None and of == slug and slug in PLACES[role] else None


def ask(draw: random.Random, tenants: list[Marked], sessions: list[Any]) -> tuple[str, list[str]]:
    """Send one random request; return what was asked, and what of others came back."""
    slug, other = draw.sample(["acme", "globex"], 2)
    role, of, key = draw.choice(sessions)
    is_good = draw.random() < 0.9
    name = draw.choice(GOOD_FORMS if is_good else BAD_FORMS).format(host(slug))
    if is_good and draw.random() < 0.1:
        name = name.upper()
    address = draw_address(draw, tenants)
    method = draw.choice(["get", "get", "get", "post", "head", "options"])
    if method == "post" and address.startswith("/members/"):
        method = "get"  # The cast is shared by all tests: nobody leaves it.
    extra = {k: v.replace("OTHER", other) for k, v in draw.choice(TRICKS).items()}
    client = Client(headers={"host": name, **extra}, raise_request_exception=False)
    if key:
        client.cookies[settings.SESSION_COOKIE_NAME] = key
    if draw.random() < 0.1:
        client.cookies["tenant"] = other
    response = getattr(client, method)(address)
    asked = f"{method} {name}{address} as {role} of {of} {extra} -> {response.status_code}"
    named = f"{slug} {other}" if role == "consultant" else slug
    found = foreign_marks(
        text_of(response),
        of=tenants,
        may_see=may_see(role, of, slug if is_good else None),
        named=named if is_good else None,
        asked=address,
    )
    # 503 is an answer: an entry without a signed head has no proof yet.
    if response.status_code == 500:
        found.append("the page broke, so it proves nothing")
    return asked, found


def storm(seed: int, times: int, tenants: list[Marked], sessions: list[Any]) -> None:
    draw = random.Random(seed)
    answered = 0
    for _ in range(times):
        asked, found = ask(draw, tenants, sessions)
        assert not found, f"seed {seed}: {asked}: {found}"
        answered += asked.endswith("200")
    # A fuzz whose every request is refused finds nothing.
    assert answered > times / 20, f"seed {seed}: only {answered} of {times} answered"


def test_the_search_finds_a_mark_where_there_is_one(tenants, client_for):
    """Each page of the own tenant shows its own marks: were they another's, they would be found."""
    assert all(tenant.columns >= 15 for tenant in tenants)
    acme = tenants[0]
    client = client_for(_person("operator"), "acme")
    pages = ["/alerts/", "/alerts/<uuid:alert_id>/", "/live/snapshot.json"]
    for path in pages:
        values = acme.values.get(path[1:], {})
        text = text_of(client.get(fill(path[1:], values)))
        assert mark("acme").strip() in text, path
        assert foreign_marks(text, of=tenants, may_see="globex", named="acme"), path
        assert not foreign_marks(text, of=tenants, may_see="acme", named="acme"), path
    ids = "\n".join(acme.ids)
    assert foreign_marks(ids, of=tenants, may_see="globex", named=None)


def test_no_answer_holds_anything_of_another_tenant(tenants, sessions):
    storm(20261121, 220, tenants, sessions)


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(4))
def test_no_answer_holds_anything_of_another_tenant_for_long(turn, tenants, sessions):
    storm(secrets.randbits(32), 1000, tenants, sessions)


# --- sockets -------------------------------------------------------------------------------------


async def listen(draw: random.Random, sessions: list[Any]) -> tuple[str, str, str | None]:
    """Open a socket at random; return what was asked, what was heard, and what may be heard."""
    from aii_site.asgi import application

    slug, other = draw.sample(["acme", "globex"], 2)
    role, of, key = draw.choice(sessions)
    name = (
        draw.choice([*GOOD_FORMS, *BAD_FORMS]).format(host(slug)).encode("utf-8").decode("latin-1")
    )
    origin = draw.choice([f"http://{name}"] * 6 + [f"http://{host(other)}", "null", ""])
    cookie = f"{settings.SESSION_COOKIE_NAME}={key}"
    headers = [
        (b"host", name.encode("latin-1")),
        (b"cookie", draw.choice([cookie, f"tenant={other}; {cookie}"]).encode()),
        (b"x-forwarded-host", host(other).encode()),
        *([(b"origin", origin.encode("latin-1"))] if origin else []),
    ]
    asked = f"{name} from {origin!r} as {role} of {of}"
    socket = WebsocketCommunicator(application, draw.choice(SOCKETS), headers=headers)
    accepted, _ = await socket.connect(timeout=10)
    heard: list[str] = []
    if accepted:
        message = await socket.receive_output(10)
        if message["type"] == "websocket.send":
            heard.append(message["text"])
            for each in ("acme", "globex"):
                key_of_node = f"node:n{mark(each)}"
                await asyncio.to_thread(live.publish, each, {key_of_node: {"name": mark(each)}})
            if '"bye"' not in message["text"]:
                await socket.send_to(text_data='{"type":"snapshot?"}')
                heard += [(await socket.receive_output(10)).get("text", "") for _ in range(2)]
        await socket.disconnect()
    return asked, "\n".join(heard), may_see(role, of, slug)


def hear(seed: int, times: int, tenants: list[Marked], sessions: list[Any]) -> None:
    draw = random.Random(seed)

    async def hear_all() -> int:
        streams = 0
        for _ in range(times):
            asked, heard, allowed = await listen(draw, sessions)
            found = foreign_marks(heard, of=tenants, may_see=allowed, named=None)
            assert not found, f"seed {seed}: {asked}: {found}"
            streams += mark("acme") in heard or mark("globex") in heard
        return streams

    assert asyncio.run(hear_all()) > 0, f"seed {seed}: no socket heard anything"


def test_no_socket_hears_anything_of_another_tenant(tenants, sessions):
    hear(20261121, 40, tenants, sessions)


@pytest.mark.slow
def test_no_socket_hears_anything_of_another_tenant_for_long(tenants, sessions):
    hear(secrets.randbits(32), 500, tenants, sessions)
