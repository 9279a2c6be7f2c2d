"""Which account the embedded servers run as, and where that account can reach files.

PostgreSQL refuses to run as root. Rather than adding an account, root borrows one that exists
(``postgres``, else ``nobody``); an ordinary user runs them as itself. Where the home or the
installation lies under a folder that the account may not enter (``/root`` is 0700), a place of its
own below ``/var/lib/aii`` serves: nothing above the home is ever opened up.
"""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from aii_site.embedded.home import ServiceError, file_errors_as_sentences

SHARED_PLACE = Path("/var/lib/aii")


class Account(NamedTuple):
    """An account of the operating system."""

    name: str
    uid: int
    gid: int


def find_account(data: Path | None = None) -> Account | None:
    """Return the account to switch to; None when we are not root.

    That is the owner of existing data, else an unprivileged account.
    """
    if os.geteuid() != 0:
        return None
    if data is not None and data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Account(f"account {owner.st_uid}", owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServiceError(
        "PostgreSQL does not run as root, and this machine has neither an account postgres nor "
        "nobody. "
        "Run AII as an ordinary user."
    )


def can_enter(account: Account | None, folder: Path) -> bool:
    """Try it, as the account: permissions, access lists and mounts all have a say."""
    return _succeeds(account, ["/bin/sh", "-c", 'cd -- "$0"', str(folder)])


def _succeeds(account: Account | None, command: list[str]) -> bool:
    """Tell whether a command runs as the account and exits with 0."""
    try:
        result = subprocess.run(
            command,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return False
    return result.returncode == 0


def choose_place(home: Path, account: Account | None, *, durable: bool) -> Path:
    """Return the folder for the servers' data: the home, or one that the account can reach."""
    if can_enter(account, home):
        return home
    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]
    base = SHARED_PLACE if durable else Path(tempfile.gettempdir())
    return base / f"aii-{name}"


def make_folder(folder: Path, account: Account | None, mode: int = 0o700) -> None:
    """Make a folder that belongs to the account; refuse one that somebody else put there."""
    with file_errors_as_sentences(folder):
        folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        folder.mkdir(mode=mode, exist_ok=True)
        expected_uid = account.uid if account else os.geteuid()
        if folder.is_symlink() or folder.stat().st_uid not in (expected_uid, os.geteuid()):
            raise ServiceError(
                f"{folder} belongs to somebody else. Remove it, or choose another AII_HOME."
            )
        if account:
            os.chown(folder, account.uid, account.gid)
        folder.chmod(mode)


def write_private(path: Path, text: str, account: Account | None) -> None:
    """Write a new file that only the account can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w") as file:
        if account:
            os.fchown(descriptor, account.uid, account.gid)
        file.write(text)


def readable_copy(
    program: Path, parts: list[Path], root: Path, account: Account | None, label: str
) -> Path:
    """Return a path of ``program`` that the account can run.

    Where it cannot run this one, ``parts`` (all below ``root``) are copied to a readable place.
    """
    if _succeeds(account, [str(program), "--version"]):
        return program
    if account is None:
        raise cannot_run(program)
    target = SHARED_PLACE / label
    copied = target / program.relative_to(root)
    if not _succeeds(account, [str(copied), "--version"]):
        with file_errors_as_sentences(target):
            SHARED_PLACE.mkdir(mode=0o711, parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=f"{label}.", dir=SHARED_PLACE))
            for part in parts:
                if part.is_dir():
                    shutil.copytree(part, fresh / part.relative_to(root), symlinks=True)
                else:
                    (fresh / part.relative_to(root)).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(part, fresh / part.relative_to(root))
            _open_for_reading(fresh)
            shutil.rmtree(target, ignore_errors=True)
            fresh.rename(target)
    if not _succeeds(account, [str(copied), "--version"]):
        raise cannot_run(copied)
    return copied


def cannot_run(program: Path) -> ServiceError:
    """Return the sentence for a server that does not start on this machine at all."""
    return ServiceError(
        f"{program.name} does not run on this machine ({platform.platform()}): {program} is "
        "missing or made for "
        "another platform. Set DATABASE_URL and REDIS_URL to use servers of your own."
    )


def _open_for_reading(folder: Path) -> None:
    """Let everybody read our copy, whatever the umask was."""
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
