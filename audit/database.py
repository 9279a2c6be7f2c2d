"""A database session of the log itself, across all schemas: the sequencer's and the verifier's.

Outside Django's connections, whose tenant is the context's: names here carry their schema.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.conf import settings

from audit.roles import SEQUENCER

Connection = psycopg.Connection[tuple[Any, ...]]


def connect(application_name: str) -> Connection:
    """Open a session as the sequencer's role: it reads all logs and adds to their trees."""
    database = settings.DATABASES["default"]
    connection = psycopg.connect(
        host=database["HOST"] or None,
        port=database["PORT"] or None,
        user=database["USER"] or None,
        password=database["PASSWORD"] or None,
        dbname=database["NAME"],
        connect_timeout=5,
        application_name=application_name,
        autocommit=True,
    )
    connection.execute(f"SET ROLE {SEQUENCER}")
    return connection


def list_logs(connection: Connection) -> list[str]:
    """Return the schemas that have a log of which this session may read."""
    found = connection.execute(
        "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = 'audit_entry' AND c.relkind = 'p'"
        " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
        " ORDER BY 1"
    )
    return [row[0] for row in found.fetchall()]
