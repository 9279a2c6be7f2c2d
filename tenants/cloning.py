"""A new tenant's tables as a copy of a template schema, where ``pg_dump`` is at hand.

``manage.py migrate`` keeps the schema ``aii_template`` up to date like a tenant's, without data.
Its dump, with the name replaced, makes the same objects as the migrations do in a fraction of the
time (docs/decisions/0003). Without ``pg_dump``, or when it is older than the server, the migrations
run in its place.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
from functools import cache
from typing import Any

from django.conf import settings
from django.db import connections

from tenants.migrations_state import TEMPLATE_SCHEMA, migrate_schema
from tenants.owner import OWNER_ALIAS

logger = logging.getLogger(__name__)

# Session settings would outlast the replay, and lines for psql are not SQL.
_NOT_OURS = re.compile(r"^(SET |SELECT pg_catalog\.set_config|\\|--|CREATE SCHEMA )")


def fill_schema(schema: str) -> None:
    """Give a new, empty schema every table; as the owner, in the current transaction."""
    dump = _dump_template() if settings.AII_PG_DUMP else None
    if dump is None:
        migrate_schema(schema)
        return
    with connections[OWNER_ALIAS].cursor() as cursor:
        # Without parameters psycopg sends all statements in one message.
        cursor.execute(dump.replace(TEMPLATE_SCHEMA, schema))


@cache
def _dump_template() -> str | None:
    database = settings.DATABASES[OWNER_ALIAS]
    options = ["--schema", TEMPLATE_SCHEMA, "--no-owner", "--no-privileges", "--inserts"]
    done = subprocess.run(
        [str(settings.AII_PG_DUMP), *options, "--rows-per-insert=1000"],
        env=_environment(database),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        logger.warning("pg_dump failed, so migrations run in its place: %s", done.stderr.strip())
        return None
    return "\n".join(line for line in done.stdout.splitlines() if not _NOT_OURS.match(line))


def _environment(database: dict[str, Any]) -> dict[str, str]:
    # The password travels in the environment: a command line is visible to every user of the
    # machine.
    return {
        **os.environ,
        "PGHOST": database["HOST"],
        "PGPORT": database["PORT"],
        "PGUSER": database["USER"],
        "PGPASSWORD": database["PASSWORD"],
        "PGDATABASE": connections[OWNER_ALIAS].settings_dict["NAME"],
        "PGCONNECT_TIMEOUT": "5",
    }
