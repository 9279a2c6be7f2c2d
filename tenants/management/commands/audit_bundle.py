"""Write the entries of a time and the proof that they are all, as one file for an auditor."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from audit.bundles import NothingSigned, find_window, write_bundle
from audit.signing import KeyUnusable, read_keys
from tenants.context import tenant_context
from tenants.journal import Subject, note, process
from tenants.selectors import list_schemas


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--tenant", required=True, help="whose log")
        parser.add_argument(
            "--from", dest="since", required=True, metavar="A", help="UTC, ISO 8601"
        )
        parser.add_argument("--to", dest="until", required=True, metavar="B", help="UTC")
        parser.add_argument("-o", "--output", required=True, metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write the bundle, or say in a sentence why not (exit code 2)."""
        tenant = options["tenant"]
        since, until = self._time(options["since"]), self._time(options["until"])
        if since >= until:
            self._refuse("The time must begin before it ends.")
        if tenant not in list_schemas():
            self._refuse(f"There is no tenant {tenant!r}.")
        try:
            with tenant_context(tenant), transaction.atomic():
                window = find_window(since, until)
                with Path(options["output"]).open("w", encoding="utf-8") as file:
                    write_bundle(file, read_keys(), window)
                note(
                    who=process(f"{getpass.getuser()} by manage.py audit_bundle"),
                    action="audit.exported",
                    subject=Subject("log", tenant),
                    at=timezone.now(),
                    after={"format": "bundle", "from": since, "to": until, "entries": window.count},
                )
        except (NothingSigned, KeyUnusable, OSError) as refusal:
            self._refuse(str(refusal))
        answer = {
            "file": options["output"],
            "entries": window.count,
            "covered_to": window.covered_to.isoformat(),
        }
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(f"{window.count} entries, covered to {window.covered_to:%F %T} UTC.")

    def _time(self, text: str) -> datetime:
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            self._refuse(f"{text!r} is not a time like 2026-03-01T12:00.")
        return time if time.tzinfo else time.replace(tzinfo=UTC)

    def _refuse(self, sentence: str) -> None:
        self.stderr.write(sentence)
        raise SystemExit(2)
