"""The entries, for pages to filter. Everything is written and proved in SQL (``audit.services``,
``audit.sequencer``): these tables have no row that changes.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Entry(models.Model):
    """One thing that happened. docs/reference/audit-log.md says what each column means."""

    number = models.BigIntegerField(primary_key=True)
    # An xid8, which PostgreSQL sends as text.
    xact = models.TextField()
    inserted_at = models.DateTimeField()
    id = models.UUIDField()
    at = models.DateTimeField()
    kind = models.TextField()
    action = models.TextField()
    who_kind = models.TextField()
    who_id = models.TextField()
    subject_type = models.TextField()
    subject_id = models.TextField()
    actor = models.BinaryField()
    details = models.BinaryField()
    actor_digest = models.BinaryField()
    details_digest = models.BinaryField()

    class Meta:
        managed = False
        db_table = "audit_entry"
        ordering: ClassVar = ["-number"]

    def __str__(self) -> str:
        return f"{self.action} {self.subject_type} {self.subject_id}"
