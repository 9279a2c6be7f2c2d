"""Tricks with hosts, cookies, paths and absent things, between two tenants."""

from __future__ import annotations

import uuid

import pytest
from django.conf import settings
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tenants.context import tenant_context
from tests import objects
from tests.cast import PASSWORD, host
from tests.conftest import session_for

pytestmark = pytest.mark.django_db

NAME = settings.SESSION_COOKIE_NAME


@pytest.mark.parametrize(
    "name",
    [
        *("acme.localhost.", "acme.localhost:80:80", "x@acme.localhost", "acme.localhost,globex"),
        *("\u0430cme.localhost", "xn--cme-7cd.localhost", "acme%2elocalhost", "acme.localhost/"),
        *("acme.localhost\x00", "acme.localhost#", "acme..localhost", "-acme.localhost", "acme"),
        *(
            "acme.localhost:globex",
            "[acme.localhost]",
            "*.localhost",
            "%",
            "aii_template.localhost",
        ),
    ],
)
def test_a_host_name_that_only_looks_like_a_tenants_is_nobodys(name, viewer):
    client = Client(headers={"host": name})
    client.cookies[NAME] = session_for(viewer, "acme")
    response = client.get("/")
    assert response.status_code == 404
    assert b"Acme Robotics" not in response.content


@pytest.mark.parametrize(
    "header", ["X-Forwarded-Host", "X-Host", "X-Forwarded-Server", "Forwarded", "X-Original-URL"]
)
def test_no_other_header_chooses_the_tenant(header, client_for, viewer, acme):
    value = "host=globex.localhost" if header == "Forwarded" else host("globex")
    response = client_for(viewer, acme).get("/", headers={header: value})
    assert response.status_code == 200
    assert b"Acme Robotics" in response.content
    assert b"globex" not in response.content.lower()


def test_a_link_to_a_new_password_leads_to_the_host_that_was_asked_for(operator):
    client = Client(headers={"host": host("acme"), "x-forwarded-host": "evil.example"})
    client.post("/accounts/password/reset/", {"email": operator.email})
    assert "http://acme.localhost/" in mail.outbox[0].body
    assert "evil.example" not in mail.outbox[0].body


def test_a_tossed_cookie_neither_signs_in_nor_fixes_the_next_session(outsider, operator, acme):
    tossed = session_for(outsider, "globex")
    client = Client(headers={"host": host("acme")})
    client.cookies[NAME] = tossed
    assert client.get("/").status_code == 302
    form = {"login": operator.email, "password": PASSWORD}
    assert client.post("/accounts/login/", form).status_code == 302
    # Whoever tossed it does not know the session that signing in made.
    assert client.cookies[NAME].value != tossed


def test_signed_values_of_one_tenant_open_nothing_on_another(consultant, operator):
    """A reset link of acme: for its people, good nowhere else; a form's token signs nobody in."""
    client = Client(headers={"host": host("acme")})
    client.post("/accounts/password/reset/", {"email": operator.email})
    link = next(word for word in mail.outbox[0].body.split() if "/password/reset/key/" in word)
    path = link.split(host("acme"))[1]
    there = Client(headers={"host": host("globex")})
    answer = there.get(path, follow=True)
    assert b'name="password1"' not in answer.content
    here = client.get(path, follow=True)
    assert b'name="password1"' in here.content


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../aii_site/settings/base.py", "/static/%2e%2e/manage.py"),
        *("/static/..%2fmanage.py", "/static//etc/passwd", "/static/js/../../manage.py"),
        *("/static/....//manage.py", "/../secrets.json", "/.aii/secrets.json", "/.git/config"),
        *("/static/%00", "/static/js/live.js%00.png"),
    ],
)
def test_no_path_leads_to_a_file_outside(path, client_for, viewer, acme):
    response = client_for(viewer, acme).get(path)
    assert response.status_code in (302, 400, 404), path


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("template", ["/runs/{}/", "/alerts/{}/", "/runs/{}/series.json"])
def test_what_another_tenant_has_and_what_nobody_has_cost_the_same_queries(
    template, client_for, owner, consultant, acme
):
    """So that neither the answer nor the time that it takes tells them apart."""
    with tenant_context("globex"):
        make = objects.make_alert if "alerts" in template else objects.make_run
        foreign = next(iter(make(consultant).values()))
    client = client_for(owner, acme)
    answers, queries = [], []
    for identity in (uuid.uuid4(), foreign, uuid.uuid4()):
        with CaptureQueriesContext(connection) as captured:
            answer = client.get(template.format(identity))
        text = answer.content.decode().replace(str(identity), "")
        answers.append((answer.status_code, len(text)))
        queries.append([each["sql"].replace(str(identity), "") for each in captured])
    assert answers[1] == answers[2]
    assert answers[1][0] in (403, 404)
    assert [len(each) for each in queries[1:]] == [len(queries[1])] * 2


def test_people_of_another_tenant_are_looked_for_as_nobody_is(outsider, acme):
    counts = []
    # Twice: the first time fills what a process remembers.
    for email in (outsider.email, "nobody@nowhere.example") * 2:
        client = Client(headers={"host": host("acme")})
        client.get("/accounts/login/")
        with CaptureQueriesContext(connection) as captured:
            client.post("/accounts/login/", {"login": email, "password": "wrong"})
        counts.append(len(captured))
    assert counts[2] == counts[3]
