"""The whole platform in processes of its own, and the browser: for browser tests and benchmarks."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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


def find_chromium() -> str | None:
    """Return the Chromium that CHROMIUM names, or that is installed."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


@dataclass
class Site:
    """A running site: addresses, the demo password, and its processes."""

    home: Path
    port: int
    process: subprocess.Popen[str]
    password: str = ""
    # The secrets of the demo people's authenticator apps.
    secrets: dict[str, str] = field(default_factory=dict)
    # Cookies of people who signed in once already: a code is good once, and the next one comes
    # after half a minute.
    cookies: dict[str, list] = field(default_factory=dict)
    spent_steps: dict[str, int] = field(default_factory=dict)
    ready_s: float = 0.0
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
    started_s = time.monotonic()
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
        raise RuntimeError("The site did not start:\n" + "".join(site.lines))
    site.ready_s = time.monotonic() - started_s
    kept = json.loads((home / "demo.json").read_text())
    site.password, site.secrets = kept["password"], kept["secrets"]
    return site


def stop_site(site: Site) -> None:
    site.process.send_signal(signal.SIGINT)
    try:
        site.process.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(site.process.pid, signal.SIGKILL)


def sign_in(page, site: Site, email: str, *, afresh: bool = False) -> None:
    """Have a person of the demo signed in, on the host of their tenant.

    The first time with password and one-time code as people do; later with the session of that
    first time, unless it ended or ``afresh`` is asked for.
    """
    slug = email.split("@")[1].split(".")[0]
    start = site.address(slug)
    if email in site.cookies and not afresh:
        page.context.add_cookies(site.cookies[email])
        page.goto(start)
        if page.url == start:
            return
    page.goto(start)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(site.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    if email in site.secrets:
        page.wait_for_url("**/second-factor/authenticate/")
        page.get_by_label("One-time code").fill(fresh_code(site, email))
        page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(start)
    site.cookies[email] = page.context.cookies()


def fresh_code(site: Site, email: str) -> str:
    """Return a code that was not used yet; waits for the next one where need be."""
    while (step := int(time.time()) // 30) <= site.spent_steps.get(email, 0):
        time.sleep(1)
    site.spent_steps[email] = step
    # RFC 6238, written out: an oracle that shares no code with the site.
    digest = hmac.digest(base64.b32decode(site.secrets[email]), step.to_bytes(8), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4]) & 0x7FFFFFFF) % 10**6:06}"
