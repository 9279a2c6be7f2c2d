"""Rate limits: who shares a bucket with whom, what the answer says, what happens without Redis."""

from __future__ import annotations

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import redis
from django.conf import settings as project_settings
from django.test import Client, RequestFactory

from audit.models import Entry
from audit.reading import open_entries
from tenants import rate_limits
from tenants.context import NoTenantChosen, tenant_context
from tenants.rate_limits import TooManyRequests, class_of, name_address, take, whose
from tenants.redis import get_redis
from tenants.websocket import NoAccess, SignedOut, admit_new
from tests import objects
from tests.cast import PASSWORD, host
from tests.conftest import session_for
from tests.flows.test_isolation import ROUTES, ids
from tests.monitoring.sockets import close_code_of, frame_of, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def table(settings):
    """Return a function that sets rows of the table: as many at once, one more each minute."""

    def set_rows(**bursts: int) -> None:
        settings.RATE_LIMITS = settings.RATE_LIMITS | {
            name: (burst, 1, settings.RATE_LIMITS[name][2]) for name, burst in bursts.items()
        }

    return set_rows


@pytest.fixture
def redis_away(monkeypatch):
    monkeypatch.setattr(rate_limits, "_asked_again_at_s", 0.0)
    dead = redis.Redis(port=1, socket_connect_timeout=0.2)
    monkeypatch.setattr(rate_limits, "_client", lambda: dead)


def count(name: str, whom: str, times: int) -> int:
    """Return how many of so many requests are granted."""
    granted = 0
    for _ in range(times):
        try:
            take(name, whom)
        except TooManyRequests:
            continue
        granted += 1
    return granted


def refusals() -> list[Entry]:
    with tenant_context("acme"):
        return list(Entry.objects.filter(action="socket.refused").order_by("number"))


@pytest.mark.django_db(transaction=True)
def test_refused_sockets_stand_in_the_log_and_a_flood_of_them_does_not(table, acme, viewer):
    table(refusal=3)
    for number in range(5):
        with pytest.raises(SignedOut):
            admit_new(host("acme"), "", "monitoring.view", f"198.51.100.{number}")
    assert len(refusals()) == 3
    with tenant_context("acme"):
        (opened,) = open_entries(refusals()[:1])
    said = opened.details.said["after"]
    assert said == {"reason": "signed_out", "address": "198.51.100.0"}
    # No tenant, no log; a member who is let in is no refusal.
    with pytest.raises(NoAccess):
        admit_new("nowhere.localhost", "", "monitoring.view", "198.51.100.9")
    assert admit_new(host("acme"), session_for(viewer, "acme"), "monitoring.view", "::1")
    assert len(refusals()) == 3


@pytest.mark.django_db(transaction=True)
def test_while_nobody_counts_no_refusal_is_written(redis_away, acme):
    with pytest.raises(SignedOut):
        admit_new(host("acme"), "", "monitoring.view", "198.51.100.1")
    assert refusals() == []


def test_a_bucket_gives_its_burst_and_then_says_when_to_come_again(table, in_acme):
    table(read=3)
    assert [take("read", "person:1").left for _ in range(3)] == [2, 1, 0]
    with pytest.raises(TooManyRequests) as refused:
        take("read", "person:1")
    assert 55 < refused.value.retry_after_s <= 60
    # A refusal costs nothing: the way back does not grow longer.
    with pytest.raises(TooManyRequests) as again:
        take("read", "person:1")
    assert again.value.retry_after_s <= refused.value.retry_after_s
    # Once the bucket is full again Redis forgets it.
    assert 170_000 < get_redis().pttl("aii:acme:limit:read:person:1") <= 180_000


def test_a_bucket_fills_again_with_time(table, in_acme):
    table(read=3)
    assert count("read", "person:1", 5) == 3
    full_at_ms = float(get_redis().get("aii:acme:limit:read:person:1"))
    # A minute passes.
    get_redis().set("aii:acme:limit:read:person:1", full_at_ms - 60_000)
    assert count("read", "person:1", 5) == 1


def test_two_processes_do_not_both_take_the_last_token(table):
    table(write=40)

    def hammer(_: int) -> int:
        with tenant_context("acme"):
            return count("write", "person:1", 20)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(hammer, range(8))) == 40


def test_nobody_uses_up_anothers_bucket(table):
    table(read=1)
    for schema in ("acme", "globex"):
        with tenant_context(schema):
            for whom in ("person:1", "person:2", "key:1", "address:1.2.3.4"):
                assert count("read", whom, 3) == 1
    with pytest.raises(NoTenantChosen):
        take("read", "person:1")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("1.2.3.4", "address:1.2.3.4"),
        ("::ffff:1.2.3.4", "address:1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "address:2001:db8:1:2::/64"),
        ("", "address:unknown"),
        ("evil:*", "address:unknown"),
    ],
)
def test_an_address_is_one_line_not_one_of_its_billions_of_numbers(address, name):
    assert name_address(address) == name


# --- HTTP ----------------------------------------------------------------------------------------


def test_a_page_says_how_much_is_left_and_then_429(table, viewer, auditor, client_for, acme):
    table(read=2)
    client = client_for(viewer, acme)
    first = client.get("/runs/")
    assert first.status_code == 200
    assert first["RateLimit-Policy"] == '"read";q=2;w=120'
    assert first["RateLimit"].startswith('"read";r=1;t=')
    client.get("/runs/")
    refused = client.get("/runs/")
    assert refused.status_code == 429
    assert 55 < int(refused["Retry-After"]) <= 60
    assert refused["RateLimit"].startswith('"read";r=0;t=')
    assert b"Too many requests" in refused.content
    assert "no-store" in refused["Cache-Control"]
    problem = client.get("/runs/", headers={"accept": "application/json"})
    assert problem["Content-Type"] == "application/problem+json"
    assert (problem.json()["code"], problem.json()["status"]) == ("too_many_requests", 429)
    # Others, and other classes, are not touched by it.
    assert client_for(auditor, acme).get("/runs/").status_code == 200
    assert client.get("/live/snapshot.json").status_code == 200
    for path in ("/healthz", "/static/js/live.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "RateLimit" not in answer
        answer.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_refused_writes_nothing(table, operator, client_for, acme):
    table(write=1)
    client = client_for(operator, acme)
    form = {"scenario": "kepler", "steps": "10", "dt_tu": "0.0078125", "seed": "0"}
    assert client.post("/runs/new/", form).status_code == 302
    before = objects.fingerprint("acme")
    assert client.post("/runs/new/", form).status_code == 429
    assert objects.fingerprint("acme") == before


def test_strangers_are_counted_by_address_and_cannot_lie_about_it(table, acme, settings):
    table(stranger=1)

    def ask(**headers: str) -> int:
        client = Client(headers={"host": host("acme"), **headers})
        return client.get("/accounts/login/").status_code

    assert ask() == 200
    assert ask(**{"x-forwarded-for": "9.9.9.9"}) == 429
    settings.AII_TRUSTED_PROXIES = 1
    assert ask(**{"x-forwarded-for": "9.9.9.9"}) == 200
    # The proxy wrote the last one; what stands left of it the visitor wrote.
    assert ask(**{"x-forwarded-for": "8.8.8.8, 9.9.9.9"}) == 429


def test_guessing_passwords_is_counted_whatever_the_name(table, acme):
    table(sign_in=2)
    client = Client(headers={"host": host("acme")})
    codes = [
        client.post("/accounts/login/", {"login": f"p{i}@x.example", "password": "x"}).status_code
        for i in range(3)
    ]
    assert codes[2] == 429
    assert 429 not in codes[:2]


@pytest.mark.parametrize("route", ROUTES, ids=ids)
def test_every_route_counts_for_a_row_of_the_table(route, viewer):
    path = "/" + route[0].split("<")[0]
    for method in ("get", "post"):
        request = getattr(RequestFactory(), method)(path)
        request.membership, request.user = SimpleNamespace(), viewer
        own = getattr(route[1], "rate_class", None)
        assert (own or class_of(request)) in project_settings.RATE_LIMITS


def test_an_api_key_has_a_bucket_of_its_own():
    request = RequestFactory().get("/runs/")
    request.membership, request.api_key = None, SimpleNamespace(pk=7)
    assert (class_of(request), whose(request)) == ("api", "key:7")


def test_live_pages_and_pages_full_of_charts_fit_into_the_real_table():
    table = importlib.import_module("aii_site.settings.base").RATE_LIMITS
    # Twenty pages that have no socket and poll each second; a dashboard asks 16 times at once.
    assert table["live"][1] >= 20 * 60
    assert table["live"][0] >= 20 * 16
    assert {name: row[2] for name, row in table.items() if row[2] != "open"} == {
        "sign_in": "closed",
        "refusal": "closed",
    }


def test_the_documentation_shows_the_table_that_holds():
    table = importlib.import_module("aii_site.settings.base").RATE_LIMITS
    text = (project_settings.BASE_DIR / "docs/reference/settings.md").read_text()
    for name, (burst, a_minute, without_redis) in table.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip(" *") for cell in row.strip("|").split("|")]
        assert cells[2:4] == [str(burst), str(a_minute)]
        assert cells[4].startswith(without_redis)


# --- without Redis -------------------------------------------------------------------------------


def test_without_redis_pages_open_and_nobody_signs_in(redis_away, viewer, client_for, acme):
    client = client_for(viewer, acme)
    answer = client.get("/runs/")
    assert answer.status_code == 200
    assert "RateLimit" not in answer
    stranger = Client(headers={"host": host("acme")})
    form = {"login": viewer.email, "password": PASSWORD}
    refused = stranger.post("/accounts/login/", form)
    assert refused.status_code == 503
    assert refused["Retry-After"]
    assert not stranger.cookies.get(project_settings.SESSION_COOKIE_NAME)
    # Whoever wants to leave may leave.
    assert client.post("/accounts/logout/").status_code == 302


def test_a_redis_that_hangs_is_not_asked_by_each_request(redis_away, in_acme, monkeypatch):
    asked = []

    class Hanging:
        def eval(self, *arguments):
            asked.append(arguments)
            raise redis.TimeoutError

    monkeypatch.setattr(rate_limits, "_client", Hanging)
    assert [take("read", "person:1") for _ in range(50)] == [None] * 50
    assert len(asked) == 1


# --- sockets -------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_sockets_are_counted_for_each_person(table, viewer, auditor):
    table(socket=2)
    keys = [session_for(viewer, "acme")] * 3
    other = session_for(auditor, "acme")

    async def open_all() -> list[object]:
        heard: list[object] = []
        for key in keys[:2]:
            async with page(key) as socket:
                heard.append((await frame_of(socket))["type"])
        async with page(keys[2]) as socket:
            heard.append(await close_code_of(socket))
        async with page(other) as socket:
            heard.append((await frame_of(socket))["type"])
        return heard

    assert asyncio.run(open_all()) == ["snapshot", "snapshot", 1013, "snapshot"]
