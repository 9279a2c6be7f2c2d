"""Which container sees which key, read from docker-compose.yml; and what works without the keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.conf import settings

from audit.signing import make_key, publish_keys, read_keys, rotate_key

COMPOSE = (settings.BASE_DIR / "docker-compose.yml").read_text()
DOCKERFILE = (settings.BASE_DIR / "Dockerfile").read_text()
HOLDER = {"log-key": "sequencer", "totals-key": "scheduler"}


def services(compose: str) -> dict[str, str]:
    """Return the text of each service, the shared part before those that do not replace it."""
    shared = compose.split("x-aii: &aii\n")[1].split("\n\n")[0]
    parts = compose.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    found = {}
    for name, text in re.findall(r"(?m)^  (\w+):\n((?:(?:    .*)?\n)*)", f"{parts}\n"):
        inherits = "<<: *aii" in text and "    volumes:" not in text
        found[name] = text + (shared if inherits else "")
    return found


def mounts(text: str) -> dict[str, str]:
    return dict(re.findall(r"- ([\w-]+):(/\S+)", text))


def check(compose: str) -> None:
    found = services(compose)
    assert {"web", "worker", "scheduler", "sequencer", "migrate"} <= set(found)
    for volume, holder in HOLDER.items():
        assert [name for name, text in found.items() if volume in mounts(text)] == [holder]
    signer = mounts(found["sequencer"])["log-key"]
    # The file that signs lies in that volume, and nobody else is even told where.
    assert re.findall(r"AII_LOG_KEY_FILE: (\S+)", compose) == [f"{signer}/log-key.json"]
    assert "AII_LOG_KEY_FILE" in found["sequencer"]
    public = re.search(r"AII_LOG_PUBLIC_FILE: (\S+)", compose.split("\nservices:")[0])
    assert public and public[1].startswith(mounts(found["web"])["aii"] + "/")
    assert not public[1].startswith(signer)
    for name, text in found.items():
        if "<<: *aii" in text:
            assert mounts(text)["aii"] == "/var/lib/aii", name
    assert mounts(found["scheduler"])["totals-key"] == "/var/lib/aii/keys"


def test_no_container_sees_a_key_that_is_not_its_own():
    check(COMPOSE)
    # A volume takes its owner from the image's folder.
    owned = DOCKERFILE.split("--owner aii --group aii --mode 0700")[1].split("\n\n")[0].split()
    for folder in ("/var/lib/aii/keys", "/var/lib/aii-log-key"):
        assert folder in owned


@pytest.mark.parametrize(
    ("was", "is_now"),
    [
        ("      - log-key:/var/lib/aii-log-key\n", ""),
        ("/var/lib/aii-log-key/log-key.json", "/var/lib/aii/log-key.json"),
        ("  volumes:\n    - aii:/var/lib/aii\n", "  volumes:\n    - log-key:/x\n"),
        ("      - totals-key:/var/lib/aii/keys\n", ""),
        ("/var/lib/aii/log-keys.json", "/var/lib/aii-log-key/log-keys.json"),
    ],
)
def test_the_check_fails_where_the_separation_is_undone(was, is_now):
    assert was in COMPOSE
    with pytest.raises((AssertionError, KeyError)):
        check(COMPOSE.replace(was, is_now))


@pytest.fixture
def apart(tmp_path, settings):
    """The signing key in one folder, the public keys in another, as in the containers."""
    settings.AII_LOG_KEY_FILE = str(tmp_path / "own" / "log-key.json")
    settings.AII_LOG_PUBLIC_FILE = str(tmp_path / "shared" / "log-keys.json")
    return tmp_path


def test_who_cannot_read_the_signing_key_verifies_with_the_public_file(apart, settings):
    signing = make_key("aii.test/log", datetime(2026, 1, 1, tzinfo=UTC))
    rotated = rotate_key(datetime(2026, 2, 1, tzinfo=UTC))
    assert signing.private and rotated.private

    # A process of another container: the folder is not there, and it is not told of it.
    settings.AII_LOG_KEY_FILE = ""
    settings.AII_HOME = apart / "shared"
    seen = read_keys()
    assert seen.private is None
    assert seen.describe() == rotated.describe() and len(seen.keys) == 2
    for file in (apart / "shared").iterdir():
        assert "private" not in file.read_text()
    # Nothing to write, nothing written.
    written = (apart / "shared" / "log-keys.json").stat().st_mtime_ns
    publish_keys(seen)
    assert (apart / "shared" / "log-keys.json").stat().st_mtime_ns == written
