"""KEKs from a program, for vaults and cloud key services.

``AII_KEK_COMMAND`` is a command line (split as a shell would, run without one) and
``AII_KEK_WRAPPED`` (or ``AII_KEK_WRAPPED_FILE``) the KEKs as the vault wrapped them, the current
one first, between spaces, commas or new lines. For each of them ``COMMAND unwrap`` is run with the
wrapped KEK on standard input; it prints 32 bytes in base64 on standard output and exits with 0.
What it says on standard error is dropped: it may hold a token.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Hashable, Mapping
from pathlib import Path

from audit.encryption.errors import KekUnusable
from audit.encryption.keyring import FILE_BYTES_MAX, KEKS_MAX, Keyring, parse_key, parse_keyring

TIMEOUT_S = 10.0
# How long an unwrapped KEK is used before the vault is asked again: a withdrawn right takes effect
# within this time.
KEEP_S = 300.0


class CommandSource:
    """A program that unwraps KEKs."""

    def __init__(self, arguments: list[str], wrapped: list[str], *, timeout_s: float) -> None:
        self._arguments = arguments
        self._wrapped = wrapped
        self._timeout_s = timeout_s

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> CommandSource:
        """Return what the environment describes; raise ``KekUnusable``."""
        try:
            arguments = shlex.split(environment["AII_KEK_COMMAND"])
        except ValueError:
            raise KekUnusable("AII_KEK_COMMAND has a quote that is not closed.") from None
        wrapped = [entry for entry in re.split(r"[\s,]+", _read_wrapped(environment)) if entry]
        if not arguments or not 1 <= len(wrapped) <= KEKS_MAX:
            raise KekUnusable(
                f"AII_KEK_COMMAND needs AII_KEK_WRAPPED with 1 to {KEKS_MAX} wrapped keys."
            )
        return cls(arguments, wrapped, timeout_s=TIMEOUT_S)

    def stamp(self) -> Hashable:
        """Return another value every ``KEEP_S``."""
        return int(time.monotonic() // KEEP_S)

    def load(self) -> Keyring:
        """Ask the program for each key."""
        return parse_keyring(
            " ".join(self._unwrap(entry) for entry in self._wrapped), "AII_KEK_COMMAND"
        )

    def _unwrap(self, wrapped: str) -> str:
        name = Path(self._arguments[0]).name
        try:
            done = subprocess.run(
                [*self._arguments, "unwrap"],
                input=wrapped.encode() + b"\n",
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            # Without the cause: it carries what the program has printed so far.
            raise KekUnusable(
                f"{name} unwrap did not answer within {self._timeout_s:g} s."
            ) from None
        except OSError as error:
            raise KekUnusable(f"{name} unwrap cannot be run: {error.strerror}.") from None
        if done.returncode:
            raise KekUnusable(f"{name} unwrap failed with exit code {done.returncode}.")
        text = done.stdout[:FILE_BYTES_MAX].decode("ascii", errors="replace").strip()
        parse_key(text, f"What {name} unwrap printed")
        return text


def _read_wrapped(environment: Mapping[str, str]) -> str:
    text, path = environment.get("AII_KEK_WRAPPED", ""), environment.get("AII_KEK_WRAPPED_FILE")
    if text and path:
        raise KekUnusable("Set AII_KEK_WRAPPED or AII_KEK_WRAPPED_FILE, not both.")
    if not path:
        return text
    try:
        return Path(path).read_text(encoding="ascii", errors="strict")
    except (OSError, ValueError):
        raise KekUnusable("The file of AII_KEK_WRAPPED_FILE cannot be read.") from None
