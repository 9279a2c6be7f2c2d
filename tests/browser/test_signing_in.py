"""Signing in with a second factor: by code without a script, and with a passkey."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.test_journey import shoot
from tests.browser.test_shell import NARROW, findings
from tests.real_site import fresh_code, sign_in

VIEWER = "viewer@acme.example"
AUDITOR = "auditor@acme.example"


def give_authenticator(page) -> None:
    """Have Chromium answer as a phone with a fingerprint would."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def fill_password(page, site, email: str) -> None:
    page.goto(site.address("acme"))
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(site.password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_a_code_signs_in_without_a_script(chromium, site):
    context = chromium.new_context(viewport=NARROW, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, site, AUDITOR, afresh=True)
    page.goto(site.address("acme", "/members/"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("Acme Robotics")
    context.close()


def test_the_page_of_the_second_factor(page, site):
    fill_password(page, site, AUDITOR)
    field = page.get_by_label("One-time code")
    expect(field).to_have_attribute("autocomplete", "one-time-code")
    # Nobody is offered what they do not have.
    expect(page.get_by_role("button", name="Use a passkey")).to_have_count(0)
    shoot(page, "second-factor")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert findings(page) == []
    field.fill("000000")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_text("This code is not correct")).to_be_visible()
    # Pasted as an app shows it.
    code = fresh_code(site, AUDITOR)
    page.get_by_label("One-time code").fill(f"{code[:3]} {code[3:]}")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(site.address("acme"))


def test_a_passkey_is_made_and_signs_in_alone(page, site):
    give_authenticator(page)
    fill_password(page, site, VIEWER)
    page.wait_for_url(site.address("acme"))
    page.goto(site.address("acme", "/accounts/second-factor/"))
    shoot(page, "second-factor-none")
    page.get_by_role("link", name="Add a passkey").click()
    shoot(page, "passkey-add")
    assert findings(page) == []
    page.get_by_label("Name").fill("Test phone")
    page.get_by_role("button", name="Add a passkey").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Keep these recovery codes")
    shoot(page, "recovery-codes")
    page.get_by_role("link", name="I have kept them").click()

    # The whole sign-in: no e-mail, no password, no code.
    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(site.address("acme"))

    # And as the second step after the password.
    page.get_by_label("Your account").click()
    page.get_by_role("button", name="Sign out").click()
    fill_password(page, site, VIEWER)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(site.address("acme"))

    page.goto(site.address("acme", "/accounts/second-factor/webauthn/"))
    expect(page.get_by_role("rowheader", name="Test phone")).to_be_visible()
    shoot(page, "passkeys")
    # The viewer has none again, for whoever comes next.
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove the passkey").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("You have no passkeys")


def test_setting_up_an_app(page, site):
    fill_password(page, site, VIEWER)
    page.wait_for_url(site.address("acme"))
    page.goto(site.address("acme", "/accounts/second-factor/totp/activate/"))
    shoot(page, "app-set-up")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert findings(page) == []
    expect(page.get_by_alt_text("The key below as a QR code")).to_be_visible()
