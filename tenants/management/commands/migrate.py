"""Bring the shared schema and every tenant's up to date, as the owner; only what is stale is
touched.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.management.commands import migrate as core_migrate
from django.db import connections, transaction

from tenants.context import PUBLIC_SCHEMA, public_context
from tenants.fences import apply_shared_fences, apply_tenant_fence
from tenants.migrations_state import TEMPLATE_SCHEMA, list_stale_schemas, migrate_schema
from tenants.owner import OWNER_ALIAS


class Command(BaseCommand):
    """See the module."""

    help = __doc__
    # makemigrations insists that both commands detect changes alike.
    autodetector = core_migrate.Command.autodetector

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--check", action="store_true", help="only say whether something is stale"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate public first, then the tenants."""
        if OWNER_ALIAS not in connections.settings:
            raise CommandError("Set DATABASE_OWNER_URL: migrations run as the owner of the tables.")
        stale = list_stale_schemas()
        if options["check"]:
            self._print(options, stale)
            if stale:
                raise SystemExit(1)
            return
        if PUBLIC_SCHEMA in stale:
            self._migrate(PUBLIC_SCHEMA)
            stale = list_stale_schemas()
        # Policies follow the code, not only the migrations: cheap, and safe to run again.
        with public_context(), transaction.atomic(using=OWNER_ALIAS):
            apply_shared_fences()
        for schema in stale:
            self._migrate(schema)
            if schema != TEMPLATE_SCHEMA:
                with transaction.atomic(using=OWNER_ALIAS), public_context():
                    apply_tenant_fence(schema)
        self._print(options, stale)

    def _migrate(self, schema: str) -> None:
        self.stderr.write(f"Migrating {schema} …")
        migrate_schema(schema)

    def _print(self, options: dict[str, Any], stale: list[str]) -> None:
        if options["json"]:
            self.stdout.write(json.dumps({"stale": stale}))
        elif not stale:
            self.stderr.write("Every schema is up to date.")
