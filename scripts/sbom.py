"""Write the software bill of materials (CycloneDX 1.6, JSON) of the production environment.

From the lock file alone, so that the same lock gives the same bytes: packages with their hashes and
who needs them, for CPython 3.11 on Linux as in the container. It names no registry. Limit: it lists
Python packages; the container's system packages are the image's own.

Usage: scripts/sbom.py [FILE]    (standard output without one)
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
import uuid
from pathlib import Path
from typing import Any

from packaging.markers import Marker

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.production.lock"
CONTAINER = {
    "python_version": "3.11",
    "python_full_version": "3.11.9",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "os_name": "posix",
    "platform_machine": "x86_64",
}
_LINE = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+))?")


def read_lock(text: str) -> list[dict[str, Any]]:
    """Return name, version, hashes and who needs it, of each package in the container."""
    packages: list[dict[str, Any]] = []
    wanted = False
    for line in text.splitlines():
        found = _LINE.match(line)
        if found:
            marker = found["marker"]
            wanted = marker is None or Marker(marker.strip()).evaluate(CONTAINER)
            if wanted:
                name, version = found["name"], found["version"]
                packages.append({"name": name, "version": version, "hashes": [], "via": []})
        elif wanted and "--hash=sha256:" in line:
            packages[-1]["hashes"].append(line.split("sha256:")[1].split()[0])
        elif wanted and line.startswith("    #"):
            name = line.removeprefix("    #").removeprefix(" via").strip()
            if name and not name.startswith("-"):
                packages[-1]["via"].append(name)
    return packages


def make_sbom(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """Return the CycloneDX object."""
    packages = read_lock(lock)
    references = {each["name"]: f"pkg:pypi/{each['name']}@{each['version']}" for each in packages}
    own = f"pkg:generic/{project['name']}@{project['version']}"
    needs: dict[str, list[str]] = {reference: [] for reference in (own, *references.values())}
    for each in packages:
        for by in each["via"]:
            needing = own if by.startswith(f"{project['name']} (") else references.get(by)
            if needing is not None:
                needs[needing].append(references[each["name"]])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.UUID(bytes=hashlib.sha256(lock.encode()).digest()[:16], version=4).urn,
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "pre-build"}],
            "component": {
                "type": "application",
                "bom-ref": own,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
            },
            "properties": [
                {"name": "aii:lock:sha256", "value": hashlib.sha256(lock.encode()).hexdigest()}
            ],
        },
        "components": [
            {
                "type": "library",
                "bom-ref": references[each["name"]],
                "name": each["name"],
                "version": each["version"],
                "scope": "required",
                "purl": references[each["name"]],
                # The lock lists every file of a release; the machine decides which is installed.
                "properties": [
                    {"name": "aii:file:sha256", "value": value} for value in each["hashes"]
                ],
            }
            for each in packages
        ],
        "dependencies": [
            {"ref": reference, "dependsOn": sorted(needed)} for reference, needed in needs.items()
        ],
    }


def main() -> None:
    """Write it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = json.dumps(make_sbom(LOCK.read_text(), project), indent=1) + "\n"
    if len(sys.argv) > 1:
        path = Path(sys.argv[1])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
