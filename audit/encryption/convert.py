"""For migrations: plain text columns become sealed ones, and the plain text leaves the disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import migrations

from audit.encryption.fields import EncryptedTextField

BATCH = 500


def seal_columns(app: str, model: str, columns: Mapping[str, EncryptedTextField]) -> list[Any]:
    """Return the operations that replace each text column by the sealed field given for it.

    They cannot be undone: nothing writes sealed content in plain again.
    """
    operations: list[Any] = []
    for name, field in columns.items():
        for_rows = field.clone()
        for_rows.default = ""
        operations += [
            migrations.RenameField(model, name, f"{name}_plain"),
            migrations.AddField(model, name, for_rows, preserve_default=False),
        ]
    return [
        *operations,
        migrations.RunPython(partial(_seal_rows, app, model, list(columns))),
        *[migrations.RemoveField(model, f"{name}_plain") for name in columns],
        migrations.RunPython(partial(rewrite_table, app, model)),
    ]


def _seal_rows(app: str, model: str, names: list[str], apps: Any, schema_editor: Any) -> None:
    alias = schema_editor.connection.alias
    for row in apps.get_model(app, model).objects.using(alias).iterator(chunk_size=BATCH):
        filled = [name for name in names if getattr(row, f"{name}_plain")]
        for name in filled:
            setattr(row, name, getattr(row, f"{name}_plain"))
        if filled:
            row.save(using=alias, update_fields=filled)


def rewrite_table(app: str, model: str, apps: Any, schema_editor: Any) -> None:
    """Write a table anew: a dropped column's bytes stay in its file until then.

    Unlike VACUUM FULL this runs inside the migration's transaction.
    """
    table = schema_editor.quote_name(apps.get_model(app, model)._meta.db_table)
    index = schema_editor.quote_name(f"{apps.get_model(app, model)._meta.db_table}_pkey")
    schema_editor.execute(f"CLUSTER {table} USING {index}")
    schema_editor.execute(f"ALTER TABLE {table} SET WITHOUT CLUSTER")
