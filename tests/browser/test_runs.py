"""A run's page in a browser: the method in the form, the bodies in three dimensions, the plots."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.real_site import sign_in

LONG = "10000000"

# A digest of what the canvas shows.
PICTURE = """async (canvas) => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let found = 0;
  for (const part of data) found = (found * 31 + part) | 0;
  return [found, data.some((part) => part !== 0)];
}"""


@pytest.fixture
def run_page(page, site):
    """Start a long run, and stop it in the end: the quota is for everybody."""
    # On a new machine its worker compiles first what it needs.
    page.set_default_timeout(90_000)
    sign_in(page, site, "operator@acme.example")
    page.goto(site.address("acme", "/runs/new/"))
    page.get_by_label("Steps", exact=True).fill(LONG)
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/runs/*-*/")
    address = page.url
    yield page
    page.goto(address)
    page.get_by_role("button", name="Stop the run").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Stop the run").click()
    expect(page.get_by_text("Cancelled").first).to_be_visible(timeout=15_000)


@pytest.mark.timeout(180)
def test_the_bodies_are_drawn_turned_and_followed(run_page):
    page = run_page
    page.get_by_role("link", name="3-D view").click()
    canvas = page.locator("[data-bodies] canvas")
    expect(canvas).to_be_visible(timeout=30_000)
    assert canvas.evaluate(PICTURE)[1]

    # The run brings a new picture with each checkpoint, and says of which step.
    note = page.locator("[data-bodies-note]")
    expect(note).to_contain_text("kept")
    step = note.inner_text().split(" of ")[0]
    expect(note).not_to_contain_text(f"{step} of", timeout=30_000)
    expect(canvas).to_have_accessible_name(re.compile("3-D view of 9 bodies, step"))

    # Held still, so that what changes the picture is the person alone.
    page.get_by_role("button", name="Pause").first.click()
    seen = [canvas.evaluate(PICTURE)[0]]

    def has_changed() -> None:
        now = canvas.evaluate(PICTURE)[0]
        assert now not in seen
        seen.append(now)

    canvas.focus()
    page.keyboard.press("ArrowLeft")
    has_changed()
    page.keyboard.press("ArrowUp")
    has_changed()
    page.keyboard.press("+")
    has_changed()
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("button", name="Tilt down").click()
    page.get_by_role("button", name="Turn right").click()
    assert canvas.evaluate(PICTURE)[0] == seen[0]
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 130)
    page.mouse.up()
    has_changed()
    page.mouse.wheel(0, -300)
    has_changed()
    page.emulate_media(color_scheme="dark")
    has_changed()
    page.emulate_media(color_scheme="light")
    page.keyboard.press("0")
    has_changed()


@pytest.mark.timeout(180)
def test_the_plots_follow_the_run(run_page):
    page = run_page
    page.get_by_role("link", name="Plots").click()
    plot = page.locator('[data-plot="energy"] .main-svg').first
    expect(plot).to_be_visible(timeout=30_000)
    last = "document.querySelector('[data-plot=energy]').data[0].x.at(-1)"
    before = page.evaluate(last)
    for _ in range(60):
        if page.evaluate(last) > before:
            return
        page.wait_for_timeout(500)
    raise AssertionError("the plot stood still for 30 s")


def test_the_form_shows_the_accuracy_only_for_the_force_that_has_one(page, site):
    sign_in(page, site, "operator@acme.example")
    page.goto(site.address("acme", "/runs/new/?scenario=plummer"))
    accuracy = page.locator("[name=accuracy]")
    expect(accuracy).to_be_hidden()
    page.locator("[name=force]").select_option("fmm")
    expect(accuracy).to_be_visible()
    page.locator("[name=integrator]").select_option("yoshida4")
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#id_force_error")).to_contain_text("leapfrog")
    assert page.url.endswith("/runs/new/")
