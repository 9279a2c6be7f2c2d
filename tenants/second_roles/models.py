"""Second roles, those that hold and those that are over. Tenant-owned."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.encryption.fields import EncryptedTextField
from tenants.models import Membership


class SecondRole(models.Model):
    """A role beside a member's own, until a day; an exception where the two conflict."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    user_email = EncryptedTextField(subject="user_id")
    role = models.CharField(max_length=16, choices=Membership.Role)
    # The pairs of the conflict matrix that are held together by it: [[first, second], ...].
    conflicts = models.JSONField(default=list)
    reason = EncryptedTextField(subject="user_id")
    granted_at = models.DateTimeField()
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    granted_by_email = EncryptedTextField(subject="granted_by_id")
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-granted_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(granted_by=F("user")), name="second_role_by_somebody_else"
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("granted_at")), name="second_role_expires_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} until {self.expires_at:%Y-%m-%d}"

    @property
    def is_exception(self) -> bool:
        """Whether it lets duties that conflict be held together."""
        return bool(self.conflicts)

    def is_held(self, at: datetime) -> bool:
        """Whether it has effect."""
        return self.ended_at is None and at < self.expires_at
