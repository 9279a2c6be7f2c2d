"""The first journey: start a run on real input, watch it live, see a violation, acknowledge it.

With AII_SCREENSHOTS set to a folder (``make screenshots``), the pages are kept there as pictures.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.real_site import sign_in

SCREENSHOTS = os.environ.get("AII_SCREENSHOTS")
# Not a measure of speed (benchmarks/live.py is): a busy machine that compiles its kernels first.
PATIENCE_MS = 60_000
# The most that the Solar System may have: long enough to be watched.
STEPS = "10000000"


def shoot(page, name: str) -> None:
    """Keep both themes of a page, wide and narrow."""
    if not SCREENSHOTS:
        return
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        for width, height in ((1440, 900), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            # The strips redraw with the next tick.
            page.wait_for_timeout(1500)
            page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{theme}-{width}.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1440, "height": 900})


def start_run(page, site, *, steps: str, fault_step: str | None = None) -> str:
    page.goto(site.address("acme", "/runs/new/"))
    expect(page.get_by_label("Scenario", exact=True)).to_have_value("solar_system")
    page.get_by_label("Steps", exact=True).fill(steps)
    if fault_step:
        page.locator("[name=fault_kind]").select_option("momentum")
        page.locator("[name=fault_step]").fill(fault_step)
        page.locator("[name=fault_reason]").fill("The yearly drill.")
    shoot(page, "new-run")
    page.get_by_role("button", name="Ask for the run" if fault_step else "Start the run").click()
    page.wait_for_url("**/approvals/*-*/" if fault_step else "**/runs/*-*/")
    return page.url


def release(page, site, request: str) -> str:
    """Approve a request as the owner, in a session of their own; return the run's address."""
    context = page.context.browser.new_context(viewport={"width": 1440, "height": 900})
    office = context.new_page()
    sign_in(office, site, "owner@acme.example")
    office.get_by_role("link", name="Waiting for your approval: 1").click()
    office.get_by_role("link", name="A run with a fault").click()
    assert office.url == request
    shoot(office, "approval")
    office.get_by_role("button", name="Approve").click()
    office.get_by_role("link", name="Open run").click()
    office.wait_for_url("**/runs/*-*/")
    address = office.url
    context.close()
    return address


def changes(page, selector: str) -> None:
    """Wait until the text of a live value has changed twice."""
    value = page.locator(selector).first
    for _ in range(2):
        before = value.inner_text()
        expect(value).not_to_have_text(before, timeout=PATIENCE_MS)


@pytest.mark.timeout(300)
def test_from_signing_in_to_an_acknowledged_violation(page, site):
    sign_in(page, site, "operator@acme.example")
    expect(page.get_by_text("No run is active")).to_be_visible()

    start_run(page, site, steps=STEPS)
    changes(page, "live-value[field=step]")
    shoot(page, "run")

    page.goto(site.address("acme"))
    for quantity in ("energy", "momentum", "information"):
        card = page.locator(f'live-status[key="quantity.{quantity}"]').first
        expect(card).to_have_text(
            "Bounded" if quantity == "energy" else "Conserved", timeout=PATIENCE_MS
        )
    changes(page, 'live-value[key="quantity.energy"][field=balance]')
    shoot(page, "dashboard")

    # A second page watches while the drill is asked for in the first, and released by the owner.
    watcher = page.context.new_page()
    watcher.goto(site.address("acme"))
    expect(watcher.locator("live-connection")).to_contain_text("Live")
    asked = start_run(page, site, steps="200000", fault_step="2000")
    expect(page.get_by_text("somebody else decides")).to_be_visible()
    drill = release(page, site, asked)
    alert = watcher.get_by_role("link", name="Momentum is not conserved")
    expect(alert).to_be_visible(timeout=PATIENCE_MS)
    shoot(watcher, "alert")
    watcher.get_by_role("button", name="Acknowledge").click()
    expect(watcher.get_by_text("operator@acme.example is on it")).to_be_visible()
    shoot(watcher, "acknowledged")

    page.goto(drill)
    expect(page.get_by_role("heading", level=1)).to_contain_text("broke in step 2000")
    shoot(page, "violated")


def test_a_run_is_cancelled_after_a_question(page, site):
    sign_in(page, site, "operator@acme.example")
    start_run(page, site, steps=STEPS)
    page.get_by_role("button", name="Stop the run").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
    expect(page.get_by_text("Cancelled").first).to_be_visible(timeout=PATIENCE_MS)
