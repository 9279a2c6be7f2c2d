"""The key that signs heads: in a file outside the database, readable by its owner alone.

The file also names the log and keeps the public half of every earlier key, with the time at which
it was retired; a retired private key is gone. Whoever only verifies (pages, bundles, the daily
verification) can do with a second file, which the sequencer writes and which holds nothing
secret: so no other process needs to see the first. Whoever verifies should have the public keys
from elsewhere than the machine that could be lying (``manage.py audit_key``).
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings

from audit.checkpoint import (
    Checkpoint,
    NoteRefused,
    parse_and_verify,
    parse_text,
    signed_text,
    verifier_key,
)


class KeyUnusable(Exception):
    """The key file is missing, or not one of ours; the sentence says what to do."""


@dataclass(frozen=True)
class PublicKey:
    """A key that signs or signed heads."""

    key: Ed25519PublicKey
    made_at: datetime
    retired_at: datetime | None


@dataclass(frozen=True)
class SigningKeys:
    """What the key file says. ``private`` is None where the file holds public keys alone."""

    log: str
    keys: tuple[PublicKey, ...]
    private: Ed25519PrivateKey | None

    def origin(self, schema: str = "") -> str:
        """Return the origin of a schema's heads; without one, of the global tree's."""
        return f"{self.log}/{schema}" if schema else self.log

    def verify(self, note: str, schema: str = "") -> tuple[Checkpoint, datetime]:
        """Return what a head says and when it was made.

        Raises ``NoteRefused`` unless a key of the file signed it while it was in use.
        """
        checkpoint = parse_text(signed_text(note))
        made_at = time_of(checkpoint)
        for public in self.keys:
            if public.retired_at is not None and made_at > public.retired_at:
                continue
            try:
                parse_and_verify(note, public.key, self.origin(schema))
            except NoteRefused:
                continue
            return checkpoint, made_at
        raise NoteRefused("No key of this log signed the head.")

    def describe(self) -> dict[str, Any]:
        """Return what verifiers need; nothing secret."""
        return {
            "log": self.log,
            "keys": [
                {
                    "verifier_key": verifier_key(self.log, each.key),
                    "public": _encode(each.key.public_bytes_raw()),
                    "made_at": each.made_at.isoformat(),
                    "retired_at": each.retired_at and each.retired_at.isoformat(),
                }
                for each in self.keys
            ],
        }


def time_line(made_at: datetime) -> str:
    """Return the line of a head that says when it was made."""
    return f"time {made_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def time_of(checkpoint: Checkpoint) -> datetime:
    """Return when a head was made. Raises ``NoteRefused`` when it does not say."""
    for line in checkpoint.extensions:
        if line.startswith("time "):
            try:
                return datetime.strptime(line[5:], "%Y-%m-%dT%H:%M:%S.%f%z")
            except ValueError:
                break
    raise NoteRefused("The head does not say when it was made.")


def key_path() -> Path:
    """Return where the key file lies."""
    return Path(settings.AII_LOG_KEY_FILE or settings.AII_HOME / "log-key.json")


def public_path() -> Path:
    """Return where the public keys lie, for processes that must not see the signing key."""
    return Path(settings.AII_LOG_PUBLIC_FILE or key_path().with_name("log-keys.json"))


def publish_keys(keys: SigningKeys) -> None:
    """Write the public keys, where they are not what they were."""
    text, path = _text(replace(keys, private=None)), public_path()
    if not path.exists() or path.read_text() != text:
        _replace(path, text, 0o644)


def read_keys(path: Path | None = None) -> SigningKeys:
    """Return what a key file says: this one, or the signing key's, or where that is not to be had
    the public one. Raises ``KeyUnusable``.
    """
    path = path or (key_path() if key_path().exists() else public_path())
    try:
        held = json.loads(path.read_text())
        keys = tuple(
            PublicKey(
                Ed25519PublicKey.from_public_bytes(base64.b64decode(each["public"])),
                datetime.fromisoformat(each["made_at"]),
                each["retired_at"] and datetime.fromisoformat(each["retired_at"]),
            )
            for each in held["keys"]
        )
        secret = held.get("private")
        private = secret and Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret))
        return SigningKeys(held["log"], keys, private or None)
    except FileNotFoundError:
        raise KeyUnusable(f"The log's key file {path} is missing.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KeyUnusable(f"The log's key file {path} cannot be read: {error}") from None


def make_key(log: str, made_at: datetime, path: Path | None = None) -> SigningKeys:
    """Make the first key of a log. Raises ``KeyUnusable`` where there is a file already."""
    path = path or key_path()
    if path.exists():
        raise KeyUnusable(f"{path} exists already: rotate its key in place of making one.")
    return _write(path, log, (), Ed25519PrivateKey.generate(), made_at)


def rotate_key(rotated_at: datetime, path: Path | None = None) -> SigningKeys:
    """Replace the signing key; of the old one the public half stays, the private one is gone."""
    path = path or key_path()
    old = read_keys(path)
    kept = tuple(
        PublicKey(each.key, each.made_at, each.retired_at or rotated_at) for each in old.keys
    )
    return _write(path, old.log, kept, Ed25519PrivateKey.generate(), rotated_at)


def _write(
    path: Path,
    log: str,
    earlier: tuple[PublicKey, ...],
    private: Ed25519PrivateKey,
    made_at: datetime,
) -> SigningKeys:
    keys = SigningKeys(log, (*earlier, PublicKey(private.public_key(), made_at, None)), private)
    _replace(path, _text(keys), 0o600)
    publish_keys(keys)
    return keys


def _text(keys: SigningKeys) -> str:
    rows = [
        {
            "public": _encode(each.key.public_bytes_raw()),
            "made_at": each.made_at.isoformat(),
            "retired_at": each.retired_at and each.retired_at.isoformat(),
        }
        for each in keys.keys
    ]
    secret = {"private": _encode(keys.private.private_bytes_raw())} if keys.private else {}
    return json.dumps({"log": keys.log, **secret, "keys": rows}, indent=1)


def _replace(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
