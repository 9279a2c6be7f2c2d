"""Take every second factor from a person who lost all of them, and end their sessions."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from tenants.errors import DomainError
from tenants.second_factors.services import reset_second_factors


class Command(BaseCommand):
    """See the module. For whoever runs the platform, after they made sure who asks."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("email", help="who signs in with it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reset, or say in a sentence why not (exit code 2)."""
        try:
            count = reset_second_factors(
                email=options["email"],
                reset_by=f"{getpass.getuser()} by manage.py reset_second_factor",
                reset_at=timezone.now(),
            )
        except DomainError as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from None
        self.stdout.write(f"{options['email']} has no second factor now; {count} removed.")
