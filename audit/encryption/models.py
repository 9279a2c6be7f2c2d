"""Wrapped data keys, apart from the content that they open (docs/decisions/0015)."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class DataKey(models.Model):
    """A subject's key, wrapped under a KEK; once destroyed, a tombstone without it.

    The database refuses to delete a row, to bring a destroyed key back and to give a key to
    another subject (a trigger of the first migration).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # A pseudonym such as person:<uuid>, never a name or an e-mail: tombstones stay.
    subject_id = models.CharField(max_length=128)
    # 1 for the first key; a later one only after a destruction, when somebody asks for it.
    generation = models.PositiveIntegerField(default=1)
    kek_id = models.CharField(max_length=16)
    wrapped = models.BinaryField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    destroyed_at = models.DateTimeField(null=True)
    destroyed_by = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar = [
            # Unique over tombstones, too: two transactions that both found no key make one, and
            # none beside a key that was destroyed meanwhile.
            models.UniqueConstraint(
                fields=["subject_id", "generation"], name="data_key_once_per_generation"
            ),
            models.CheckConstraint(
                condition=Q(destroyed_at=None, wrapped__isnull=False, destroyed_by="")
                | Q(destroyed_at__isnull=False, wrapped=None) & ~Q(destroyed_by=""),
                name="data_key_destroyed_or_wrapped",
            ),
        ]
        indexes: ClassVar = [
            # What is left to wrap anew.
            models.Index(
                fields=["kek_id"], name="data_key_live_by_kek", condition=Q(destroyed_at=None)
            )
        ]

    def __str__(self) -> str:
        return f"key {self.generation} of {self.subject_id}"

    @property
    def is_destroyed(self) -> bool:
        """Whether only the tombstone is left."""
        return self.destroyed_at is not None
