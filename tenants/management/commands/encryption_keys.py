"""List the key-encryption keys, what they wrap in each schema, and the erasures."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from audit.encryption.errors import EncryptionError
from tenants import encryption


class Command(BaseCommand):
    """See the module. Shows ids, counts and times; no key."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print; exit code 2 where the keys cannot be read, 3 where a needed KEK is missing."""
        try:
            answer = encryption.describe_keys()
        except EncryptionError as problem:
            self.stderr.write(str(problem))
            raise SystemExit(2) from None
        lost = [kek["id"] for kek in answer["keks"] if not kek["is_configured"]]
        if options["json"]:
            self.stdout.write(json.dumps(answer, cls=DjangoJSONEncoder))
        else:
            for kek in answer["keks"]:
                state = "current" if kek["is_current"] else "old"
                state = state if kek["is_configured"] else "MISSING"
                self.stdout.write(f"KEK {kek['id']} ({state}) wraps {kek['data_keys']} data keys")
            for schema, held in answer["schemas"].items():
                self.stdout.write(f"{schema}: {held['live']} keys, {held['destroyed']} destroyed")
            listed = answer["erasures"]
            self.stdout.write(f"{listed['listed']} erasures listed, {listed['missing']} missing")
        if lost:
            self.stderr.write(f"Not configured, and needed: {', '.join(lost)}.")
            raise SystemExit(3)
