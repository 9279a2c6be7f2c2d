"""Audit the sums across tenants now, over encrypted totals: ask, add, prove, verify, publish.

For one machine, or between the scheduled rounds: this process asks each tenant in turn and then
decrypts the sums, so whoever runs it holds the key and passes through the tenants' numbers.
Exit code 0 when every law held, 3 when one was violated or is not known to hold, 2 for bad input.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from conservation import verify_totals
from monitoring.totals import rounds, services
from monitoring.totals.keyfile import load_key, make_key
from monitoring.totals.models import Publication
from tenants.context import tenant_context
from tenants.errors import DomainError

FINE = ("CONSERVED", "BOUNDED")


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--output", metavar="FILE", help="write the published round there")
        parser.add_argument("--make-key", metavar="FILE", help="only write a new key into a file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run one round, or make a key."""
        try:
            if options["make_key"]:
                make_key(Path(options["make_key"]))
                return
            publication = self._audit()
            if options["output"]:
                Path(options["output"]).write_text(publication.document)
        except (DomainError, OSError) as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from None
        found = verify_totals.check(verify_totals.load(publication.document.encode()))
        if options["json"]:
            self.stdout.write(json.dumps({**found, "sha256": publication.sha256}))
        else:
            self.stdout.write(verify_totals.tell(found, 0))
        if found["verdict"] not in FINE:
            raise SystemExit(3)

    def _audit(self) -> Publication:
        private = load_key()
        round_, publication = rounds.newest()
        if round_ is None or publication is not None:
            round_ = services.open_round(private=private, opened_at=timezone.now())
        self.stderr.write(f"Round {round_.number}")
        for schema in rounds.list_waiting(round_):
            with tenant_context(schema):
                services.post_totals(number=round_.number, posted_at=timezone.now())
        publication = rounds.publish(round_.number, timezone.now())
        for schema in rounds.list_unopened(publication):
            with tenant_context(schema):
                services.check_openings(number=round_.number, opened_at=timezone.now())
        return publication
