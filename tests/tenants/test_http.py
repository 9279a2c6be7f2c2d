"""Hosts, sessions and signing in."""

from __future__ import annotations

import os

import psycopg
import pytest
from django.conf import settings
from django.test import Client

from tenants.context import tenant_context
from tenants.sessions.models import PersonSession as Session
from tests.cast import PASSWORD, host

pytestmark = pytest.mark.django_db


def sign_in(email: str, slug: str, password: str = PASSWORD):
    client = Client(headers={"host": host(slug)})
    response = client.post("/accounts/login/", {"login": email, "password": password})
    return client, response


@pytest.mark.parametrize(
    "name",
    ["localhost", "nobody.localhost", "acme.localhost.evil.example", "127.0.0.1", "[::1]", "a b"],
)
def test_an_unknown_host_is_a_404(name):
    response = Client(headers={"host": name}).get("/")
    assert response.status_code == 404
    assert b"host name" in response.content
    # Which tenants there are is nobody's business.
    assert b"Acme" not in response.content


def test_the_case_and_port_of_the_host_do_not_matter(client_for):
    assert (
        Client(headers={"host": "ACME.localhost:8000"}).get("/accounts/login/").status_code == 200
    )


def test_a_member_signs_in_and_the_session_lies_in_the_tenants_own_schema(operator):
    client, response = sign_in(operator.email, "acme")
    assert response.status_code == 302
    assert client.get("/").status_code == 200
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    with tenant_context("acme"):
        assert Session.objects.filter(session_key=key).exists()
    with tenant_context("globex"):
        assert not Session.objects.filter(session_key=key).exists()


def test_a_members_page_is_kept_by_no_proxy(client_for, viewer):
    assert client_for(viewer, "acme").get("/members/")["Cache-Control"] == "private, no-store"


def test_a_session_is_good_on_one_host_even_for_a_member_of_both(consultant):
    client, _ = sign_in(consultant.email, "acme")
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"host": host("globex")}).status_code == 302


@pytest.mark.parametrize("case", ["stranger", "wrong password", "nobody"])
def test_whoever_may_not_sign_in_gets_the_same_answer(case, operator, outsider):
    email = {"stranger": outsider.email, "nobody": "nobody@acme.example"}.get(case, operator.email)
    password = "wrong" if case == "wrong password" else PASSWORD
    client, response = sign_in(email, "acme", password)
    assert response.status_code in (200, 422)
    assert "not correct" in response.content.decode()
    assert client.get("/").status_code == 302
    with tenant_context("acme"):
        assert not Session.objects.exists()


def test_signing_up_is_closed(acme):
    client = Client(headers={"host": host("acme")})
    form = {"email": "new@acme.example", "password1": PASSWORD, "password2": PASSWORD}
    response = client.post("/accounts/signup/", form)
    assert "invit" in response.content.decode().lower()
    with tenant_context("acme"):
        from tenants.models import User

        assert not User.objects.filter(email="new@acme.example").exists()


def test_signing_out_ends_the_session(client_for, operator, acme):
    client = client_for(operator, acme)
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    assert client.post("/accounts/logout/").status_code == 302
    with tenant_context("acme"):
        assert not Session.objects.filter(session_key=key).exists()


def test_a_password_change_ends_other_sessions(client_for, operator, acme):
    here, there = client_for(operator, acme), client_for(operator, acme)
    new = "a quite different horse"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert here.post("/accounts/password/change/", form).status_code == 302
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 302


def test_a_form_without_its_token_is_refused_with_a_sentence(client_for, operator, acme):
    client = client_for(operator, acme, enforce_csrf_checks=True)
    response = client.post("/accounts/logout/")
    assert response.status_code == 403
    assert b"Traceback" not in response.content


@pytest.mark.django_db(transaction=True)
def test_a_member_who_is_removed_is_out_at_once(client_for, acme, viewer):
    client = client_for(viewer, acme)
    assert client.get("/runs/").status_code == 200
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"], autocommit=True) as owner:
        owner.execute("UPDATE tenants_user SET is_active = false WHERE id = %s", [viewer.pk])
        try:
            assert client.get("/runs/").status_code == 302
        finally:
            owner.execute("UPDATE tenants_user SET is_active = true WHERE id = %s", [viewer.pk])


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_answer_on_any_host(path, db):
    response = Client(headers={"host": "10.0.0.7"}).get(path)
    assert response.status_code == 200


def test_every_page_forbids_inline_scripts_and_framing(client_for, operator, acme):
    response = client_for(operator, acme).get("/")
    policy = response["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
