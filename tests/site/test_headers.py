"""Security headers on every answer, found by introspection: pages, files, refusals and errors."""

from __future__ import annotations

import importlib
import os
import re

import pytest
from django.conf import settings
from django.db import OperationalError
from django.test import Client
from redis.exceptions import ConnectionError as RedisConnectionError

from aii_site import headers
from tests.cast import PASSWORD, host
from tests.flows.test_bad_input import address_of
from tests.flows.test_isolation import ROUTES, ids

pytestmark = pytest.mark.django_db

PRODUCTION = ("SECURE_", "SESSION_COOKIE_", "CSRF_COOKIE_")


@pytest.fixture
def production(settings):
    """The settings of production that are about headers and cookies."""
    os.environ.setdefault("SECRET_KEY", "only-for-tests")
    module = importlib.import_module("aii_site.settings.production")
    for name in dir(module):
        if name.startswith(PRODUCTION):
            setattr(settings, name, getattr(module, name))
    return settings


def policy_of(response) -> dict[str, set[str]]:
    parts = [part.split() for part in response["Content-Security-Policy"].split(";")]
    return {name: set(values) for name, *values in parts}


def check_headers(response, *, secure: bool = False) -> None:
    for name, value in headers.HEADERS.items():
        if name != "Cache-Control":
            assert response[name] == value, name
    policy = policy_of(response)
    assert policy["default-src"] == {"'none'"}
    assert policy["frame-ancestors"] == {"'none'"}
    assert policy["base-uri"] == {"'none'"}
    values = set().union(*policy.values())
    assert not {v for v in values if v.startswith("'unsafe") or v in ("*", "http:", "https:")}
    # Two hashes on the page that draws plots, for styles; none lets a script in.
    assert not {v for v in policy.get("script-src", ()) if not v.startswith("'nonce-")} - {"'self'"}
    assert "Access-Control-Allow-Origin" not in response
    assert "Server" not in response
    assert "Cache-Control" in response
    if secure:
        assert response["Strict-Transport-Security"].startswith("max-age=31536000; includeSubD")
    for cookie in response.cookies.values():
        # A cookie that is taken away has nothing to hide.
        assert cookie["httponly"] or cookie["max-age"] == 0, cookie.key
        assert cookie["samesite"] == "Lax", cookie.key
        assert not cookie["domain"], cookie.key
        assert cookie["path"] == "/", cookie.key
        if secure:
            assert cookie.key.startswith("__Host-"), cookie.key
            assert cookie["secure"], cookie.key


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("route", ROUTES, ids=ids)
def test_every_route_for_a_stranger_and_for_a_member(route, production, acme, owner, client_for):
    path = route[0]
    address = "/" + path.replace("^", "").replace("$", "")
    if "(?P<" in address:  # allauth's own routes with a key: any will do.
        address = re.sub(r"\(\?P<[^)]*\)", "x1", address)
    elif "<" in address:
        address = address_of(route, owner)
    for person in (None, owner):
        for method in ("get", "post", "options"):
            response = getattr(client_for(person, acme), method)(address, secure=True)
            check_headers(response, secure=True)
            # What a member sees is kept by no proxy and no disk; the library's script is nobody's.
            if "plotly" not in path:
                assert "no-store" in response["Cache-Control"], (address, method)


@pytest.mark.parametrize(
    ("path", "name", "status"),
    [
        ("/nowhere/", "acme", 404),
        ("/nowhere.json", "acme", 404),
        ("/", "nobody", 404),
        ("/", "a b", 404),
        ("/healthz", "nobody", 200),
        ("/readyz", "acme", 200),
        ("/static/js/live.js", "acme", 200),
        ("/static/icons/sprite.svg", "nobody", 200),
        ("/static/none.js", "acme", 404),
        ("/runs/new/", "acme", 403),
        ("/members", "acme", 301),
    ],
)
def test_every_kind_of_answer(path, name, status, production, viewer, client_for):
    client = client_for(viewer, "acme")
    response = client.get(path, secure=True, headers={"host": host(name)})
    assert response.status_code == status
    check_headers(response, secure=True)
    response.close()


def test_the_way_to_tls(production, acme):
    response = Client(headers={"host": host("acme")}).get("/")
    assert response.status_code == 301
    assert response["Location"].startswith("https://acme.localhost")
    check_headers(response)


@pytest.mark.parametrize("problem", [RuntimeError, OperationalError, RedisConnectionError])
def test_errors(problem, monkeypatch, viewer, client_for):
    def fail(*args):
        raise problem("the secret of the house")

    monkeypatch.setattr("monitoring.selectors.get_dashboard", fail)
    response = client_for(viewer, "acme", raise_request_exception=False).get("/")
    assert response.status_code == (500 if problem is RuntimeError else 503)
    assert b"the secret of the house" not in response.content
    check_headers(response)


def test_a_form_without_its_token(viewer, client_for):
    response = client_for(viewer, "acme", enforce_csrf_checks=True).post("/accounts/logout/")
    assert response.status_code == 403
    check_headers(response)


def test_a_form_with_too_many_fields(viewer, client_for):
    form = {f"field{i}": "x" for i in range(settings.DATA_UPLOAD_MAX_NUMBER_FIELDS + 1)}
    response = client_for(viewer, "acme").post("/accounts/logout/", form)
    assert response.status_code == 400
    assert b"field" not in response.content
    check_headers(response)


def test_the_cookies_of_a_member_in_production(production, operator):
    client = Client(headers={"host": host("acme")})
    form = {"login": operator.email, "password": PASSWORD}
    answers = [
        client.get("/accounts/login/", secure=True),
        client.post("/accounts/login/", form, secure=True),
        client.get("/", secure=True),
        client.post("/accounts/logout/", secure=True),
    ]
    names = set()
    for answer in answers:
        check_headers(answer, secure=True)
        names |= set(answer.cookies)
    assert names == {production.SESSION_COOKIE_NAME, production.CSRF_COOKIE_NAME}


def test_only_pages_that_draw_plots_name_hashes(viewer, client_for, acme, owner):
    page = client_for(viewer, acme).get("/")
    assert policy_of(page)["style-src"] == {"'self'"}


def test_no_template_writes_a_script_a_style_or_a_handler_into_a_page():
    """What the policy would refuse in the browser is refused here first."""
    inline = re.compile(
        r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")|<style|\sstyle=|javascript:"
        r"|\son(?!ly=)[a-z]+=[\"']",
        re.IGNORECASE,
    )
    found = {
        str(path.relative_to(settings.BASE_DIR)): match.group()
        for path in (settings.BASE_DIR / "templates").rglob("*.html")
        if (match := inline.search(path.read_text()))
    }
    assert not found
