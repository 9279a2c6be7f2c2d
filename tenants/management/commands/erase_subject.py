"""Destroy the key of a subject: what was sealed for them can never be read again."""

from __future__ import annotations

import getpass
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from audit.encryption.errors import EncryptionError
from tenants import encryption
from tenants.errors import DomainError

REASON_LENGTH_MAX = 500


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("subject", help="a pseudonym, e.g. person:<id>")
        parser.add_argument("--reason", required=True, help="why; kept with the tombstone")
        parser.add_argument(
            "--tenant",
            action="append",
            metavar="SCHEMA",
            help="only this tenant (may be given again); else every tenant and the platform",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Erase after a typed confirmation, or say in a sentence why not (exit code 2)."""
        subject, reason = options["subject"], options["reason"].strip()
        try:
            schemas = self._schemas(options["tenant"])
            self._check_reason(reason)
            found = encryption.find_subject(subject, schemas)
            if not found:
                raise encryption.NobodyKnown(f"No tenant has a key of {subject}.")
            self._confirm(subject, list(found), is_sure=options["yes"])
            answer = encryption.erase_subject(
                subject,
                schemas=schemas,
                erased_by=f"{getpass.getuser()} by manage.py erase_subject",
                reason=reason,
                erased_at=timezone.now(),
            )
        except (DomainError, EncryptionError, ValueError) as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from None
        if options["json"]:
            self.stdout.write(json.dumps({"subject": subject, **answer}, cls=DjangoJSONEncoder))
            return
        for schema, outcome in answer["schemas"].items():
            when = "before" if outcome["was_destroyed_before"] else "now"
            self.stdout.write(f"{schema}: destroyed {when}.")

    def _schemas(self, wanted: list[str] | None) -> list[str]:
        known = encryption.list_all_schemas()
        unknown = [schema for schema in wanted or [] if schema not in known]
        if unknown:
            raise ValueError(f"There is no tenant {', '.join(unknown)}.")
        return wanted or known

    def _check_reason(self, reason: str) -> None:
        if not 0 < len(reason) <= REASON_LENGTH_MAX or "\x00" in reason:
            raise ValueError(f"Give a reason of 1 to {REASON_LENGTH_MAX} characters.")

    def _confirm(self, subject: str, schemas: list[str], *, is_sure: bool) -> None:
        if is_sure:
            return
        self.stderr.write(
            f"What was sealed for {subject} in {', '.join(schemas)} will never be readable again."
        )
        self.stderr.write("Type the subject once more to go on:")
        try:
            typed = input()
        except EOFError:
            typed = ""
        if typed.strip() != subject:
            raise ValueError("Nothing was erased: what was typed is not the subject.")
