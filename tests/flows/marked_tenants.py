"""Two tenants whose every free text carries the tenant's own mark, and the search for marks."""

from __future__ import annotations

import gzip
import os
import re
from dataclasses import dataclass, field
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.db import connection, models, transaction
from psycopg import sql

from monitoring import live
from tenants.context import tenant_context
from tenants.journal import Subject, note
from tests import objects
from tests.cast import NOON, PEOPLE, TENANTS, host
from tests.conftest import _person

UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
# Their words mean something to the code, or a digest is taken over them.
WORDS_OF_CODE = {
    *("kind", "parameters_text", "parameters_sha256", "subject_url", "outcome_url"),
    *("digest", "digest_start", "digest_end", "digest_reversed", "session_data"),
}
# The log's rows are sealed and never change: they are marked as they are written.
WRITTEN_BY_SERVICES = ("audit", "audit.encryption")
LENGTH_MIN = 60


def mark(slug: str) -> str:
    return f" of-{slug}-alone"


@dataclass
class Marked:
    """A tenant with its objects: the ids to ask for, and the ids that are its own."""

    slug: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)
    columns: int = 0


def make_marked(slug: str) -> Marked:
    """Fill a tenant through its services, then mark every free text in its schema."""
    marked = Marked(slug)
    person = _person("operator" if slug == "acme" else "consultant")
    with tenant_context(slug):
        made: dict[Any, dict[str, Any]] = {}
        for path, make in objects.FOR_ROUTE.items():
            if make not in made:
                made[make] = make(person)
            marked.values[path] = made[make]
        with transaction.atomic():
            subject = Subject("test", "1", f"Subject{mark(slug)}")
            note(who=person, action="test.done", subject=subject, why=mark(slug), at=NOON)
    _mark_columns(marked)
    live.publish(slug, {f"node:n{mark(slug)}": {"name": mark(slug)}, "perf": {"queue": 1}})
    with tenant_context(slug), connection.cursor() as cursor:
        for model in _models():
            if isinstance(model._meta.pk, models.UUIDField):
                cursor.execute(
                    f'SELECT "{model._meta.pk.column}"::text FROM "{model._meta.db_table}"'
                )
                marked.ids |= {row[0] for row in cursor.fetchall()}
    return marked


def _models() -> list[type[models.Model]]:
    return [
        model
        for model in apps.get_models()
        if apps.get_app_config(model._meta.app_label).name in settings.TENANT_APPS
    ]


def _mark_columns(marked: Marked) -> None:
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as superuser:
        superuser.execute("SET session_replication_role = replica")
        for model in _models():
            if apps.get_app_config(model._meta.app_label).name in WRITTEN_BY_SERVICES:
                continue
            for column in model._meta.concrete_fields:
                if not isinstance(column, models.CharField | models.TextField):
                    continue
                length = column.max_length or 10_000
                if column.choices or length < LENGTH_MIN or column.column in WORDS_OF_CODE:
                    continue
                superuser.execute(
                    sql.SQL("UPDATE {}.{} SET {column} = left({column}, %s) || %s").format(
                        sql.Identifier(marked.slug),
                        sql.Identifier(model._meta.db_table),
                        column=sql.Identifier(column.column),
                    ),
                    [length - 20, mark(marked.slug)],
                )
                marked.columns += 1


def foreign_marks(
    text: str, *, of: list[Marked], may_see: str | None, named: str | None, asked: str = ""
) -> list[str]:
    """Return what of other tenants stands in an answer.

    ``may_see`` is the tenant whose member asks on its own host; ``named`` the tenants whose name
    and host the page may show (a space between); ``asked`` is the address, which may come back.
    """
    for slug in (named or "").split():
        for public in (TENANTS[slug], host(slug)):
            text = re.sub(re.escape(public), "", text, flags=re.IGNORECASE)
    text = text.lower()
    found = []
    for tenant in of:
        if tenant.slug == may_see:
            continue
        if tenant.slug in text:
            at = text.index(tenant.slug)
            found.append(text[max(0, at - 60) : at + 60])
        found += sorted(tenant.ids & set(UUID.findall(text)) - set(UUID.findall(asked)))
    return found


def text_of(response: Any) -> str:
    """Return headers and body, unpacked."""
    body = b"".join(response) if response.streaming else response.content
    if response.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    response.close()
    head = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
    return f"{head}\n{response.cookies.output()}\n{body.decode('utf-8', 'replace')}"


PLACES = {role: {slug for slug, _ in places} for role, (_, places) in PEOPLE.items()}
