"""The key-encryption keys (KEKs): where they come from, and which is the current one.

A key ring is a list of KEKs, the first of them current: it wraps; all of them unwrap. One text
format for every source: keys of 32 bytes in base64, between spaces, commas or new lines. A KEK's id
is a hash of itself, so an id never names two keys. Sources, one at a time:

- ``AII_KEK``: the text itself;
- ``AII_KEK_FILE``: a file with the text, which only its owner may read; read again when it changes;
- ``AII_KEK_COMMAND``: a program that asks a vault (``audit.encryption.kek_command``);
- none of these: the file ``keys/kek`` of the home, as the embedded installation makes it.

No Django here: ``make up`` creates the file before Django starts.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.encryption import envelope
from audit.encryption.errors import KekUnusable

# One of these names the source.
SETTINGS = ("AII_KEK", "AII_KEK_FILE", "AII_KEK_COMMAND")
KEKS_MAX = 8
FILE_BYTES_MAX = 4096
RELOAD_S_MIN = 1.0


class Kek:
    """One KEK. Its bytes are in no attribute, representation or pickle."""

    __slots__ = ("_cipher", "id")

    def __init__(self, key: bytes) -> None:
        self.id = hashlib.sha256(b"AII KEK id\0" + key).hexdigest()[:16]
        self._cipher = AESGCM(key)

    def __repr__(self) -> str:
        return f"<KEK {self.id}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a KEK is not pickled")

    def wrap(self, data_key: bytes, bound_to: bytes) -> bytes:
        """Return a data key under this KEK."""
        return envelope.wrap(self._cipher, data_key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Return a data key that this KEK wrapped."""
        return envelope.unwrap(self._cipher, wrapped, bound_to)


class Keyring:
    """KEKs, the first of them current."""

    def __init__(self, keks: list[Kek]) -> None:
        self.current = keks[0]
        self._by_id = {kek.id: kek for kek in keks}

    @property
    def ids(self) -> list[str]:
        """The ids, the current one first."""
        return list(self._by_id)

    def find(self, kek_id: str) -> Kek | None:
        """Return the KEK with this id, None where the ring has none."""
        return self._by_id.get(kek_id)


def parse_keyring(text: str, source: str) -> Keyring:
    """Return the ring that a text describes; raise ``KekUnusable`` without repeating the text."""
    entries = [entry for entry in re.split(r"[\s,]+", text) if entry]
    if not 1 <= len(entries) <= KEKS_MAX:
        raise KekUnusable(f"{source} holds {len(entries)} keys; 1 to {KEKS_MAX} are needed.")
    keks = [
        Kek(parse_key(entry, f"Key {place} of {source}")) for place, entry in enumerate(entries, 1)
    ]
    if len({kek.id for kek in keks}) < len(keks):
        raise KekUnusable(f"{source} holds a key twice.")
    return Keyring(keks)


def parse_key(text: str, what: str) -> bytes:
    """Return the 32 bytes of one key in base64; raise ``KekUnusable``."""
    with contextlib.suppress(binascii.Error, ValueError):
        key = base64.b64decode(text, validate=True)
        # 32 random bytes with fewer than 8 different values do not happen; typed ones do.
        if len(key) == envelope.KEY_BYTES and len(set(key)) >= 8:
            return key
    raise KekUnusable(f"{what} is not 32 random bytes in base64 (openssl rand -base64 32).")


class Source(Protocol):
    """A place that KEKs come from."""

    def stamp(self) -> Hashable:
        """Return something cheap that differs once the ring may have changed."""

    def load(self) -> Keyring:
        """Return the ring; raise ``KekUnusable``."""


class TextSource:
    """Keys in an environment variable."""

    def __init__(self, text: str) -> None:
        self._text = text

    def stamp(self) -> Hashable:
        """Never changes: the process starts anew with another environment."""
        return None

    def load(self) -> Keyring:
        """Return the ring in the text."""
        return parse_keyring(self._text, "AII_KEK")


class FileSource:
    """Keys in a file that nobody but its owner may read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> Hashable:
        """Return what changes when the file is replaced or written."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns, found.st_size)

    def load(self) -> Keyring:
        """Return the ring in the file."""
        return parse_keyring(self.read(), f"the file {self.path.name}")

    def read(self) -> str:
        """Return the text of the file; raise where others than its owner may read it."""
        try:
            with self.path.open("rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
                    raise KekUnusable(
                        f"The key file {self.path.name} may be read by others than its owner. "
                        f"Run: chmod 600 {self.path}"
                    )
                content = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise KekUnusable(
                f"The key file {self.path} cannot be read: {error.strerror}."
            ) from None
        if len(content) > FILE_BYTES_MAX or not content.isascii():
            raise KekUnusable(f"The key file {self.path.name} does not hold keys in base64.")
        return content.decode("ascii")

    def write(self, text: str) -> None:
        """Replace the file at once, readable by its owner alone."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def new_key_text() -> str:
    """Return a new random key in base64."""
    return base64.b64encode(secrets.token_bytes(envelope.KEY_BYTES)).decode("ascii")


def home_file(home: Path) -> FileSource:
    """Return the key file of a home."""
    return FileSource(home / "keys" / "kek")


def configured_source(environment: Mapping[str, str], home: Path) -> Source:
    """Return the one source that the environment names; raise ``KekUnusable`` for two."""
    names = [name for name in SETTINGS if environment.get(name)]
    if len(names) > 1:
        raise KekUnusable(f"Set {' or '.join(names)}, not both.")
    if names == ["AII_KEK"]:
        return TextSource(environment["AII_KEK"])
    if names == ["AII_KEK_FILE"]:
        return FileSource(Path(environment["AII_KEK_FILE"]))
    if names == ["AII_KEK_COMMAND"]:
        from audit.encryption.kek_command import CommandSource

        return CommandSource.from_environment(environment)
    source = home_file(home)
    if source.stamp() is None:
        raise KekUnusable(
            "No key-encryption key: set AII_KEK_FILE, AII_KEK or AII_KEK_COMMAND "
            "(docs/how-to/rotate-and-destroy-keys.md)."
        )
    return source


class LiveKeyring:
    """The ring of a source, loaded when first needed and again when the source has changed."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._ring: Keyring | None = None
        self._stamp: Hashable = None
        self._loaded_s = 0.0

    def get(self) -> Keyring:
        """Return the ring as it is now."""
        stamp = self.source.stamp()
        with self._lock:
            if self._ring is None or stamp != self._stamp:
                self._load(stamp)
            assert self._ring is not None
            return self._ring

    def find(self, kek_id: str) -> Kek:
        """Return a KEK, looking once more in the source for one that is not known yet."""
        kek = self.get().find(kek_id)
        if kek is None:
            with self._lock:
                if time.monotonic() - self._loaded_s >= RELOAD_S_MIN:
                    self._load(self.source.stamp())
                assert self._ring is not None
                kek = self._ring.find(kek_id)
        if kek is None:
            raise KekUnusable(f"The KEK {kek_id} is not among the configured keys.")
        return kek

    def _load(self, stamp: Hashable) -> None:
        with hidden_frames() as outcome:
            outcome.append(self.source.load())
        self._ring, self._stamp, self._loaded_s = outcome[0], stamp, time.monotonic()


@contextlib.contextmanager
def hidden_frames() -> Iterator[list[Any]]:
    """Raise a ``KekUnusable`` of the block anew, without the frames that hold keys.

    An error page of development shows the variables of every frame.
    """
    outcome: list[Any] = []
    try:
        yield outcome
    except KekUnusable as error:
        refusal = KekUnusable(str(error))
    else:
        return
    raise refusal from None
