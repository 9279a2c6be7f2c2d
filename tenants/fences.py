"""The second fence: what each database role may touch, written as SQL that can be run again.

Three kinds of role. The *owner* migrates and provisions and owns every table. The *application*
logs in without inheriting anything (NOINHERIT): by itself it reads the shared tables that are
needed to find a tenant. A *tenant's role* ``t_<schema>`` is entered with SET ROLE for each
tenant's work; it may write its own schema and, of the shared tables, sees through row-level
security only rows of its own tenant.

A process that both owns the tables and serves requests (one DATABASE_URL for all) has no second
fence; ``manage.py check --deploy`` warns of it.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from psycopg import sql

from audit.fences import ensure_role, fence_log
from tenants.members.functions import statements
from tenants.owner import OWNER_ALIAS
from tenants.roles import TENANT_GROUP, tenant_role

# Rows of shared tables that a tenant's role may see. Each condition is true for rows of the own
# tenant only.
_OWN_TENANT = "'t_' || schema_name = current_user"
_TENANT_IS_OWN = (
    "EXISTS (SELECT 1 FROM public.tenants_tenant t"
    " WHERE t.id = {table}.tenant_id AND 't_' || t.schema_name = current_user)"
)
_IS_MEMBER = (
    "EXISTS (SELECT 1 FROM public.tenants_membership m"
    " JOIN public.tenants_tenant t ON t.id = m.tenant_id"
    " WHERE m.user_id = {column} AND 't_' || t.schema_name = current_user)"
)
_IS_A_TENANT = (
    "EXISTS (SELECT 1 FROM public.tenants_tenant t WHERE 't_' || t.schema_name = current_user)"
)
_PARTICIPANT_IS_OWN = (
    "EXISTS (SELECT 1 FROM public.totals_participant p"
    " JOIN public.tenants_tenant t ON t.id = p.tenant_id"
    " WHERE p.id = {table}.participant_id AND 't_' || t.schema_name = current_user)"
)
SHARED_ROWS = {
    "tenants_tenant": _OWN_TENANT,
    "tenants_domain": _TENANT_IS_OWN.format(table="public.tenants_domain"),
    "tenants_membership": _TENANT_IS_OWN.format(table="public.tenants_membership"),
    "tenants_user": _IS_MEMBER.format(column="public.tenants_user.id"),
    "account_emailaddress": _IS_MEMBER.format(column="public.account_emailaddress.user_id"),
    "totals_participant": _TENANT_IS_OWN.format(table="public.totals_participant"),
    "totals_posting": _PARTICIPANT_IS_OWN.format(table="public.totals_posting"),
    "totals_opening": _PARTICIPANT_IS_OWN.format(table="public.totals_opening"),
    # Published for all tenants alike: ciphertexts and pseudonyms.
    "totals_round": _IS_A_TENANT,
    "totals_publication": _IS_A_TENANT,
    "tenants_invitation": _TENANT_IS_OWN.format(table="public.tenants_invitation"),
    "mfa_authenticator": _IS_MEMBER.format(column="public.mfa_authenticator.user_id"),
}
# What a tenant's role may change there: how its members sign in; its answers to the audit across
# tenants, which nobody changes afterwards.
_TENANT_WRITES = {
    "tenants_user": "UPDATE (password, last_login, session_epoch)",
    "tenants_tenant": "UPDATE (second_factor_for_all, single_sign_on_required)",
    "account_emailaddress": "INSERT, UPDATE",
    "totals_posting": "INSERT",
    "totals_opening": "INSERT",
    # Of its own members, through the row policy. Nobody joins this way: a row that a tenant could
    # add for anybody would show it that person's account (tenants/members/functions.py).
    "tenants_membership": "UPDATE (role), DELETE",
    "tenants_invitation": "INSERT, UPDATE (withdrawn_at)",
    "mfa_authenticator": "INSERT, UPDATE, DELETE",
}
# What the application may read before a tenant is known.
_APP_READS = (
    "tenants_tenant",
    "tenants_domain",
    "tenants_membership",
    "totals_participant",
    "totals_round",
    "totals_posting",
    "totals_publication",
    "totals_opening",
)
# What the application writes for the platform itself, and no tenant's role may see.
_APP_WRITES = {
    "encryption_datakey": "SELECT, INSERT, UPDATE",
    "totals_participant": "INSERT",
    "totals_round": "INSERT",
    "totals_publication": "INSERT",
}


def apply_shared_fences() -> None:
    """Grant the shared tables and (re)create their row policies; as the owner, in the current
    transaction.
    """
    app = app_role()
    with connections[OWNER_ALIAS].cursor() as cursor:
        ensure_role(cursor, TENANT_GROUP)
        cursor.execute(
            sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(
                sql.Identifier(TENANT_GROUP), sql.Identifier(app)
            )
        )
        for table in _APP_READS:
            cursor.execute(_format("GRANT SELECT ON public.{} TO {}", table, app))
        for table, condition in SHARED_ROWS.items():
            cursor.execute(_format("GRANT SELECT ON public.{} TO {}", table, TENANT_GROUP))
            cursor.execute(_format("ALTER TABLE public.{} ENABLE ROW LEVEL SECURITY", table))
            for name in ("own_tenant", "platform"):
                cursor.execute(_format("DROP POLICY IF EXISTS {} ON public.{}", name, table))
            cursor.execute(
                sql.SQL("CREATE POLICY own_tenant ON public.{} TO {} USING (").format(
                    sql.Identifier(table), sql.Identifier(TENANT_GROUP)
                )
                + sql.SQL(condition)
                + sql.SQL(")")
            )
        for table in _APP_READS:
            cursor.execute(
                _format("CREATE POLICY platform ON public.{} TO {} USING (true)", table, app)
            )
        for table, rights in _APP_WRITES.items():
            cursor.execute(_format(f"GRANT {rights} ON public.{{}} TO {{}}", table, app))
        for table, rights in _TENANT_WRITES.items():
            cursor.execute(
                sql.SQL("GRANT " + rights + " ON public.{} TO {}").format(
                    sql.Identifier(table), sql.Identifier(TENANT_GROUP)
                )
            )
        for statement in statements(sql.Identifier(app).as_string()):
            # No parameters: psycopg sends it as it is, percent signs included.
            cursor.execute(statement)
        # The platform's own entries come from its processes, never from a tenant's request.
        fence_log(cursor, "public", app=app, writers=(app,), tenants=TENANT_GROUP)


def apply_tenant_fence(schema: str) -> None:
    """Create the tenant's role and grant it its own schema; as the owner, in the current
    transaction.
    """
    role, app = tenant_role(schema), app_role()
    with connections[OWNER_ALIAS].cursor() as cursor:
        ensure_role(cursor, role)
        cursor.execute(_format("GRANT {} TO {}", TENANT_GROUP, role))
        cursor.execute(_format("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE", role, app))
        cursor.execute(_format("GRANT USAGE ON SCHEMA {} TO {}", schema, role))
        for rights, kind in (
            ("SELECT, INSERT, UPDATE, DELETE", "TABLES"),
            ("USAGE, SELECT", "SEQUENCES"),
        ):
            _grant_own(cursor, schema, role, rights, kind)
            # Tables that a later migration adds are granted as they are made.
            cursor.execute(
                _format(
                    f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{}} GRANT {rights} ON {kind} TO {{}}",
                    schema,
                    role,
                )
            )
        cursor.execute(_format("REVOKE ALL ON {}.django_migrations FROM {}", schema, role))
        fence_log(cursor, schema, app=app, writers=(role,))


def _grant_own(cursor: Any, schema: str, role: str, rights: str, kind: str) -> None:
    """Grant rights on what the owner owns in a schema; the log's tables are not among it."""
    cursor.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = ANY(%s) AND pg_has_role(c.relowner, 'USAGE')"
        " AND c.relname NOT LIKE 'audit\\_%%'",
        [schema, ["S"] if kind == "SEQUENCES" else ["r", "p", "v"]],
    )
    for (name,) in cursor.fetchall():
        cursor.execute(
            _format(f"GRANT {rights} ON {kind[:-1]} {{}}.{{}} TO {{}}", schema, name, role)
        )


def app_role() -> str:
    """Return the role that the application logs in as."""
    return str(connections["default"].settings_dict["USER"])


def _format(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*map(sql.Identifier, names))
