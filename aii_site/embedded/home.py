"""The home of one AII: the folder that holds its data, its secrets and its lock.

Two homes share nothing, so two checkouts run side by side. Limit: one machine, one file system with
``flock``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from audit.encryption.keyring import SETTINGS, home_file, new_key_text

CHECKOUT = Path(__file__).resolve().parents[2]


class ServiceError(Exception):
    """What went wrong and what to do about it, as a sentence for people."""


def default_home() -> Path:
    """Return the folder named by ``AII_HOME``, or ``.aii`` in the checkout."""
    return Path(os.environ.get("AII_HOME") or CHECKOUT / ".aii").expanduser().absolute()


def is_disk_full(error: OSError) -> bool:
    """Tell whether an error means that no room is left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(place: Path) -> ServiceError:
    """Return the sentence for a full disk."""
    return ServiceError(
        f"The disk that holds {place} is full. Free some room, or choose a folder on another disk: "
        "AII_HOME=/path/to/folder."
    )


@contextlib.contextmanager
def file_errors_as_sentences(place: Path) -> Iterator[None]:
    """Turn the operating system's refusals around files into a ``ServiceError``."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            raise disk_full(place) from error
        raise ServiceError(
            f"AII cannot use {error.filename or place}: {error.strerror}. "
            "Choose a folder that you may write to: AII_HOME=/path/to/folder."
        ) from error


class Home:
    """One folder: ``secrets.json``, ``layout.json``, ``runtime.json``, ``lock``, ``logs/``,
    ``keys/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.logs = self.path / "logs"
        self._lock: int | None = None

    def create(self) -> None:
        """Make the folders; as root the home is one that other accounts may pass through.

        PostgreSQL refuses to run as root, so its account has to reach its data. Only a home that is
        new or empty is opened (0711: pass through, not list); the folders above it are never
        touched.
        """
        with file_errors_as_sentences(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if not any(self.path.iterdir()):
                self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            (self.path / "numba").mkdir(exist_ok=True)

    # -- The lock: one set of services per home
    # ----------------------------------------------------------------

    def lock(self, wait_s: float = 0.0) -> None:
        """Take the home for this process, or raise a ``ServiceError`` that names who has it."""
        deadline = time.monotonic() + wait_s
        with file_errors_as_sentences(self.path):
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
                os.close(descriptor)
                raise ServiceError(
                    f"AII already runs in {self.path} ({holder or 'another process'}). "
                    "Stop it first, or run a second one beside it: AII_HOME=/another/folder "
                    "AII_PORT=8001."
                ) from None
        os.ftruncate(descriptor, 0)
        command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:2]])
        os.pwrite(descriptor, f"process {os.getpid()}: {command}".encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        """Give the home back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- Files -------------------------------------------------------------------------------------
    # ------------

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the object in a file of the home, {} where there is none yet."""
        path = self.path / name
        try:
            value = json.loads(path.read_text())
        except FileNotFoundError:
            return {}
        except PermissionError as error:
            raise ServiceError(
                f"AII may not read {path}: the home belongs to another account. Run AII as that "
                "account, "
                "or choose another home: AII_HOME=/path/to/folder."
            ) from error
        except ValueError as error:
            raise ServiceError(f"{path} is damaged: {error}. Put back a copy of it.") from error
        if not isinstance(value, dict):
            raise ServiceError(f"{path} is damaged: not a JSON object. Put back a copy of it.")
        return value

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Replace a file of the home at once, readable by its owner alone."""
        path = self.path / name
        fresh = path.with_suffix(".new")
        with file_errors_as_sentences(path):
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "w") as file:
                json.dump(value, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)

    def remove(self, name: str) -> None:
        """Remove a file of the home if it is there."""
        with contextlib.suppress(OSError):
            (self.path / name).unlink()

    def secrets(self, data: Path | None) -> dict[str, str]:
        """Return the passwords and the signing key, made once and kept.

        Raises ``ServiceError`` when there is data but no secrets: new ones would not open it.
        """
        kept = self.read_json("secrets.json")
        if not kept:
            if data is not None:
                raise ServiceError(
                    f"{self.path / 'secrets.json'} is missing, and the database in {data} opens "
                    "with "
                    f"nothing else. Put it back from a copy, or remove {data} to start anew."
                )
            names = ("postgres", "aii_owner", "aii_app", "valkey")
            kept = {f"{name}_password": secrets.token_hex(24) for name in names}
            kept["secret_key"] = secrets.token_urlsafe(64)
            self.write_json("secrets.json", kept)
        return kept

    def ensure_kek(self) -> None:
        """Make the key that wraps the data keys, once, unless the environment names another.

        Raises ``ServiceError`` when the one made earlier is gone: a new one would open nothing.
        """
        if any(os.environ.get(name) for name in SETTINGS):
            return
        file = home_file(self.path)
        was_made = self.read_json("keys.json").get("made", False)
        if not file.path.exists():
            if was_made:
                raise ServiceError(
                    f"{file.path} is missing, and personal content opens with nothing else. Put it "
                    "back from a copy, or name another key: AII_KEK_FILE=/path/to/file."
                )
            with file_errors_as_sentences(file.path):
                file.write(new_key_text() + "\n")
        if not was_made:
            self.write_json("keys.json", {"made": True})


def runtime_environment(home: Path | None = None) -> dict[str, str]:
    """Return the environment of a home whose services run, else {}.

    It names DATABASE_URL, DATABASE_OWNER_URL, REDIS_URL and SECRET_KEY.

    "Run" means: the process that wrote ``runtime.json`` is alive. It may be restarting a service at
    this moment.
    """
    runtime = Home(home or default_home()).read_json("runtime.json")
    try:
        started_s = psutil.Process(runtime["pid"]).create_time()
    except (KeyError, psutil.Error):
        return {}
    # A process number is used again after a while; together with the start time it is not.
    if abs(started_s - runtime["process_started_s"]) > 0.05:
        return {}
    return dict(runtime["environment"])
