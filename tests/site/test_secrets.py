"""Secrets come from the environment or from files, never from both; the containers use files."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import sys

import pytest
from django.conf import settings

from aii_site.environment import BadSetting, is_given, read_secret

ROOT = settings.BASE_DIR
NAMES = ("SECRET_KEY", "DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL")


@pytest.fixture
def environment(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_comes_from_the_environment_or_from_a_file(name, environment, tmp_path):
    assert (read_secret(name), is_given(name)) == ("", False)
    (tmp_path / "secret").write_text("from a file\n")
    environment(f"{name}_FILE", str(tmp_path / "secret"))
    assert (read_secret(name), is_given(name)) == ("from a file", True)
    environment(name, "from the environment")
    with pytest.raises(BadSetting, match=f"Set {name} or {name}_FILE, not both"):
        read_secret(name)
    environment(f"{name}_FILE", "")
    assert (read_secret(name), is_given(name)) == ("from the environment", True)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"two\nlines", "one line"),
        (b"a\x00b", "one line"),
        (b"\xff\xfe", "does not hold text"),
        (b"x" * 70_000, "one line"),
    ],
)
def test_a_file_without_a_secret_is_refused_in_a_sentence_without_its_content(
    content, problem, environment, tmp_path
):
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    environment("SECRET_KEY_FILE", str(path))
    with pytest.raises(BadSetting, match=problem) as refused:
        read_secret("SECRET_KEY")
    assert str(path) in str(refused.value)
    assert "two" not in str(refused.value)
    # Nor does the chain of errors carry it into a log.
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def start(**environment: str) -> subprocess.CompletedProcess:
    kept = {name: os.environ[name] for name in ("PATH", "AII_HOME", "NUMBA_CACHE_DIR")}
    code = (
        "from django.conf import settings as s; print(s.SECRET_KEY, s.DATABASES['default']['USER'])"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**kept, "DJANGO_SETTINGS_MODULE": "aii_site.settings.production", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_production_starts_from_files_alone_and_not_without_a_key(tmp_path):
    contents = {
        "SECRET_KEY": "k" * 60,
        "DATABASE_URL": "postgresql://somebody:pass@db:5432/aii",
        "REDIS_URL": "redis://:pass@redis:6379/0",
    }
    files = {}
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        files[f"{name}_FILE"] = str(tmp_path / name)
    found = start(**files)
    assert found.stdout.split() == ["k" * 60, "somebody"], found.stderr
    both = start(**files, REDIS_URL="redis://elsewhere")
    assert both.returncode == 1
    assert "Set REDIS_URL or REDIS_URL_FILE, not both." in both.stderr
    del files["SECRET_KEY_FILE"]
    without = start(**files)
    assert without.returncode == 1
    assert "Set SECRET_KEY or SECRET_KEY_FILE" in without.stderr


def test_no_secret_is_read_around_read_secret():
    direct = re.compile(
        r"(?:environ(?:\.get)?|getenv)[\[(]\s*\"(\w*(?:SECRET|PASSWORD|TOKEN|DATABASE|REDIS)\w*)\""
    )
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for room in ("aii_site", "audit", "business", "monitoring", "simulation", "tenants")
        for path in (ROOT / room).rglob("*.py")
        for name in direct.findall(path.read_text())
        if name != "AII_BREACHED_PASSWORDS"  # The folder of other people's.
    ]
    assert found == []


# --- containers ----------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "secrets"
    subprocess.run(["docker/make-secrets.sh", str(made)], cwd=ROOT, check=True, capture_output=True)
    return made


def test_the_script_makes_each_secret_of_the_containers_once(folder):
    compose = (ROOT / "docker-compose.yml").read_text()
    wanted = set(re.findall(r"\{file: secrets/(\w+)\}", compose))
    assert wanted == {path.name for path in folder.iterdir()}
    # Each is read by somebody, and no secret stands in the file or in .env.
    assert wanted == set(re.findall(r"/run/secrets/(\w+)", compose))
    assert not re.search(r"(PASSWORD|SECRET|KEK|TOKEN): *\$\{", compose)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "kek").stat().st_mode) == 0o400
    assert len(base64.b64decode((folder / "kek").read_text())) == 32
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    passwords = [text for name, text in texts.items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords) == 4
    assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in passwords)
    assert texts["app_password"] in texts["database_url"]
    assert texts["owner_password"] in texts["database_owner_url"]
    assert texts["redis_password"] in texts["redis_url"]
    subprocess.run(
        ["docker/make-secrets.sh", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    assert {path.name: path.read_text() for path in folder.iterdir()} == texts


def test_only_the_migrations_are_given_the_owners_password():
    compose = (ROOT / "docker-compose.yml").read_text()
    services = re.split(r"\n  (?=\w+:\n)", compose.split("\nservices:\n")[1].split("\nvolumes:")[0])
    holders = [s.split(":")[0].strip() for s in services if "database_owner_url" in s]
    assert holders == ["migrate"]


def test_the_image_holds_every_room_and_no_secret():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    rooms = {name.split(".")[0] for name in settings.INSTALLED_APPS}
    rooms = {room for room in rooms if (ROOT / room).is_dir()}
    assert {f"!{room}" for room in rooms} <= set(ignored)
    assert ignored[1] == "*"
    assert not {"!secrets", "!.env", "!.aii", "!docker"} & set(ignored)
