"""A bundle that the command wrote verifies with one file, alone."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from audit.models import Entry
from audit.signing import read_keys
from tenants.context import tenant_context
from tests.audit.conftest import add_entries

pytestmark = pytest.mark.django_db(transaction=True)
VERIFIER = Path(__file__).resolve().parents[2] / "audit" / "verify_bundle.py"


def write(path: Path, **options) -> dict:
    out = StringIO()
    given = {"tenant": "acme", "since": "2020-01-01", "until": "2100-01-01", **options}
    call_command("audit_bundle", "--json", output=str(path), stdout=out, stderr=StringIO(), **given)
    return json.loads(out.getvalue())


def test_a_bundle_verifies_alone_and_leaves_an_entry(sequencer, tmp_path):
    add_entries("acme", 5)
    add_entries("globex", 2)
    sequencer.round()
    said = write(tmp_path / "bundle.json")
    assert said["entries"] == 5
    key = read_keys().describe()["keys"][0]["verifier_key"]
    done = subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(tmp_path / "bundle.json"), "--key", key],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "VERIFIED" in done.stdout
    with tenant_context("acme"):
        assert Entry.objects.filter(action="audit.exported").count() == 1


@pytest.mark.parametrize(
    "options",
    [{"tenant": "nobody"}, {"since": "yesterday"}, {"since": "2100-01-01", "until": "2020-01-01"}],
)
def test_bad_input_is_refused(sequencer, tmp_path, options):
    with pytest.raises(SystemExit) as ended:
        write(tmp_path / "bundle.json", **options)
    assert ended.value.code == 2
    assert not (tmp_path / "bundle.json").exists()
    with tenant_context("acme"):
        assert not Entry.objects.exists()
