"""OpenID Connect against a real provider: who enters, and every token that opens nothing."""

from __future__ import annotations

import time

import pytest
from django.conf import settings
from django.core.cache import cache

from audit.models import Entry
from audit.reading import open_entries
from tenants.context import tenant_context
from tenants.sessions.models import PersonSession
from tenants.single_sign_on import services
from tenants.single_sign_on.models import Link
from tests.cast import NOON
from tests.tenants.sign_on.conftest import browser, by_oidc, is_in, nobody_entered, start

pytestmark = pytest.mark.django_db


def carry(client, there) -> None:
    """Take the session's cookie to another host."""
    there.cookies[settings.SESSION_COOKIE_NAME] = client.cookies[settings.SESSION_COOKIE_NAME].value


def actions() -> list[str]:
    with tenant_context("acme"):
        return list(Entry.objects.order_by("number").values_list("action", flat=True))


class TestEntering:
    def test_a_member_enters_by_the_button_of_the_sign_in_page(
        self, oidc_idp, with_oidc, owner, viewer
    ):
        row = with_oidc(owner)
        client = browser()
        page = client.get("/accounts/login/?next=/alerts/").content.decode()
        assert "Continue with Corp" in page
        assert f'action="/accounts/single-sign-on/{row.pk}/"' in page
        answer = by_oidc(client, row, oidc_idp, viewer.email, next="/alerts/")
        assert answer["Location"] == "/alerts/"
        assert is_in(client)
        with tenant_context("acme"):
            session = PersonSession.objects.get(user_id=viewer.pk)
            entry = Entry.objects.get(action="session.opened")
            assert "single_sign_on: Corp" in str(open_entries([entry])[0].details.said)
            assert session.ip
        # It is a session as every other one: listed, and ended.
        assert "this one" in client.get("/accounts/sessions/").content.decode()
        client.post("/accounts/logout/")
        assert not is_in(client)

    def test_the_request_carries_what_ties_the_answer_to_it(self, oidc_idp, with_oidc, owner):
        client = browser()
        row = with_oidc(owner)
        addresses = [start(client, row) for _ in range(2)]
        for address in addresses:
            oidc_idp.authorize(address, "x@example.com")
            asked = oidc_idp.last_request
            assert set(asked["scope"].split()) == {"openid", "profile", "email"}
            assert asked["redirect_uri"].startswith(
                "http://acme.localhost/accounts/single-sign-on/"
            )
            assert len(asked["nonce"]) >= 32 and "prompt" not in asked
        assert len(set(addresses)) == 2

    def test_the_address_may_come_from_the_user_endpoint_of_the_same_person(
        self, oidc_idp, with_oidc, owner, viewer
    ):
        row = with_oidc(owner)
        oidc_idp.claims = {"email": None, "email_verified": None, "sub": "me"}
        told = {"email": viewer.email, "email_verified": True}
        oidc_idp.userinfo = {**told, "sub": "somebody else"}
        client = browser()
        assert by_oidc(client, row, oidc_idp, "").status_code == 403
        assert nobody_entered()
        oidc_idp.userinfo = {**told, "sub": "me"}
        by_oidc(client, row, oidc_idp, "")
        assert is_in(client)

    def test_by_a_link_it_asks_first(self, oidc_idp, with_oidc, owner):
        row = with_oidc(owner)
        answer = browser().get(f"/accounts/single-sign-on/{row.pk}/")
        assert answer.status_code == 200 and "Refresh" not in answer
        assert "Continue with Corp" in answer.content.decode()

    @pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:1"])
    def test_the_way_back_leads_nowhere_else(self, oidc_idp, with_oidc, owner, viewer, target):
        answer = by_oidc(browser(), with_oidc(owner), oidc_idp, viewer.email, next=target)
        assert answer["Location"] == "/"

    def test_whoever_leaves_there_is_back_at_the_sign_in(self, oidc_idp, with_oidc, owner):
        client, row = browser(), with_oidc(owner)
        oidc_idp.authorize(start(client, row), "x@example.com")
        state = oidc_idp.last_request["state"]
        path = f"/accounts/single-sign-on/{row.pk}/callback/"
        answer = client.get(path, {"error": "access_denied", "state": state})
        assert answer["Location"] == "/accounts/login/"
        assert "You left Corp" in client.get(answer["Location"]).content.decode()

    def test_a_provider_that_is_away_is_said(self, oidc_idp, with_oidc, owner):
        row = with_oidc(owner, issuer="http://127.0.0.1:9")
        answer = browser().post(f"/accounts/single-sign-on/{row.pk}/")
        assert answer.status_code == 503
        assert "does not answer now" in answer.content.decode()


HOUR_s = 3600
BENT = {
    "issuer": {"iss": "https://evil.example"},
    "audience": {"aud": "another-client"},
    "two audiences": {"aud": ["aii-client", "another"]},
    "authorized party": {"azp": "another-client"},
    "nonce": {"nonce": "of another sign-in"},
    "no nonce": {"nonce": None},
    "expired": {"exp": int(time.time()) - HOUR_s},
    "no end": {"exp": None},
    "from the future": {"iat": int(time.time()) + HOUR_s},
    "nobody": {"sub": None},
    "empty subject": {"sub": ""},
    "long subject": {"sub": "x" * 256},
    "number for a subject": {"sub": 7},
    "unverified": {"email_verified": False},
    "verified as text": {"email_verified": "false"},
    "silent about it": {"email_verified": None},
    "no address": {"email": None},
    "a look-alike address": {"email": "\u212aviewer@acme.example"},
    "folds to a member's": {"email": "viewer@acme.e\u017fample"},
    "of another tenant": {"email": "operator@globex.example"},
    "a stranger": {"email": "stranger@acme.example"},
}


class TestRefused:
    @pytest.mark.parametrize("bent", BENT, ids=lambda name: name.replace(" ", "-"))
    def test_bent_claims(self, oidc_idp, with_oidc, owner, viewer, bent):
        row = with_oidc(owner)
        oidc_idp.claims = BENT[bent]
        client = browser()
        answer = by_oidc(client, row, oidc_idp, viewer.email)
        assert answer.status_code == 403
        assert "You are not signed in" in answer.content.decode()
        assert not is_in(client) and nobody_entered()
        assert actions()[-1] == "sign_on.refused"

    @pytest.mark.parametrize("how", ["none", "HS256", "other key", "unknown key"])
    def test_bent_signatures(self, oidc_idp, with_oidc, owner, viewer, how):
        row = with_oidc(owner)
        if how in ("none", "HS256"):
            oidc_idp.algorithm = how
        elif how == "other key":
            oidc_idp.sign_with = oidc_idp.other_key
        else:
            oidc_idp.kid = "two"
        client = browser()
        assert by_oidc(client, row, oidc_idp, viewer.email).status_code == 403
        assert not is_in(client) and nobody_entered()

    def test_a_key_that_was_changed_is_looked_up_again(self, oidc_idp, with_oidc, owner, viewer):
        row = with_oidc(owner)
        by_oidc(browser(), row, oidc_idp, viewer.email)
        kept = oidc_idp.key
        try:
            # The same name, another key: the kept one fits by name and fails.
            oidc_idp.key = oidc_idp.sign_with = oidc_idp.other_key
            client = browser()
            assert by_oidc(client, row, oidc_idp, viewer.email).status_code == 403
            with tenant_context("acme"):
                cache.clear()
            by_oidc(client, row, oidc_idp, viewer.email)
            assert is_in(client)
        finally:
            oidc_idp.key = kept

    @pytest.mark.parametrize("state", ["", "x" * 16])
    def test_a_state_that_nobody_has(self, oidc_idp, with_oidc, owner, viewer, state):
        client, row = browser(), with_oidc(owner)
        back = oidc_idp.authorize(start(client, row), viewer.email)
        code = back.partition("code=")[2].partition("&")[0]
        path = f"/accounts/single-sign-on/{row.pk}/callback/"
        assert client.get(path, {"code": code, "state": state}).status_code == 403
        assert nobody_entered()
        assert code in oidc_idp.codes, "the code was not even traded"

    def test_an_answer_in_another_browser_and_a_second_time(
        self, oidc_idp, with_oidc, owner, viewer
    ):
        client, row = browser(), with_oidc(owner)
        back = "/" + oidc_idp.authorize(start(client, row), viewer.email).split("/", 3)[3]
        # The attacker's answer given to a victim, or a victim's taken away.
        assert browser().get(back).status_code == 403
        assert nobody_entered()
        assert client.get(back).status_code == 302
        assert client.get(back).status_code == 403

    def test_what_is_not_an_answer_in_form(self, oidc_idp, with_oidc, owner, viewer, monkeypatch):
        row = with_oidc(owner)
        for wrong in ({"access_token": "t"}, {"id_token": 1, "access_token": "t"}, {"x": 1}, []):
            monkeypatch.setattr(oidc_idp, "trade", lambda form, wrong=wrong: wrong)
            assert by_oidc(browser(), row, oidc_idp, viewer.email).status_code == 403
        assert nobody_entered()

    def test_another_account_with_the_address_of_a_member(
        self, oidc_idp, with_oidc, owner, viewer, operator
    ):
        row = with_oidc(owner)
        by_oidc(browser(), row, oidc_idp, viewer.email)
        oidc_idp.claims = {"sub": "somebody who was given the address later"}
        client = browser()
        answer = by_oidc(client, row, oidc_idp, viewer.email)
        assert "another account at Corp" in answer.content.decode()
        # Nor does the same account open another member's.
        oidc_idp.claims = {"sub": f"account of {viewer.email}"}
        assert by_oidc(client, row, oidc_idp, operator.email).status_code == 403
        assert not is_in(client)
        with tenant_context("acme"):
            assert [link.user_id for link in Link.objects.all()] == [viewer.pk]

    def test_a_provider_that_is_switched_off_on_the_way(
        self, oidc_idp, with_oidc, owner, viewer, acme
    ):
        client, row = browser(), with_oidc(owner)
        back = "/" + oidc_idp.authorize(start(client, row), viewer.email).split("/", 3)[3]
        with tenant_context("acme"):
            services.switch(
                acting_user=owner, tenant=acme, provider_id=row.pk, on=False, switched_at=NOON
            )
        assert client.get(back).status_code == 403
        assert nobody_entered()
        assert client.post(f"/accounts/single-sign-on/{row.pk}/").status_code == 404


class TestOtherTenants:
    def test_a_provider_of_one_tenant_is_none_of_another(
        self, oidc_idp, with_oidc, owner, consultant
    ):
        row = with_oidc(owner)
        there = browser("globex")
        for path in ("", "callback/", "acs/", "acs/finish/", "metadata/"):
            for method in (there.get, there.post):
                answer = method(f"/accounts/single-sign-on/{row.pk}/{path}")
                assert answer.status_code in (404, 405)
        assert "Continue with" not in there.get("/accounts/login/").content.decode()
        # The consultant belongs to both; acme's word opens acme alone, and its answer too.
        client = browser()
        back = "/" + oidc_idp.authorize(start(client, row), consultant.email).split("/", 3)[3]
        carry(client, there)
        assert there.get(back).status_code == 404
        assert client.get(back).status_code == 302
        assert is_in(client)
        carry(client, there)
        assert not is_in(there)
        assert nobody_entered("globex")
        with tenant_context("globex"):
            assert not Link.objects.exists()

    def test_the_same_provider_at_two_tenants_keeps_them_apart(
        self, oidc_idp, with_oidc, owner, consultant
    ):
        here, there = with_oidc(owner), with_oidc(consultant, "globex")
        client, other = browser(), browser("globex")
        first = oidc_idp.authorize(start(client, here), consultant.email)
        start(other, there)
        # An answer to acme, carried to globex's door with globex's own state.
        query = first.partition("?")[2]
        answer = other.get(f"/accounts/single-sign-on/{there.pk}/callback/?{query}")
        assert answer.status_code == 403
        assert nobody_entered("globex")
