"""A real site (``make up``'s supervisor, on a port and home of its own) and a real Chromium."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real_site import FLAGS, Site, find_chromium, start_site, stop_site


def pytest_collection_modifyitems(items):
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="package")
def chromium() -> Iterator:
    """A headless Chromium; without one these tests are skipped, or fail where CI demands them.

    It ends with this folder's tests: while Playwright waits for the next call, Django takes every
    test for a coroutine, which may not use the database.
    """
    executable = find_chromium()
    if executable is None:
        sentence = "No Chromium was found: install one, or name it in CHROMIUM."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    from playwright.sync_api import expect, sync_playwright

    # Two cores carry the site, its workers, the browser and the other tests.
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    home = Path(tempfile.mkdtemp(prefix="aii-browser-"))
    running = start_site(home)
    yield running
    stop_site(running)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def page(chromium, site):
    """A new page in a context of its own; what the page reports as an error fails the test."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    yield page
    context.close()
    assert not problems, problems
