"""The owner's pages, and the addresses that a server must not be made to ask."""

from __future__ import annotations

import socket
import time

import pytest
import requests
from django.conf import settings
from django.db import connection

from audit.models import Entry
from audit.reading import open_entries
from tenants.context import tenant_context
from tenants.single_sign_on import fetching
from tenants.single_sign_on.models import IdentityProvider
from tests.tenants.sign_on.conftest import browser, by_oidc, is_in, start
from tests.tenants.sign_on.oidc_idp import CLIENT_ID, CLIENT_SECRET
from tests.tenants.sign_on.saml_idp import ENTITY, SSO_URL

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client_for, owner, acme):
    return client_for(owner, acme)


def add(page, kind: str, name: str = "Corp") -> str:
    answer = page.post("/sign-on/add/", {"kind": kind, "name": name})
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def only() -> IdentityProvider:
    with tenant_context("acme"):
        return IdentityProvider.objects.get()


class TestPages:
    def test_from_an_empty_list_to_a_provider_that_was_tested(self, page, oidc_idp, owner, viewer):
        assert "No identity provider yet" in page.get("/sign-on/").content.decode()
        address = add(page, "OIDC")
        row = only()
        text = page.get(address).content.decode()
        assert f"http://acme.localhost/accounts/single-sign-on/{row.pk}/callback/" in text
        form = {
            "issuer": oidc_idp.issuer,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "join_role": "VIEWER",
            "join_domains": "@New.example, lab.new.example",
        }
        assert page.post(f"{address}set-up/", form).status_code == 302
        # A test comes back with what was said, and opens nothing, though nobody enters yet.
        oidc_idp.claims = {"amr": ["mfa"]}
        back = oidc_idp.authorize(start(page, row, path=f"{address}test/"), viewer.email)
        key = page.cookies[settings.SESSION_COOKIE_NAME].value
        answer = page.get("/" + back.split("/", 3)[3])
        assert (
            answer["Location"] == address
            and page.cookies[settings.SESSION_COOKIE_NAME].value == key
        )
        text = page.get(address).content.decode()
        assert "verified, a member here, second factor used" in text
        assert CLIENT_SECRET not in text
        assert page.post(f"{address}enable/").status_code == 302
        row = only()
        assert (
            row.is_enabled
            and row.tested_at
            and row.join_domains == ["lab.new.example", "new.example"]
        )
        client = browser()
        by_oidc(client, row, oidc_idp, viewer.email)
        assert viewer.email in page.get(address).content.decode()
        answer = page.post(f"{address}links/{viewer.pk}/forget/")
        assert "Nobody yet" in page.get(address).content.decode()
        # Without a new secret the old one stays; switched off, who came through it is out.
        assert page.post(f"{address}set-up/", {**form, "client_secret": ""}).status_code == 302
        with tenant_context("acme"):
            assert IdentityProvider.objects.get().client_secret == CLIENT_SECRET
        page.post(f"{address}disable/")
        assert not is_in(client)
        assert page.post(f"{address}delete/", {"confirmation": "corp"}).status_code == 422
        page.post(f"{address}delete/", {"confirmation": "Corp"})
        with tenant_context("acme"):
            assert not IdentityProvider.objects.exists()
            said = list(Entry.objects.order_by("number"))
            assert [e.action for e in said if e.action.startswith("identity_provider")] == [
                *(
                    f"identity_provider.{what}"
                    for what in ("added", "changed", "tested", "enabled")
                ),
                *(f"identity_provider.{what}" for what in ("link_forgotten", "changed")),
                *(f"identity_provider.{what}" for what in ("disabled", "deleted")),
            ]
            assert CLIENT_SECRET not in str([each.details.text for each in open_entries(said)])

    def test_the_secret_lies_sealed(self, with_oidc, owner):
        with_oidc(owner)
        with tenant_context("acme"), connection.cursor() as cursor:
            cursor.execute("SELECT client_secret FROM single_sign_on_identityprovider")
            kept = bytes(cursor.fetchone()[0])
        assert CLIENT_SECRET.encode() not in kept and len(kept) > len(CLIENT_SECRET)

    def test_metadata_pasted(self, page, saml_idp):
        address = add(page, "SAML")
        form = {"metadata_xml": saml_idp.metadata().decode()}
        assert page.post(f"{address}set-up/", form).status_code == 302
        row = only()
        assert (row.issuer, row.sso_url, len(row.certificates)) == (ENTITY, SSO_URL, 1)
        assert "/acs/" in page.get(address).content.decode()

    @pytest.mark.parametrize(
        ("bent", "sentence"),
        [
            ({"client_secret": ""}, "Enter the client secret"),
            ({"issuer": "ftp://x.example"}, "has to begin with https://"),
            ({"issuer": "http://x.example"}, "has to begin with https://"),
            ({"issuer": "https://a:b@x.example"}, "no name and no password"),
            ({"issuer": "https://10.0.0.1"}, "not an address of the open internet"),
            ({"issuer": "https://[::1]"}, "not an address of the open internet"),
            ({"issuer": "{issuer}/other"}, "It answers 400"),
            ({"issuer": "{issuer}/"}, "another issuer"),
            ({"join_role": "VIEWER"}, "Name the domains"),
            ({"join_role": "OWNER"}, "valid choice"),
            ({"join_role": "VIEWER", "join_domains": "new"}, "not a domain"),
        ],
        ids=lambda value: None if isinstance(value, dict) else value.split()[-1],
    )
    def test_what_cannot_be_set_up_is_said_and_not_kept(self, page, oidc_idp, bent, sentence):
        address = add(page, "OIDC")
        form = {"issuer": oidc_idp.issuer, "client_id": CLIENT_ID, "client_secret": "s", **bent}
        form["issuer"] = form["issuer"].format(issuer=oidc_idp.issuer)
        answer = page.post(f"{address}set-up/", form)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
        assert not only().is_set_up
        assert page.post(f"{address}enable/").status_code == 409
        assert page.post(f"{address}test/").status_code == 409

    def test_a_name_is_given_once(self, page):
        add(page, "OIDC")
        answer = page.post("/sign-on/add/", {"kind": "SAML", "name": "Corp"})
        assert answer.status_code == 409
        assert only().kind == "OIDC"

    def test_a_failed_test_says_why(self, page, oidc_idp, with_oidc, owner):
        row = with_oidc(owner)
        oidc_idp.claims = {"aud": "another"}
        address = f"/sign-on/{row.pk}/"
        back = oidc_idp.authorize(start(page, row, path=f"{address}test/"), owner.email)
        answer = page.get("/" + back.split("/", 3)[3])
        assert answer.status_code == 403
        assert "Audience doesn" in answer.content.decode()
        assert only().tested_at is None


class TestFetching:
    @pytest.mark.parametrize(
        "address",
        [
            *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
            *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%1", "fc00::1"),
            *("::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::a00:1", "ff02::1", "2001::1"),
        ],
    )
    def test_addresses_inside(self, address):
        assert not fetching.is_public(address)

    @pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    def test_addresses_outside(self, address):
        assert fetching.is_public(address)

    def test_a_name_that_leads_inside_is_not_asked(self, oidc_idp, monkeypatch):
        port = oidc_idp.server.server_port
        inside = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: inside)
        monkeypatch.setattr(settings, "AII_INNER_IDP_HOSTS", {"inner.example"})
        oidc_idp.asked.clear()
        # Over TLS, as for any host that is not named in the settings.
        with pytest.raises(requests.ConnectionError):
            fetching.fetch(f"https://idp.example:{port}/keys")
        assert not oidc_idp.asked
        # A host that the operator named may lie inside.
        assert fetching.fetch(f"http://inner.example:{port}/keys").json()["keys"]

    def test_one_address_inside_among_others_is_enough_to_refuse(self, monkeypatch):
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
            for address in ("93.184.215.14", "127.0.0.1")
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: both)
        with pytest.raises(requests.ConnectionError):
            fetching.fetch("https://idp.example/")

    def test_redirects_length_and_slowness(self, oidc_idp, monkeypatch):
        def elsewhere(handler):
            handler.send_response(302)
            handler.send_header("Location", "file:///etc/passwd")
            handler.end_headers()

        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b"x" * 65536)
            except OSError:
                pass

        def drops(handler):
            handler.send_response(200)
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b"x")
                    time.sleep(0.01)
            except OSError:
                pass

        pages = {"/elsewhere": elsewhere, "/endless": endless, "/drops": drops}
        monkeypatch.setattr(type(oidc_idp), "pages", pages)
        monkeypatch.setattr(fetching, "WHOLE_S", 0.2)
        for path, sentence in (("/elsewhere", "another address"), ("/drops", "too long")):
            with pytest.raises(fetching.FetchRefused, match=sentence):
                fetching.fetch(oidc_idp.issuer + path)
        monkeypatch.setattr(fetching, "WHOLE_S", 60)
        with pytest.raises(fetching.FetchRefused, match="too long"):
            fetching.fetch(f"{oidc_idp.issuer}/endless")
