"""The tenant that the current code works for, kept in a ContextVar.

A ContextVar follows ``await`` and ``sync_to_async``; the thread's connection does not, which is how
rows of the wrong tenant were read in 150 of 300 trials. Nothing is chosen by default: a query
outside ``tenant_context`` or ``public_context`` raises ``NoTenantChosen`` in place of reading the
public schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

PUBLIC_SCHEMA = "public"


class NoTenantChosen(RuntimeError):
    """A query, task or message was attempted before a tenant was chosen: a bug, never a refusal."""


@dataclass(frozen=True)
class Chosen:
    """A schema, and whether the shared tables are visible beside it (not while it is migrated)."""

    schema: str
    include_public: bool = True


_chosen: ContextVar[Chosen | None] = ContextVar("aii_tenant", default=None)


def chosen() -> Chosen | None:
    """Return what the current context works for, or ``None``."""
    return _chosen.get()


def current_schema() -> str:
    """Return the schema of the current tenant; raise ``NoTenantChosen`` without one, or in
    public.
    """
    state = _chosen.get()
    if state is None or state.schema == PUBLIC_SCHEMA:
        raise NoTenantChosen("this needs a tenant: enter tenant_context(schema) first")
    return state.schema


@contextmanager
def _enter(state: Chosen) -> Iterator[None]:
    token = _chosen.set(state)
    try:
        yield
    finally:
        _chosen.reset(token)


def tenant_context(schema: str, *, include_public: bool = True) -> AbstractContextManager[None]:
    """Work for one tenant inside the ``with`` block."""
    if not schema or schema == PUBLIC_SCHEMA:
        raise NoTenantChosen(f"{schema!r} is not a tenant's schema")
    return _enter(Chosen(schema, include_public))


def public_context() -> AbstractContextManager[None]:
    """Work on the shared tables alone inside the ``with`` block."""
    return _enter(Chosen(PUBLIC_SCHEMA))


def choose(schema: str, *, include_public: bool = True) -> None:
    """Choose without an end: only for django-tenants' own calls and test fixtures."""
    _chosen.set(Chosen(schema, include_public))
