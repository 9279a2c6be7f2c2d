"""The key that decrypts sums: a file beside the database, read by the scheduler and commands alone.

``AII_TOTALS_KEY_FILE`` names it; otherwise it is ``keys/totals.json`` of the home and is made when
first needed. A lost key loses no data: the next round begins anew under another.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from pathlib import Path

from django.conf import settings

from conservation.paillier import PrivateKey, Refused, generate_key, read_private_key
from conservation.paillier import write_private_key as as_values
from tenants.errors import Conflict, Unavailable

MAY_DECRYPT = ("scheduler", "command")


class KeyUnusable(Unavailable):
    """There is no key for the totals, or it must not be used here."""

    code = "totals_key_unusable"


class KeyExists(Conflict):
    """A file of that name is there already."""

    code = "totals_key_exists"


def load_key() -> PrivateKey:
    """Return the private key; raise ``KeyUnusable``, also in a process that has no business with
    it.
    """
    if settings.AII_PROCESS not in MAY_DECRYPT:
        raise KeyUnusable(f"A {settings.AII_PROCESS} process does not decrypt totals.")
    named = settings.AII_TOTALS_KEY_FILE
    path = Path(named) if named else settings.AII_HOME / "keys" / "totals.json"
    if not named and not path.exists():
        # Another process may be faster: then its key is the one.
        with contextlib.suppress(KeyExists):
            make_key(path)
    return _read(path)


def make_key(path: Path) -> None:
    """Write a new key into a file that is not there yet, readable by its owner alone.

    The file appears whole or not at all. Raises ``KeyExists`` and ``KeyUnusable``.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                json.dump(as_values(generate_key()), file)
                file.flush()
                os.fsync(file.fileno())
            os.link(fresh, path)
        finally:
            fresh.unlink()
    except FileExistsError:
        raise KeyExists(f"The file {path} is there already. A key is never replaced.") from None
    except OSError as error:
        raise KeyUnusable(f"The key file {path} cannot be made: {error.strerror}.") from None


def _read(path: Path) -> PrivateKey:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
                raise KeyUnusable(
                    f"The key file {path.name} may be read by others than its owner. "
                    f"Run: chmod 600 {path}"
                )
            text = file.read(8192)
    except OSError as error:
        raise KeyUnusable(f"The key file {path} cannot be read: {error.strerror}.") from None
    try:
        return read_private_key(json.loads(text))
    except (Refused, ValueError):
        # Not quoted: the file holds the secret.
        raise KeyUnusable(f"The key file {path.name} holds no key for totals.") from None
