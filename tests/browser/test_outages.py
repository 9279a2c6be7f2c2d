"""The dashboard stays open while PostgreSQL, Redis, a task worker and the web server are killed.

Each time the page says so within 3 s, and is live again by itself, without having been loaded
anew. A run that computed through all of it ends as done, and an alert from before is still there.
"""

from __future__ import annotations

import re
import signal

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_journey import release, start_run
from tests.real_site import Site, sign_in

SAID_WITHIN_ms = 3000
BACK_WITHIN_ms = 30_000
# About a minute of computing: the run lives through all four outages.
STEPS = "7000000"


def processes_of(site: Site, *, command: str) -> list[psutil.Process]:
    """Return the site's processes whose command line matches, and nobody else's."""
    found = []
    for process in psutil.process_iter():
        try:
            arguments = " ".join(process.cmdline())
            # The data servers know the home by their arguments or their folder alone.
            is_ours = (
                str(site.home) in arguments
                or process.cwd().startswith(str(site.home))
                or process.environ().get("AII_HOME") == str(site.home)
            )
        except psutil.Error:
            continue
        if is_ours and re.search(command, arguments):
            found.append(process)
    return found


def kill(site: Site, command: str) -> None:
    """Kill the one process, and what it forked, without a word."""
    found = processes_of(site, command=command)
    pids = {process.pid for process in found}
    roots = [process for process in found if process.ppid() not in pids]
    assert len(roots) == 1, f"{command}: {[process.cmdline() for process in found]}"
    forked = roots[0].children(recursive=True)
    for process in [*roots, *forked]:
        if process.is_running():
            process.send_signal(signal.SIGKILL)


def expect_live(page: Page) -> None:
    expect(page.locator("live-connection")).to_contain_text("Live", timeout=BACK_WITHIN_ms)
    expect(page.locator("live-banner .notice")).to_have_count(0, timeout=BACK_WITHIN_ms)


def expect_trouble(page: Page, sentence: str) -> None:
    expect(page.locator("live-banner")).to_contain_text(
        re.compile(sentence), timeout=SAID_WITHIN_ms
    )


def expect_progress(page: Page) -> None:
    """Expect that the open page goes on showing readings of the run."""
    value = page.locator('live-value[key="quantity.energy"][field=balance]')
    expect(value).not_to_have_text(value.inner_text(), timeout=BACK_WITHIN_ms)


@pytest.fixture
def dashboard(chromium, site):
    """A signed-in page; refused connections are what these tests are about, script errors not."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    sign_in(page, site, "operator@acme.example")
    yield page
    context.close()
    assert not problems, problems


# Slow, and with the three seconds of the promise in it: not beside another test on the same cores.
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_part_may_die_while_somebody_looks(dashboard, site):
    page = dashboard
    drill = release(page, site, start_run(page, site, steps="20000", fault_step="2000"))
    page.goto(drill)
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        "broke in step 2000", timeout=60_000
    )
    lasting = start_run(page, site, steps=STEPS)
    page.goto(site.address("acme"))
    alert = page.get_by_role("link", name="Momentum is not conserved").first
    expect(alert).to_be_visible(timeout=15_000)
    alerts = page.locator('#active-alerts [data-key^="alert."]')
    fired = alerts.count()
    run_row = page.locator("#active-runs tbody tr").first
    expect(run_row).to_contain_text("Running", timeout=15_000)
    page.evaluate("window.isTheSamePage = true")
    expect_live(page)

    worker = page.locator("#heat li").filter(has_text="worker@")
    expect(worker).to_contain_text("OK", timeout=BACK_WITHIN_ms)
    expect(run_row).to_contain_text("Running")
    kill(site, "celery .*--exclude-queues")
    expect(worker).not_to_contain_text("OK", timeout=SAID_WITHIN_ms)
    expect(worker).to_contain_text("OK", timeout=BACK_WITHIN_ms)
    expect_live(page)
    # Resumed from its checkpoint.
    expect_progress(page)

    kill(site, "valkey-server")
    expect_trouble(page, "Redis is down|No reading for more than 3 s|connection is lost")
    expect_live(page)
    expect_progress(page)

    kill(site, r"bin/postgres -D|postgres .*-D ")
    expect_trouble(page, "database does not answer")
    expect_live(page)
    expect_progress(page)

    kill(site, "daphne")
    expect_trouble(page, "connection is lost|asks for new values")
    expect_live(page)
    expect_progress(page)

    assert page.evaluate("window.isTheSamePage"), "The page was loaded anew."
    expect(alerts).to_have_count(fired)
    expect(alert).to_be_visible()
    page.goto(lasting)
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        "every law held over 7 000 000 steps.".replace(" 000", "\u202f000"), timeout=120_000
    )
    expect(page.locator("#progress .status").first).to_have_text("Done")
    page.goto(drill)
    expect(page.get_by_role("heading", level=1)).to_contain_text("broke in step 2000")
