"""Requests that wait for somebody else, and what became of them. Tenant-owned."""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Func, IntegerField, Q
from django.db.models.lookups import GreaterThan
from django.urls import reverse

from audit.encryption.fields import EncryptedTextField


class ApprovalRequest(models.Model):
    """One act that a person asks for. Moves WAITING -> APPROVED | DECLINED | WITHDRAWN | EXPIRED,
    never back.
    """

    class State(models.TextChoices):
        """Where a request is."""

        WAITING = "WAITING", "Waiting"
        APPROVED = "APPROVED", "Approved"
        DECLINED = "DECLINED", "Declined"
        WITHDRAWN = "WITHDRAWN", "Withdrawn"
        EXPIRED = "EXPIRED", "Expired"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=60)
    # Text, not JSON: the hash is over these very characters.
    parameters_text = models.TextField()
    parameters_sha256 = models.CharField(max_length=64)
    reason = EncryptedTextField(subject="requested_by_id")

    # The e-mails stay readable when the people have left the tenant, until they are erased.
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    requested_by_email = EncryptedTextField(subject="requested_by_id")
    expires_at = models.DateTimeField()

    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    decided_at = models.DateTimeField(null=True)
    # Null when nobody decided: the request expired.
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True
    )
    decided_by_email = EncryptedTextField(subject="decided_by_id", blank=True)
    note = EncryptedTextField(subject="decided_by_id", blank=True)
    # What was done: a label and an address in this tenant.
    outcome_label = models.CharField(max_length=200, blank=True)
    outcome_url = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["-requested_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-requested_at", "-id"], name="approval_newest_first"),
            models.Index(
                fields=["kind", "requested_at"],
                name="approval_waiting",
                condition=Q(state="WAITING"),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state__in=["APPROVED", "DECLINED"])
                | Q(decided_by__isnull=False) & ~Q(decided_by=F("requested_by")),
                name="approval_by_somebody_else",
            ),
            models.CheckConstraint(
                condition=~Q(state="WITHDRAWN") | Q(decided_by=F("requested_by")),
                name="approval_withdrawn_by_who_asked",
            ),
            models.CheckConstraint(
                condition=Q(state="WAITING", decided_at__isnull=True)
                | ~Q(state="WAITING") & Q(decided_at__isnull=False),
                name="approval_decided_at_iff_decided",
            ),
            # Sealed, so the database can only see that something is there.
            models.CheckConstraint(
                condition=GreaterThan(
                    Func(F("reason"), function="octet_length", output_field=IntegerField()), 0
                ),
                name="approval_says_why",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("requested_at")), name="approval_expires_later"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {str(self.pk)[:8]}"

    def get_absolute_url(self) -> str:
        """Return the request's page."""
        return reverse("approvals:request", args=[self.pk])

    @property
    def short_id(self) -> str:
        """The first eight digits of the id, as people say it."""
        return str(self.pk)[:8]

    @property
    def parameters(self) -> dict[str, Any]:
        """What is asked for."""
        return json.loads(self.parameters_text)

    def is_open(self, at: datetime) -> bool:
        """Whether it still can be decided."""
        return self.state == self.State.WAITING and at < self.expires_at


def write_parameters(parameters: dict[str, Any]) -> str:
    """Return parameters as the one text that is kept and hashed."""
    return json.dumps(parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_parameters(kind: str, text: str) -> str:
    """Return the SHA-256 of a kind of act and its parameters."""
    return hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()
