"""What we are made of: the bill of materials, and what is said about known weaknesses."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from django.conf import settings

ROOT = settings.BASE_DIR


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def text() -> str:
    command = [sys.executable, "scripts/sbom.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_bill_of_materials_is_valid_and_the_same_each_time(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    command = [sys.executable, "scripts/sbom.py"]
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text == again


def test_it_lists_each_package_of_the_lock_once_and_no_registry(text):
    sbom = json.loads(text)
    lock = (ROOT / "requirements.production.lock").read_text()
    locked = set(re.findall(r"^([\w.-]+)==", lock, flags=re.MULTILINE))
    listed = [component["name"] for component in sbom["components"]]
    assert len(listed) == len(set(listed))
    # What is left out is for other machines than the container.
    elsewhere = {"colorama", "tzdata", "async-timeout", "u-msgpack-python"}
    assert locked - set(listed) == elsewhere & locked
    assert {"django", "psycopg", "cryptography"} <= set(listed)
    assert all(component["properties"] for component in sbom["components"])
    addresses = set(re.findall(r"https?://[^\"\s]+", text))
    assert addresses == {"http://cyclonedx.org/schema/bom-1.6.schema.json"}


def test_each_package_is_needed_by_somebody(text):
    sbom = json.loads(text)
    needs = {each["ref"]: set(each["dependsOn"]) for each in sbom["dependencies"]}
    references = {component["bom-ref"] for component in sbom["components"]}
    assert references <= set().union(*needs.values())
    own = needs[sbom["metadata"]["component"]["bom-ref"]]
    assert {re.sub(r"@.*", "", each) for each in own} >= {"pkg:pypi/django", "pkg:pypi/celery"}


def test_another_lock_is_another_bill():
    sbom = load("sbom")
    project = {"name": "aii", "version": "1", "description": ""}
    one = "a==1 \\\n    --hash=sha256:00\n    # via aii (pyproject.toml)\n"
    two = one.replace("a==1", "a==2")
    numbers = {sbom.make_sbom(lock, project)["serialNumber"] for lock in (one, two)}
    assert len(numbers) == 2


FINE = {"name": "a", "version": "1", "vulns": []}
WEAK = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.1"]}],
}
UNKNOWN = {"name": "c", "version": "3", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "strict", "lenient", "words"),
    [
        ([FINE], 0, 0, "1 packages, no known advisory"),
        ([FINE, WEAK], 1, 1, "b 2: PYSEC-1, mended in 2.1"),
        # A finding counts, even where not everything could be asked.
        ([UNKNOWN, WEAK], 1, 1, "b 2: PYSEC-1"),
        ([FINE, UNKNOWN], 2, 0, "c: not audited"),
        ([UNKNOWN], 2, 0, "skipped: no advisory service is reachable"),
        (None, 2, 0, "skipped: no advisory service is reachable"),
    ],
)
def test_an_advisory_fails_the_check_and_a_missing_network_does_not(
    packages, strict, lenient, words, monkeypatch
):
    audit = load("audit_packages")
    report = None if packages is None else {"dependencies": packages}
    for if_reachable, wanted in ((False, strict), (True, lenient)):
        code, lines = audit.judge(report, if_reachable=if_reachable)
        assert code == wanted
        assert words in "\n".join(lines)
    monkeypatch.setattr(audit, "ACCEPTED", {"CVE-1": "we do not use that part"})
    assert audit.judge({"dependencies": [FINE, WEAK]}, if_reachable=False)[0] == 0


def test_each_nosec_names_its_test():
    bare = re.compile(r"#\s*nosec(?!:? ?B\d{3})")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for room in ("aii_site", "audit", "business", "conservation", "monitoring", "simulation")
        for path in [*(ROOT / room).rglob("*.py"), *(ROOT / "tenants").rglob("*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bare.search(line)
    ]
    assert found == []
