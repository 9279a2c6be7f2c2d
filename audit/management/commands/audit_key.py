"""Print the public keys that verify the log's heads; ``--rotate`` replaces the signing key."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from audit.signing import KeyUnusable, read_keys, rotate_key


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--rotate", action="store_true", help="sign with a new key from now on")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print, after a rotation where one is asked for."""
        try:
            keys = rotate_key(datetime.now(UTC)) if options["rotate"] else read_keys()
        except KeyUnusable as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from None
        described = keys.describe()
        if options["json"]:
            self.stdout.write(json.dumps(described))
            return
        for key in described["keys"]:
            until = f", retired {key['retired_at']}" if key["retired_at"] else ""
            self.stdout.write(f"{key['verifier_key']}  (from {key['made_at']}{until})")
