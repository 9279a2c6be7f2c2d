"""Print the one-time code of a person of the demo, or of all of them."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from tenants.second_factors import demo
from tenants.second_factors.codes import STEP_S, code_at


class Command(BaseCommand):
    """See the module. Asks no database; refuses where there is no demo."""

    help = __doc__
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("email", nargs="?", help="all of them unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the codes that are good now, or say in a sentence why not (exit code 2)."""
        kept = demo.read(settings.AII_HOME) if settings.AII_HAS_DEMO else None
        if kept is None:
            self.stderr.write("There is no demo here.")
            raise SystemExit(2)
        email = options["email"]
        if email is not None and email.lower() not in kept.secrets:
            self.stderr.write(f"{email} is nobody of the demo, or signs in without a code.")
            raise SystemExit(2)
        now_s = time.time()
        for person in [email.lower()] if email else sorted(kept.secrets):
            code = code_at(kept.secrets[person], now_s)
            self.stdout.write(code if email else f"{code}  {person}")
        self.stderr.write(f"The next code comes in {STEP_S - now_s % STEP_S:.0f} s.")
