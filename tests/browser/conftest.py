"""A real site (``make up``'s supervisor, on a port and home of its own) and a real Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
START_S_MAX = 120
# Without these, a machine without a network spends its time on refused look-ups.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    """Keep the browser tests on one worker: they share one site."""
    for item in items:
        if "/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))


def find_chromium() -> str | None:
    """Return the Chromium that CHROMIUM names, or that is installed."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """A headless Chromium; without one these tests are skipped, or fail where CI demands them."""
    executable = find_chromium()
    if executable is None:
        sentence = "No Chromium was found: install one, or name it in CHROMIUM."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Site:
    """A running site: addresses, the demo password, and its processes."""

    home: Path
    port: int
    process: subprocess.Popen[str]
    password: str = ""
    lines: list[str] = field(default_factory=list)

    def address(self, slug: str, path: str = "/") -> str:
        return f"http://{slug}.localhost:{self.port}{path}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_site(home: Path) -> Site:
    """Start the whole platform as ``make up`` does and wait until it prints its address."""
    foreign = re.compile(r"DATABASE_|REDIS_|SECRET_KEY|DJANGO_SETTINGS|AII_|PYTEST_")
    environment = {name: value for name, value in os.environ.items() if not foreign.match(name)}
    port = free_port()
    environment |= {
        "AII_HOME": str(home),
        "AII_PORT": str(port),
        "NUMBA_CACHE_DIR": str(ROOT / ".aii" / "numba"),
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "aii_site.up"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    site = Site(home, port, process)
    is_ready = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                site.lines.append(line)
                if "Password" in line or "password" in line:
                    is_ready.set()
        is_ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not is_ready.wait(START_S_MAX) or process.poll() is not None:
        stop_site(site)
        pytest.fail("The site did not start:\n" + "".join(site.lines))
    site.password = json.loads((home / "demo.json").read_text())["password"]
    return site


def stop_site(site: Site) -> None:
    site.process.send_signal(signal.SIGINT)
    try:
        site.process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(site.process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
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


def sign_in(page, site: Site, email: str) -> None:
    """Sign in as a person of the demo, on the host of their tenant."""
    slug = email.split("@")[1].split(".")[0]
    page.goto(site.address(slug))
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(site.password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(site.address(slug))
