"""The shell, the components and the live elements in a real browser.

The socket of these tests is scripted (``route_web_socket``), so that each state of the live
contract can be brought about on purpose; the journeys against the real socket stand elsewhere.
"""

from __future__ import annotations

import json
import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.real_site import sign_in

OWNER = "owner@acme.example"
NARROW = {"width": 360, "height": 740}
STATE = {
    "status": {"sentence": "All is well", "level": "ok", "database": "up", "redis": "up"},
    "quantity.energy": {
        "unit": "J",
        "value": -1.98421e35,
        "balance": 6.1e25,
        "limit": 1.98e27,
        "margin": 0.031,
        "verdict": "BOUNDED",
        "accounts": 3,
    },
    "node.a": {"name": "<img src=x onerror=alert(1)>", "kind": "web", "state": "ok"},
}
ALERT = {
    "id": "7",
    "severity": "critical",
    "title": "Energy broke its law",
    "detail": "Found 3e27 J, limit 2e27 J.",
    "state": "FIRING",
    "opened_t": 1_700_000_000_000,
}


def now_ms() -> int:
    return int(time.time() * 1000)


class ScriptedSocket:
    """The server's end of ``/ws/live/``: sends what a test says, keeps what the page sends."""

    def __init__(self, page) -> None:
        self.seq = 0
        self.received: list[dict] = []
        self.sockets: list = []
        self.is_refusing = False
        page.route_web_socket(re.compile(r".*/ws/live/$"), self._accept)

    def _accept(self, socket) -> None:
        if self.is_refusing:
            socket.close(code=1011)
            return
        self.sockets.append(socket)
        socket.on_message(lambda text: self.received.append(json.loads(text)))
        self.snapshot()

    def snapshot(self) -> None:
        state = {**STATE, "tick": {"t": now_ms(), "collector": "up"}}
        self._send({"type": "snapshot", "seq": self.seq, "t": now_ms(), "state": state})

    def delta(self, changes: dict | None = None, *, skipped: int = 0) -> None:
        self.seq += 1 + skipped
        tick = {"tick": {"t": now_ms(), "collector": "up"}}
        everything = {**tick, **(changes or {})}
        self._send({"type": "delta", "seq": self.seq, "t": now_ms(), "changes": everything})

    def say(self, **frame) -> None:
        self._send({"t": now_ms(), **frame})

    def drop(self) -> None:
        self.is_refusing = True
        self.sockets[-1].close(code=1011)

    def _send(self, frame: dict) -> None:
        self.sockets[-1].send(json.dumps(frame))


@pytest.fixture
def signed_in(page, site):
    sign_in(page, site, OWNER)
    return page


@pytest.fixture
def live(signed_in, site):
    """The style guide on a scripted socket."""
    socket = ScriptedSocket(signed_in)
    signed_in.goto(site.address("acme", "/styleguide/"))
    wait_for_phase(signed_in, "live")
    return signed_in, socket


def wait_for_phase(page, phase: str, timeout_s: float = 15) -> None:
    page.wait_for_selector(f"body[data-connection={phase}]", timeout=timeout_s * 1000)


# A colour on its way from one theme to the other has the contrast of neither.
SETTLED = """async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const turning = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.all(turning.map((each) => each.finished.catch(() => null)));
}"""


def findings(page) -> list[str]:
    page.evaluate(SETTLED)
    violations = Axe().run(page).response["violations"]
    return [f"{v['id']}: {node['html']}" for v in violations for node in v["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/members/", "/styleguide/", "/accounts/password/change/"])
def test_axe_finds_nothing_and_nothing_overflows(signed_in, site, path, theme):
    signed_in.emulate_media(color_scheme=theme)
    for size in ({"width": 1440, "height": 900}, NARROW):
        signed_in.set_viewport_size(size)
        signed_in.goto(site.address("acme", path))
        assert findings(signed_in) == []
        assert signed_in.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(
    ("slug", "path"),
    [
        ("acme", "/accounts/login/"),
        ("acme", "/accounts/signup/"),
        ("acme", "/accounts/password/reset/"),
        ("nobody", "/"),  # an unknown host: the error page, without a tenant
    ],
)
def test_pages_without_a_session_are_clean_on_a_phone(page, site, slug, path):
    page.set_viewport_size(NARROW)
    page.goto(site.address(slug, path))
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_sign_in_tells_the_browser_which_fields_are_which(page, site):
    page.goto(site.address("acme", "/accounts/login/"))
    assert page.get_by_label("E-mail").get_attribute("autocomplete") == "email"
    password = page.get_by_label("Password", exact=True)
    assert password.get_attribute("autocomplete") == "current-password"


def test_a_wrong_password_is_a_sentence_beside_a_form_that_keeps_the_address(page, site):
    page.goto(site.address("acme", "/accounts/login/"))
    page.get_by_label("E-mail").fill(OWNER)
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in", exact=True).click()
    assert page.get_by_role("alert").inner_text().strip().endswith(".")
    assert page.get_by_label("E-mail").input_value() == OWNER


def test_the_first_tab_leads_past_the_navigation(signed_in):
    signed_in.keyboard.press("Tab")
    signed_in.keyboard.press("Enter")
    assert signed_in.evaluate("document.activeElement.id") == "main"


def test_the_theme_is_remembered_and_printed_by_the_server(signed_in, site):
    signed_in.get_by_label("Theme", exact=True).first.click()
    signed_in.locator("[data-theme-choice=dark]:visible").click()
    answer = signed_in.goto(site.address("acme", "/members/"))
    assert 'data-theme="dark"' in answer.text()
    assert (
        signed_in.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 18, 23)"
    )


def test_single_keys_lead_about_and_can_be_turned_off(signed_in, site):
    signed_in.goto(site.address("acme", "/styleguide/"))
    signed_in.keyboard.press("?")
    dialog = signed_in.get_by_role("dialog", name="Keyboard shortcuts")
    assert dialog.is_visible()
    signed_in.keyboard.press("Escape")
    signed_in.keyboard.press("g")
    signed_in.keyboard.press("m")
    signed_in.wait_for_url("**/members/")

    signed_in.keyboard.press("?")
    signed_in.get_by_label("Single keys are on").uncheck()
    signed_in.keyboard.press("Escape")
    signed_in.reload()
    signed_in.keyboard.press("?")
    assert not dialog.is_visible()


def test_a_destructive_act_wants_the_name_typed(signed_in, site):
    signed_in.goto(site.address("acme", "/styleguide/"))
    signed_in.get_by_role("button", name="Delete the run…").click()
    form = signed_in.locator("#sg-confirm form")
    signed_in.get_by_label("Type 7f3a to confirm").fill("7f3")
    assert not form.evaluate("form => form.checkValidity()")
    signed_in.get_by_label("Type 7f3a to confirm").fill("7f3a")
    assert form.evaluate("form => form.checkValidity()")


def test_navigation_opens_on_a_phone_without_script(chromium, site):
    context = chromium.new_context(viewport=NARROW, java_script_enabled=False)
    page = context.new_page()
    sign_in(page, site, OWNER)
    page.goto(site.address("acme", "/members/"))
    page.get_by_role("button", name="Navigation").click()
    page.get_by_role("link", name="Runs", exact=True).click()
    page.wait_for_url("**/runs/")
    context.close()


def test_values_follow_the_socket_and_data_stays_text(live):
    page, socket = live
    balance = page.locator("live-value[field=balance]").first
    assert balance.inner_text().replace("\u202f", " ") == "6.10×10²⁵ J"
    socket.delta({"quantity.energy": {**STATE["quantity.energy"], "verdict": "VIOLATED"}})
    page.locator("#sg-energy .status[data-level=critical]", has_text="Violated").wait_for()
    assert page.get_by_text("<img src=x onerror=alert(1)>").is_visible()
    assert page.locator("live-table img").count() == 0


def test_a_gap_asks_for_a_snapshot_and_shows_nothing_of_the_torn_delta(live):
    page, socket = live
    torn = {"quantity.energy": {**STATE["quantity.energy"], "balance": 9e26}}
    socket.delta(torn, skipped=3)
    page.wait_for_timeout(300)
    assert {"type": "snapshot?"} in socket.received
    assert "9.00" not in page.locator("live-value[field=balance]").first.inner_text()


def test_an_alert_is_listed_counted_announced_and_measured(live):
    page, socket = live
    alarm = page.locator("[data-live-alarm]")
    assert alarm.inner_text() == ""
    socket.delta({"alert.7": ALERT})
    page.locator("#sg-alerts li", has_text=ALERT["title"]).wait_for()
    assert page.title().startswith("(1) ")
    assert alarm.inner_text() == f"Critical: {ALERT['title']}"
    page.wait_for_timeout(200)
    beacons = [frame for frame in socket.received if frame["type"] == "rendered"]
    assert beacons[0]["seq"] == socket.seq
    assert beacons[0]["latency_ms"] < 1000

    socket.delta({"alert.7": {**ALERT, "state": "ACKNOWLEDGED", "acknowledged_by": OWNER}})
    page.get_by_text(f"acknowledged by {OWNER}").wait_for()
    socket.delta({"alert.7": None})
    page.get_by_text("No active alerts").wait_for()
    assert not page.title().startswith("(")


def test_three_silent_seconds_are_stale_and_one_tick_heals_it(live):
    page, socket = live
    wait_for_phase(page, "stale", 6)
    assert page.locator("live-banner").inner_text().startswith("No reading for more than 3 s")
    assert page.locator("#sg-energy live-age").inner_text().endswith("ago")
    socket.delta()
    wait_for_phase(page, "live", 2)
    assert page.locator("live-banner .notice").count() == 0


def test_a_lost_socket_is_polled_for_and_comes_back_by_itself(live):
    page, socket = live

    def answer(route) -> None:
        state = {**STATE, "tick": {"t": now_ms(), "collector": "up"}}
        route.fulfill(json={"type": "snapshot", "seq": 9, "t": now_ms(), "state": state})

    page.route("**/live/snapshot.json", answer)
    socket.drop()
    wait_for_phase(page, "reconnecting", 2)
    wait_for_phase(page, "polling", 8)
    socket.is_refusing = False
    wait_for_phase(page, "live", 20)


def test_redis_and_the_database_are_named_when_they_are_away(live):
    page, socket = live
    socket.say(type="status", redis="down")
    page.locator("live-banner", has_text="Redis is down").wait_for(timeout=2000)
    socket.say(type="status", redis="up")
    socket.delta({"status": {**STATE["status"], "database": "down"}})
    page.locator("live-banner", has_text="The database does not answer").wait_for(timeout=2000)


def test_bye_ends_it_with_the_way_back_in(live):
    page, socket = live
    socket.say(type="bye", reason="signed_out")
    wait_for_phase(page, "closed", 2)
    link = page.get_by_role("link", name="Sign in again")
    assert link.get_attribute("href") == "/accounts/login/?next=/styleguide/"
    page.wait_for_timeout(1500)
    assert len(socket.sockets) == 1


def test_pause_holds_the_page_and_resume_catches_up(live):
    page, socket = live
    margin = page.locator("#sg-energy [data-percent]")
    before = margin.inner_text()
    page.get_by_role("button", name="Pause live updates").click()
    socket.delta({"quantity.energy": {**STATE["quantity.energy"], "margin": 0.5}})
    page.wait_for_timeout(400)
    assert margin.inner_text() == before
    page.get_by_role("button", name="Pause live updates").click()
    page.locator("#sg-energy [data-percent]", has_text="50.0").wait_for(timeout=2000)
