"""After a restore: destroy again what was destroyed since the backup was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from audit.encryption import erasures
from audit.encryption.errors import EncryptionError
from tenants import encryption


class Command(BaseCommand):
    """See the module. Run it before the restored platform serves anybody."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--list", metavar="FILE", help="AII_ERASURE_LIST unless given")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Replay; exit code 2 where the list cannot be read, 3 where a subject needs a decision."""
        path = Path(options["list"] or encryption.erasure_list())
        try:
            if not path.is_file():
                raise ValueError(f"There is no list of erasures {path}.")
            listed = erasures.read_list(path)
            plan = encryption.plan_replay(listed)
            self._confirm(sum(map(len, plan.values())), is_sure=options["yes"])
            outcome = encryption.replay_erasures(plan, replayed_at=timezone.now())
        except (EncryptionError, ValueError) as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from None
        clashes = sorted({subject for done in outcome.values() for subject in done.clashes})
        answer = {
            "listed": len(listed),
            "destroyed": sum(done.destroyed for done in outcome.values()),
            "known": sum(done.known for done in outcome.values()),
            "tombstones_made": sum(done.tombstones_made for done in outcome.values()),
            "elsewhere": len(listed) - sum(map(len, plan.values())),
            "clashes": clashes,
        }
        if options["json"]:
            self.stdout.write(json.dumps(answer))
        else:
            self.stdout.write(
                f"{answer['destroyed']} destroyed again, {answer['known']} were destroyed already, "
                f"{answer['tombstones_made']} had no key here."
            )
        if clashes:
            self.stderr.write(
                f"Erased before, and under a new key since the restore: {', '.join(clashes)}. "
                "Decide about each with manage.py erase_subject."
            )
            raise SystemExit(3)

    def _confirm(self, count: int, *, is_sure: bool) -> None:
        if is_sure:
            return
        self.stderr.write(f"Up to {count} keys will be destroyed for good. Type ERASE to go on:")
        try:
            typed = input()
        except EOFError:
            typed = ""
        if typed.strip() != "ERASE":
            raise ValueError("Nothing was erased.")
