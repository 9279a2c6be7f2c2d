"""From a detected violation to the changed pixel, start-up times and runs a second.

Everything is real: the platform under its supervisor in a new home, a headless Chromium on the
dashboard, fault drills that the verifier has to catch. Detection is the alert's own time, stamped
by the worker that verified; the pixel is the second animation frame after the alert's row has
appeared. Both read the clock of one machine.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks._report import Row, percentile, publish
from tests.real_site import FLAGS, Site, find_chromium, sign_in, start_site, stop_site

DRILLS = 30
SMALL_RUNS = 60

# Remembers for each alert when its row had been painted.
WATCH = """() => {
  window.painted = {};
  const rows = '#active-alerts [data-key^="alert."]';
  const look = () => document.querySelectorAll(rows).forEach(row => {
    const key = row.dataset.key.slice(6);
    if (!(key in window.painted)) {
      window.painted[key] = null;
      requestAnimationFrame(() => requestAnimationFrame(() => { window.painted[key] = Date.now();
      }));
    }
  });
  look();
  new MutationObserver(look).observe(document.querySelector('#active-alerts'),
    {childList: true, subtree: true, attributes: true, attributeFilter: ['data-key']});
}"""


def main() -> None:
    executable = find_chromium()
    if executable is None:
        raise SystemExit("bench-live needs a Chromium: install one, or name it in CHROMIUM.")
    home = Path(tempfile.mkdtemp(prefix="aii-bench-"))
    try:
        first = start_site(home)
        stop_site(first)
        second = start_site(home)
        try:
            latencies_ms = measure_pixels(second, executable)
            runs_per_s = measure_runs(home)
        finally:
            stop_site(second)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    publish(
        "live",
        [
            Row("detection to pixel, p50", percentile(latencies_ms, 0.50), "ms", goal=1000),
            Row("detection to pixel, p95", percentile(latencies_ms, 0.95), "ms", goal=1000),
            Row("make up, empty home", first.ready_s, "s", goal=120),
            Row("make up, second time", second.ready_s, "s", goal=15),
            Row("small runs, end to end", runs_per_s, "runs/s", more_is_better=True),
        ],
        [
            f"{len(latencies_ms)} drills; start-up without the installation of packages;",
            f"{SMALL_RUNS} Kepler runs of 1000 verified steps, two tenants, two workers.",
        ],
    )


def measure_pixels(site: Site, executable: str) -> list[float]:
    """Return the milliseconds from detection to the painted alert, one for each drill."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        sign_in(page, site, "operator@acme.example")
        page.wait_for_selector("live-connection :text('Live')")
        page.evaluate(WATCH)
        owner = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
        sign_in(owner, site, "owner@acme.example")
        latencies_ms = [drill(page, owner, number) for number in range(DRILLS)]
        browser.close()
    return latencies_ms


# Sent by the page itself: outside a browser, few resolvers know *.localhost.
POST = """async ([path, form, token]) => {
  const answer = await fetch(path, {
    method: "POST", body: new URLSearchParams(form), headers: {"X-CSRFToken": token},
  });
  return [answer.ok ? "" : `${path}: ${answer.status}`, answer.url];
}"""


def post(page, path: str, form: dict[str, str]) -> str:
    """Send a form; return the address that it led to."""
    token = next(c["value"] for c in page.context.cookies() if c["name"].startswith("aii-csrf"))
    problem, address = page.evaluate(POST, [path, form, token])
    if problem:
        raise SystemExit(problem)
    return str(address)


def drill(page, owner, number: int) -> float:
    """Ask for a run with a fault, release it as the owner, wait for its alert, resolve it, and
    return the latency.
    """
    seen = set(page.evaluate("Object.keys(window.painted)"))
    fault = {
        "fault_kind": "momentum",
        # Another step each time, so that nothing lines up with the collector's second.
        "fault_step": str(200 + 137 * number),
        "fault_body": "1",
        "fault_size": "0.001",
        "fault_reason": "A benchmark.",
    }
    run = {"scenario": "kepler", "steps": "5000", "dt_tu": "0.0078125"}
    owner.goto(post(page, "/runs/new/", run | fault))
    owner.get_by_role("button", name="Approve").click()
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        painted = page.evaluate("window.painted")
        new = {key: at for key, at in painted.items() if key not in seen and at is not None}
        if new:
            ((alert_id, painted_ms),) = new.items()
            break
        time.sleep(0.05)
    else:
        raise SystemExit("no alert appeared within a minute")
    snapshot = page.evaluate("fetch('/live/snapshot.json').then(answer => answer.json())")
    opened_ms = snapshot["state"][f"alert.{alert_id}"]["opened_t"]
    post(page, f"/alerts/{alert_id}/resolve/", {"note": "drill"})
    return float(painted_ms - opened_ms)


def measure_runs(home: Path) -> float:
    """Return how many small runs a second pass from the request to DONE, two tenants at once."""
    os.environ |= {"AII_HOME": str(home), "DJANGO_SETTINGS_MODULE": "aii_site.settings.development"}
    import django

    django.setup()
    from django.utils import timezone

    from simulation.models import Run
    from simulation.services import RUNS_ACTIVE_MAX, request_run
    from tenants.context import tenant_context
    from tenants.models import User

    before = {}
    for slug in ("acme", "globex"):
        with tenant_context(slug):
            before[slug] = Run.objects.filter(state=Run.State.DONE).count()
    asked = dict.fromkeys(before, 0)
    started_s = time.monotonic()
    while True:
        done = 0
        for slug in asked:
            with tenant_context(slug):
                person = User.objects.get(email=f"operator@{slug}.example")
                free = RUNS_ACTIVE_MAX - Run.objects.active().count()
                for _ in range(min(free, SMALL_RUNS // 2 - asked[slug])):
                    request_run(
                        acting_user=person,
                        scenario="kepler",
                        steps=1000,
                        requested_at=timezone.now(),
                    )
                    asked[slug] += 1
                done += Run.objects.filter(state=Run.State.DONE).count() - before[slug]
        if done >= SMALL_RUNS:
            return done / (time.monotonic() - started_s)
        if time.monotonic() - started_s > 120:
            raise SystemExit(f"only {done} of {SMALL_RUNS} runs were done within two minutes")
        time.sleep(0.02)


if __name__ == "__main__":
    main()
