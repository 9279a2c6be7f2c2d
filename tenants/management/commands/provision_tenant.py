"""Create a tenant with its schema, host name and first owner."""

from __future__ import annotations

import getpass
import json
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from tenants import services
from tenants.context import public_context
from tenants.errors import DomainError
from tenants.models import Membership
from tenants.owner import OWNER_ALIAS


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("slug", help="short name: small letters and digits, e.g. acme")
        parser.add_argument("--name", required=True, help='full name, e.g. "Acme Robotics"')
        parser.add_argument("--owner", required=True, metavar="EMAIL", help="the first owner")
        parser.add_argument("--host", help="host name; SLUG.localhost unless given")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Provision, or say in a sentence why not (exit code 2)."""
        who = f"{getpass.getuser()} by manage.py provision_tenant"
        now = timezone.now()
        password = secrets.token_urlsafe(12)
        try:
            with public_context(), transaction.atomic(using=OWNER_ALIAS):
                tenant = services.provision_tenant(
                    slug=options["slug"],
                    name=options["name"],
                    host=options["host"] or f"{options['slug']}.{settings.AII_BASE_HOST}",
                    provisioned_by=who,
                    provisioned_at=now,
                )
                membership = services.add_member(
                    tenant=tenant,
                    email=options["owner"],
                    role=Membership.Role.OWNER,
                    added_by=who,
                    added_at=now,
                    password=password,
                )
        except DomainError as refusal:
            self.stderr.write(str(refusal))
            raise SystemExit(2) from None
        is_new = membership.user.joined_at == now
        answer = {
            "slug": tenant.slug,
            "name": tenant.name,
            "host": options["host"] or f"{tenant.slug}.{settings.AII_BASE_HOST}",
            "owner": membership.user.email,
            # Somebody who has an account keeps their password.
            "password": password if is_new else None,
        }
        if options["json"]:
            self.stdout.write(json.dumps(answer))
            return
        self.stdout.write(f"{tenant.name} is ready at {answer['host']}.")
        how = f"with the password {password}" if is_new else "with their present password"
        self.stdout.write(f"{membership.user.email} signs in {how}.")
