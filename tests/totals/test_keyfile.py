"""The file with the key that decrypts: who may read it, and what it may look like."""

from __future__ import annotations

import json
import os
import stat

import pytest

from conservation import paillier
from monitoring.totals import keyfile


@pytest.fixture
def named(settings, tmp_path):
    path = tmp_path / "totals.json"
    keyfile.make_key(path)
    settings.AII_TOTALS_KEY_FILE = str(path)
    return path


def test_a_key_is_made_once_in_the_home_and_read_by_its_owner_alone(settings, tmp_path):
    settings.AII_HOME = tmp_path
    first = keyfile.load_key()
    path = tmp_path / "keys" / "totals.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keyfile.load_key() == first
    assert [each.name for each in path.parent.iterdir()] == ["totals.json"]


@pytest.mark.parametrize("process", ["web", "worker", "collector", "reporter", "anything"])
def test_other_processes_refuse_to_read_it(settings, named, process):
    settings.AII_PROCESS = process
    with pytest.raises(keyfile.KeyUnusable, match="does not decrypt"):
        keyfile.load_key()


def test_the_scheduler_reads_it(settings, named):
    settings.AII_PROCESS = "scheduler"
    assert keyfile.load_key().public.bits == paillier.BITS


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(named, mode):
    os.chmod(named, mode)
    with pytest.raises(keyfile.KeyUnusable, match="chmod 600"):
        keyfile.load_key()


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"p": "7", "q": "b"}'])
def test_a_file_that_holds_no_key_is_refused_and_not_quoted(named, content):
    named.write_bytes(content)
    with pytest.raises(keyfile.KeyUnusable, match="holds no key") as refusal:
        keyfile.load_key()
    assert refusal.value.__cause__ is None


def test_a_named_file_is_never_made_by_itself(settings, tmp_path):
    settings.AII_TOTALS_KEY_FILE = str(tmp_path / "missing.json")
    with pytest.raises(keyfile.KeyUnusable, match="cannot be read"):
        keyfile.load_key()
    assert not list(tmp_path.iterdir())


def test_a_key_is_never_replaced(named):
    before = json.loads(named.read_text())
    with pytest.raises(keyfile.KeyExists):
        keyfile.make_key(named)
    assert json.loads(named.read_text()) == before
    assert [each.name for each in named.parent.iterdir()] == ["totals.json"]
