"""Ask the advisory service about every package of the production lock; by ``make audit-packages``.

Exit code 0: nothing known, or (with --if-reachable) no service answered, which is said. 1: an
advisory that nobody has accepted. 2: no service answered, or not about every package.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.production.lock"
# Advisory -> why it does not concern us, and until when that holds.
ACCEPTED: dict[str, str] = {}


def judge(report: dict[str, Any] | None, *, if_reachable: bool) -> tuple[int, list[str]]:
    """Return the exit code and what to say about pip-audit's report; None where it made none."""
    packages = (report or {}).get("dependencies", [])
    asked = [each for each in packages if "vulns" in each]
    found = [
        f"{each['name']} {each['version']}: {vulnerability['id']}, mended in "
        f"{', '.join(vulnerability.get('fix_versions') or []) or 'no release yet'}"
        for each in asked
        for vulnerability in each["vulns"]
        if not {vulnerability["id"], *vulnerability.get("aliases", [])} & set(ACCEPTED)
    ]
    if found:
        return 1, found
    if not asked:
        return (0 if if_reachable else 2), ["skipped: no advisory service is reachable"]
    unknown = [f"{each['name']}: not audited" for each in packages if "vulns" not in each]
    if unknown:
        return (0 if if_reachable else 2), unknown
    return 0, [f"{len(asked)} packages, no known advisory"]


def ask(lock: Path) -> dict[str, Any] | None:
    """Return pip-audit's report about a lock file, or None where it could make none."""
    options = ["--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "10"]
    done = subprocess.run(
        [sys.executable, "-m", "pip_audit", "-r", str(lock), *options, "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None


def main() -> int:
    """Ask, say, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--if-reachable", action="store_true", help="no service is no failure")
    code, lines = judge(ask(LOCK), if_reachable=parser.parse_args().if_reachable)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
