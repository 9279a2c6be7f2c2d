"""A PostgreSQL backend whose tenant is the context's, fenced twice: by search path and by role.

Before each statement the connection is brought in line with ``tenants.context``: the search path
is set to the tenant's schema and, on the application's alias, the role to the tenant's (``SET ROLE
t_<schema>``), in one round trip and only when the context differs from what this connection last
applied. ``SET`` is transactional, so whatever rolls back, or hands out another raw connection,
forgets what was applied. Statements that would switch unseen are refused (``guard``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db.backends.postgresql.features import DatabaseFeatures as PostgresFeatures
from django.db.utils import DatabaseError
from django.utils.asyncio import async_unsafe
from django.utils.functional import cached_property
from django_tenants.postgresql_backend import base

from tenants.context import PUBLIC_SCHEMA, Chosen, NoTenantChosen, choose, chosen
from tenants.postgresql.guard import refuse_switch
from tenants.roles import tenant_role


class DatabaseFeatures(PostgresFeatures):
    """What PostgreSQL can do, without asking it by making a table, which the application may
    not.
    """

    supports_transactions = True


class DatabaseWrapper(base.DatabaseWrapper):
    """See the module."""

    features_class = DatabaseFeatures

    _applied: Chosen | None = None
    _ready = False
    _setting_search_path: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # django-tenants chooses "public" for every new connection; here nothing is chosen until
        # somebody does.
        self._ready = True
        self.execute_wrappers.append(self._execute_aligned)

    def _execute_aligned(
        self, execute: Any, statement: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Run a statement for the context's tenant, also on a cursor that was made for another."""
        if not self._setting_search_path:
            if self.settings_dict.get("TENANT_ROLES", False):
                refuse_switch(statement)
            self._handle_search_path()
        return execute(statement, params, many, context)

    @property
    def schema_name(self) -> str | None:
        """The schema of the current context."""
        state = chosen()
        return state.schema if state else None

    @schema_name.setter
    def schema_name(self, value: str | None) -> None:
        """Ignore what django-tenants would keep on the connection."""

    @property
    def tenant(self) -> base.FakeTenant | None:
        """The tenant of the current context, as django-tenants expects it."""
        schema = self.schema_name
        return base.FakeTenant(schema_name=schema) if schema else None

    @tenant.setter
    def tenant(self, value: Any) -> None:
        """Ignore what django-tenants would keep on the connection."""

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        """Choose a tenant the django-tenants way; our own code uses ``tenant_context``."""
        if self._ready:
            choose(tenant.schema_name, include_public=include_public)

    def close(self) -> None:
        """Forget what was applied: the next raw connection starts afresh."""
        self._applied = None
        super().close()

    def init_connection_state(self) -> None:
        """Forget what was applied: a pooled connection comes back with somebody else's tenant."""
        self._applied = None
        super().init_connection_state()

    def _commit(self) -> None:
        """Commit; a failed transaction is rolled back in silence, with each ``SET`` in it."""
        status = self.connection.info.transaction_status if self.connection else None
        if status == psycopg.pq.TransactionStatus.INERROR:
            self._applied = None
        super()._commit()

    @async_unsafe
    def rollback(self) -> None:
        """Roll back, which also reverts the ``SET`` of this transaction."""
        self._applied = None
        super().rollback()
        self._applied = None

    @async_unsafe
    def savepoint_rollback(self, sid: str) -> None:
        """Roll back to a savepoint, which also reverts each ``SET`` since."""
        super().savepoint_rollback(sid)
        self._applied = None

    @contextmanager
    def _naming_no_table(self) -> Iterator[None]:
        """Let a statement that touches no table run without a tenant."""
        before, self._setting_search_path = self._setting_search_path, True
        try:
            yield
        finally:
            self._setting_search_path = before

    @cached_property
    def pg_version(self) -> int:
        """The server's version; asked before anybody has chosen a tenant."""
        with self._naming_no_table(), self.temporary_connection():
            return self.connection.info.server_version

    def check_constraints(self, table_names: Any = None) -> None:
        """Check deferred constraints now, whatever the tenant."""
        with self._naming_no_table():
            super().check_constraints(table_names)

    def _savepoint(self, sid: str) -> None:
        with self._naming_no_table():
            super()._savepoint(sid)

    def _savepoint_rollback(self, sid: str) -> None:
        with self._naming_no_table():
            super()._savepoint_rollback(sid)

    def _savepoint_commit(self, sid: str) -> None:
        with self._naming_no_table():
            super()._savepoint_commit(sid)

    def _handle_search_path(self, cursor: Any = None) -> None:
        if self._setting_search_path:
            return
        state = chosen()
        if state is None:
            raise NoTenantChosen(
                "a query needs tenant_context(schema) or public_context() around it"
            )
        if state == self._applied:
            return
        self._setting_search_path = True
        try:
            own = cursor if cursor is not None else self.connection.cursor()
            own.execute(*self._switch_statement(state))
            if cursor is None:
                own.close()
        except (DatabaseError, psycopg.errors.InFailedSqlTransaction) as error:
            self._applied = None
            # In a failed transaction nothing but ROLLBACK runs, whatever the search path; any
            # other failure (no such role, no grant) must stop the query.
            cause = error.__cause__ or error
            if not isinstance(cause, psycopg.errors.InFailedSqlTransaction):
                raise
        else:
            self._applied = state
        finally:
            self._setting_search_path = False

    def _switch_statement(self, state: Chosen) -> tuple[str, list[str]]:
        base._check_schema_name(state.schema)
        path = f'"{state.schema}"'
        if state.include_public and state.schema != PUBLIC_SCHEMA:
            path += f', "{PUBLIC_SCHEMA}"'
        if not self.settings_dict.get("TENANT_ROLES", False):
            return "SELECT set_config('search_path', %s, false)", [path]
        role = "none" if state.schema == PUBLIC_SCHEMA else tenant_role(state.schema)
        return (
            "SELECT set_config('role', %s, false), set_config('search_path', %s, false)",
            [role, path],
        )
