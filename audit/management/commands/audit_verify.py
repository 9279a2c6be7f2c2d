"""Recompute the whole log from its payloads: exit code 0 when all is as it was, 3 when not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandParser

from audit.anchors import kept_heads
from audit.database import connect, list_logs
from audit.signing import KeyUnusable, read_keys
from audit.verification import LogReport, verify


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--tenant", help="this log alone; all unless given")
        parser.add_argument(
            "--keys", metavar="FILE", help="public keys kept elsewhere (audit_key --json)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify in one snapshot; entries may be added meanwhile."""
        try:
            keys = read_keys(Path(options["keys"]) if options["keys"] else None)
        except KeyUnusable as refusal:
            self._refuse(str(refusal))
        with connect("aii-verify") as connection:
            tenant = options["tenant"]
            if tenant and tenant not in list_logs(connection):
                self._refuse(f"There is no log of a tenant {tenant!r}.")
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            # Read first: a head that is signed meanwhile is not in the snapshot.
            kept = kept_heads()
            with connection.transaction():
                report = verify(connection, keys, tenant=tenant, kept=kept)
        if options["json"]:
            self.stdout.write(json.dumps(report.to_json()))
        else:
            for log in report.logs:
                self.stdout.write(_sentence(log))
        if not report.is_good:
            raise SystemExit(3)

    def _refuse(self, sentence: str) -> None:
        self.stderr.write(sentence)
        raise SystemExit(2)


def _sentence(log: LogReport) -> str:
    if log.fault is None:
        waiting = f"; {log.waiting} wait for their place" if log.waiting else ""
        return f"{log.log}: VERIFIED, {log.entries} leaves, {log.heads} heads{waiting}"
    entry = f" (entry {log.fault.entry_id})" if log.fault.entry_id else ""
    return f"{log.log}: NOT VERIFIED. {log.fault.sentence}{entry}"
