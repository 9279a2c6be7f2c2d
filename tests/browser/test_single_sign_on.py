"""Single sign-on in a real browser, under the strict policy: there and back, by both protocols."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import expect

from tests.browser.test_journey import shoot
from tests.browser.test_shell import findings
from tests.real_site import sign_in
from tests.tenants.sign_on.oidc_idp import CLIENT_ID, CLIENT_SECRET, OIDCIdP
from tests.tenants.sign_on.saml_idp import SAMLIdP

OWNER, VIEWER = "owner@acme.example", "viewer@acme.example"


@pytest.fixture
def oidc_idp():
    idp = OIDCIdP()
    yield idp
    idp.server.shutdown()
    idp.server.server_close()


@pytest.fixture
def saml_idp():
    """A provider whose page posts the answer by itself, as they do."""
    idp = SAMLIdP()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = idp.respond(f"{idp.sso_url}?{self.path.partition('?')[2]}", VIEWER)
            page = (
                f'<form method="post" action="{idp.asked["acs"]}">'
                f'<input type="hidden" name="SAMLResponse" value="{answer}"></form>'
                "<script>document.forms[0].submit()</script>"
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    idp.sso_url = f"http://127.0.0.1:{server.server_port}/sso"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield idp
    server.shutdown()
    server.server_close()


def add(page, site, name: str, protocol: str) -> None:
    page.goto(site.address("acme", "/sign-on/"))
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Protocol").select_option(label=protocol)
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"{name} is not set up yet")


def check(page, name: str) -> None:
    shoot(page, name)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert findings(page) == []


def enter(chromium, site, name: str) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(site.address("acme", "/runs/"))
    check(page, f"sign-in-{name}")
    page.get_by_role("button", name=f"Continue with {name}").click()
    page.wait_for_url(site.address("acme", "/runs/"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    context.close()


def test_openid_connect_from_set_up_to_sign_in(page, chromium, site, oidc_idp):
    sign_in(page, site, OWNER, afresh=True)
    page.goto(site.address("acme", "/settings/sign-in/"))
    page.get_by_role("link", name="Single sign-on").click()
    check(page, "sign-on-empty")
    add(page, site, "Corp", "OpenID Connect")
    check(page, "sign-on-oidc")
    page.get_by_label("Issuer").fill(f"{oidc_idp.issuer}/nowhere")
    page.get_by_label("Client ID").fill(CLIENT_ID)
    page.get_by_label("Client secret").fill(CLIENT_SECRET)
    page.get_by_role("button", name="Look it up and save").click()
    expect(page.get_by_text("It answers 400 there.")).to_be_visible()
    page.get_by_label("Issuer").fill(oidc_idp.issuer)
    page.get_by_label("Client secret").fill(CLIENT_SECRET)
    page.get_by_role("button", name="Look it up and save").click()
    oidc_idp.person = OWNER
    page.get_by_role("button", name="Test").click()
    expect(page.get_by_text("The connection works.")).to_be_visible()
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_text("The sign-in page offers Corp.")).to_be_visible()
    oidc_idp.person = VIEWER
    enter(chromium, site, "Corp")
    page.reload()
    check(page, "sign-on-linked")
    page.goto(site.address("acme", "/sign-on/"))
    check(page, "sign-on-list")


def test_saml_from_set_up_to_sign_in(page, chromium, site, saml_idp):
    sign_in(page, site, OWNER)
    add(page, site, "Campus", "SAML 2.0")
    check(page, "sign-on-saml")
    page.get_by_label("… or the metadata itself").fill(saml_idp.metadata().decode())
    page.get_by_role("button", name="Look it up and save").click()
    page.get_by_role("button", name="Switch on").click()
    enter(chromium, site, "Campus")
