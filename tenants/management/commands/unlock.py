"""Let somebody who is locked out for wrong passwords try again at once."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from tenants import lockout, selectors
from tenants.context import tenant_context
from tenants.journal import Subject, note, process


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("email", help="the name that was tried")
        parser.add_argument("--tenant", required=True, metavar="SLUG", help="on whose host")

    def handle(self, *args: Any, **options: Any) -> None:
        """Unlock, or say in a sentence why not (exit code 2)."""
        if options["tenant"] not in selectors.list_schemas():
            self.stderr.write(f"There is no tenant {options['tenant']!r}.")
            raise SystemExit(2)
        with tenant_context(options["tenant"]), transaction.atomic():
            count = lockout.unlock(options["email"])
            if count:
                note(
                    who=process(f"{getpass.getuser()} by manage.py unlock"),
                    action="sign_in.unlocked",
                    subject=Subject("sign_in", "", options["email"].lower()),
                    at=timezone.now(),
                    after={"attempts_forgotten": count},
                )
        if not count:
            self.stderr.write(f"Nobody tried {options['email']} with a wrong password there.")
            raise SystemExit(2)
        self.stdout.write(f"{options['email']} may sign in again.")
