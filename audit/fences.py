"""Who may touch the log's tables in PostgreSQL: add entries and read, and nothing more.

The tables belong to ``aii_audit``, as which nobody logs in. Where a superuser has run
``audit/fence.sql``, event triggers of his close the tables against ALTER, DROP and DETACH, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DatabaseError, transaction
from psycopg import sql
from psycopg.errors import DuplicateObject, UniqueViolation

from audit.roles import LOG_OWNER, SEQUENCER

ENTRY_COLUMNS = (
    "id, at, kind, action, who_kind, who_id, subject_type, subject_id,"
    " actor, details, actor_digest, details_digest"
)
_TREE = ("audit_leaf", "audit_tile", "audit_head")
_GLOBAL = ("audit_global_leaf", "audit_global_tile", "audit_checkpoint", "audit_anchor")
_FUNCTIONS = ("audit_refuse()", "audit_make_partitions(integer)")
_PUBLIC = "public"


def fence_log(
    cursor: Any, schema: str, *, app: str, writers: Iterable[str], tenants: str = ""
) -> None:
    """Give a schema's log to its owner, and rights to those who write and read it.

    As the owner of the database, in the current transaction; safe to run again. ``writers`` may
    add entries and read them; ``app`` may become the sequencer; ``tenants``, for the shared
    schema, is the role that may read what proves a tenant's heads.
    """
    cursor.execute("SELECT current_user")
    migrator = cursor.fetchone()[0]
    for role in (LOG_OWNER, SEQUENCER):
        ensure_role(cursor, role)
        _run(cursor, "GRANT {} TO {} WITH INHERIT FALSE, SET TRUE", role, migrator)
    if app != migrator:
        _run(cursor, "GRANT {} TO {} WITH INHERIT FALSE, SET TRUE", SEQUENCER, app)
    _run(cursor, "GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, LOG_OWNER)
    _run(cursor, "GRANT USAGE ON SCHEMA {} TO {}", schema, SEQUENCER)
    _give_away(cursor, schema, tuple(writers))
    _run(cursor, "SET LOCAL ROLE {}", LOG_OWNER)
    _grant(cursor, schema, {migrator, *writers})
    if schema == _PUBLIC:
        _grant_global(cursor, {migrator, app}, tenants)
    cursor.execute("RESET ROLE")
    cursor.execute("SELECT to_regprocedure('aii_fence.close(text)') IS NOT NULL")
    if cursor.fetchone()[0]:
        cursor.execute("SELECT aii_fence.close(%s)", [schema])


def ensure_role(cursor: Any, role: str) -> None:
    """Make a role that nobody logs in as, where there is none; in the current transaction.

    All databases of a server share its roles. Where another one is making this role, this waits
    for its commit and takes the role as it is.
    """
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    if cursor.fetchone() is not None:
        return
    try:
        with transaction.atomic(using=cursor.db.alias):
            _run(cursor, "CREATE ROLE {} NOLOGIN", role)
    except DatabaseError as problem:
        if not isinstance(problem.__cause__, UniqueViolation | DuplicateObject):
            raise


def _give_away(cursor: Any, schema: str, writers: tuple[str, ...]) -> None:
    cursor.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND c.relname LIKE 'audit\\_%%'"
        " AND pg_get_userbyid(c.relowner) <> %s",
        [schema, LOG_OWNER],
    )
    tables = [row[0] for row in cursor.fetchall()]
    for table in tables:
        # What the schema's defaults granted when the table was made.
        for role in writers:
            _run(cursor, "REVOKE ALL ON {}.{} FROM {}", schema, table, role)
        _run(cursor, "ALTER TABLE {}.{} OWNER TO {}", schema, table, LOG_OWNER)
    if tables:
        for function in _FUNCTIONS:
            _run(cursor, f"ALTER FUNCTION {{}}.{function} OWNER TO {{}}", schema, LOG_OWNER)


def _grant(cursor: Any, schema: str, writers: set[str]) -> None:
    for table in ("audit_entry", *_TREE):
        _run(cursor, "GRANT SELECT ON {}.{} TO {}", schema, table, SEQUENCER)
        for role in writers:
            _run(cursor, "GRANT SELECT ON {}.{} TO {}", schema, table, role)
    for role in writers:
        _run(cursor, f"GRANT INSERT ({ENTRY_COLUMNS}) ON {{}}.audit_entry TO {{}}", schema, role)
    for table in _TREE:
        _run(cursor, "GRANT INSERT ON {}.{} TO {}", schema, table, SEQUENCER)
    _run(
        cursor,
        "GRANT EXECUTE ON FUNCTION {}.audit_make_partitions(integer) TO {}",
        schema,
        SEQUENCER,
    )


def _grant_global(cursor: Any, readers: set[str], tenants: str) -> None:
    for table in _GLOBAL:
        _run(cursor, "GRANT SELECT, INSERT ON public.{} TO {}", table, SEQUENCER)
        for role in readers:
            _run(cursor, "GRANT SELECT ON public.{} TO {}", table, role)
    # Hashes and sizes of the whole, never how much another tenant does.
    _run(cursor, "GRANT SELECT (index, hash) ON public.audit_global_leaf TO {}", tenants)
    for table in ("audit_global_tile", "audit_checkpoint", "audit_anchor"):
        _run(cursor, "GRANT SELECT ON public.{} TO {}", table, tenants)


def _run(cursor: Any, statement: str, *names: str) -> None:
    cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
