"""Wrap every data key under the current key-encryption key, while everything runs.

Killed in the middle, it goes on where it stopped when it is run again.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.encryption import rotation
from audit.encryption.errors import EncryptionError
from tenants import encryption


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--new-kek", action="store_true", help="first put a new KEK in front of the key file"
        )
        parser.add_argument(
            "--drop-old",
            action="store_true",
            help="at the end take KEKs that wrap nothing out of the key file",
        )
        parser.add_argument("--batch", type=int, default=500, help="keys in one transaction (500)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotate; exit code 2 where the keys cannot be read or changed."""
        if not 1 <= options["batch"] <= 10_000:
            self.stderr.write("A batch has 1 to 10000 keys.")
            raise SystemExit(2)
        try:
            new = rotation.add_kek() if options["new_kek"] else None
            rewrapped = encryption.rewrap_everywhere(
                batch=options["batch"], report=self.stderr.write
            )
            dropped = encryption.drop_old_keks() if options["drop_old"] else []
            left = encryption.describe_keys()
        except EncryptionError as problem:
            self.stderr.write(str(problem))
            raise SystemExit(2) from None
        answer = {
            "current": left["keks"][0]["id"],
            "new": new,
            "rewrapped": sum(rewrapped.values()),
            "schemas": rewrapped,
            "to_rewrap": left["to_rewrap"],
            "dropped": dropped,
        }
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        self.stdout.write(
            f"{answer['rewrapped']} data keys wrapped under {answer['current']}, "
            f"{answer['to_rewrap']} left to do, {len(dropped)} old KEKs dropped."
        )
