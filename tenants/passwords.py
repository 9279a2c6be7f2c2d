"""How passwords are kept, and which are refused."""

from __future__ import annotations

import hashlib
import logging
import urllib.request
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.exceptions import ValidationError

logger = logging.getLogger(__name__)

ANSWER_S_MAX = 2.0
# A range of the public list has about 1 000 lines of 40 bytes.
ANSWER_BYTES_MAX = 1024 * 1024


class Argon2(Argon2PasswordHasher):
    """Argon2id with the second recommended choice of RFC 9106: 64 MiB, 3 passes, 4 lanes.

    Django's own 100 MiB and 8 lanes would let sixteen sign-ins at once take 1.6 GB.
    """

    time_cost = 3
    memory_cost = 64 * 1024
    parallelism = 4


class BreachedPasswordValidator:
    """Refuse a password that is known from a breach; off until AII_BREACHED_PASSWORDS is set.

    The list is asked by the first five hexadecimal digits of the password's SHA-1
    (k-anonymity), either as a file of that name in a folder, or below an https address. A list
    that does not answer refuses nobody: the common passwords are refused without it.
    """

    def validate(self, password: str, user: object = None) -> None:
        """Raise where the list has the password."""
        if not settings.AII_BREACHED_PASSWORDS:
            return
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            lines = _read_range(settings.AII_BREACHED_PASSWORDS, digest[:5])
        except OSError as problem:
            logger.warning("the list of breached passwords does not answer: %s", problem)
            return
        for line in lines:
            suffix, _, count = line.strip().partition(":")
            # A count of 0 is padding.
            if suffix.upper() == digest[5:] and count != "0":
                raise ValidationError(
                    "This password is known from a breach. Choose another.", code="breached"
                )

    def get_help_text(self) -> str:
        """Return the rule in words."""
        return "Your password may not be known from a breach."


def _read_range(place: str, prefix: str) -> list[str]:
    if place.startswith("https://"):
        # Padding hides from an eavesdropper how long the answer is.
        question = urllib.request.Request(  # noqa: S310
            f"{place.rstrip('/')}/{prefix}", headers={"Add-Padding": "true"}
        )
        with urllib.request.urlopen(question, timeout=ANSWER_S_MAX) as answer:  # noqa: S310  # nosec B310
            return answer.read(ANSWER_BYTES_MAX).decode("ascii", "replace").splitlines()
    folder = Path(place)
    if not folder.is_dir():
        raise OSError(f"{place} is neither a folder nor an https address")
    for path in (folder / prefix, folder / f"{prefix}.txt"):
        if path.is_file():
            return path.read_text("ascii", "replace").splitlines()
    return []
