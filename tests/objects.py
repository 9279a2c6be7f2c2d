"""Objects for the isolation tests: for each route and task that takes an id, how to make what it
names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connection

from tenants.context import tenant_context
from tenants.models import User

Values = dict[str, Any]

# Route template -> function that makes the object in the current tenant and returns the route's
# parameters.
FOR_ROUTE: dict[str, Callable[[User], Values]] = {}
# Task name -> the same, for the task's keyword arguments.
FOR_TASK: dict[str, Callable[[User], Values]] = {}


def fingerprint(schema: str) -> dict[str, str]:
    """Return a hash of every table of a tenant: equal before and after means that nothing was
    written.
    """
    with tenant_context(schema), connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename NOT IN"
            " ('django_migrations', 'django_session')",
            [schema],
        )
        tables = [row[0] for row in cursor.fetchall()]
        prints = {}
        for table in tables:
            rows = f'SELECT t::text AS line FROM "{schema}"."{table}" t'
            cursor.execute(
                f"SELECT md5(coalesce(string_agg(line, chr(10) ORDER BY line), '')) FROM ({rows}) r"
            )
            prints[table] = cursor.fetchone()[0]
    return prints
