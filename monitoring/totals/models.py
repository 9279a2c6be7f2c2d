"""Shared tables of the audit across tenants. Rows are added, never changed."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from monitoring.models import Verdict


class Participant(models.Model):
    """A tenant under a pseudonym: published documents name nobody."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.OneToOneField("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    joined_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.id)


class Round(models.Model):
    """One audit: what everybody held at the cut-off, under one key. Open until it is published."""

    number = models.PositiveIntegerField(primary_key=True)
    cut_off_at = models.DateTimeField()
    answer_by = models.DateTimeField()
    # The public key with its proof (``conservation.totals.publish_key``).
    key = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(answer_by__gte=models.F("cut_off_at")),
                name="round_answered_after_its_cut_off",
            )
        ]

    def __str__(self) -> str:
        return f"round {self.number}"


class Posting(models.Model):
    """A participant's ciphertexts of one quantity, in hexadecimal digits; or why it has none."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    round = models.ForeignKey(Round, on_delete=models.PROTECT, related_name="postings")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+")
    quantity = models.CharField(max_length=32)
    now = models.TextField(blank=True)
    # Empty in a participant's first round: nothing to compare with yet.
    before = models.TextField(blank=True)
    flux = models.TextField(blank=True)
    limit = models.TextField(blank=True)
    # Why the total is not known; empty where it is.
    why = models.CharField(max_length=200, blank=True)
    posted_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["round", "participant", "quantity"], name="posting_once_a_round"
            ),
            models.CheckConstraint(
                condition=models.Q(now="") ^ models.Q(why=""), name="posting_known_or_why_not"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.participant_id} in round {self.round_id}"


class Publication(models.Model):
    """What a round came to: the document as it is downloaded, byte for byte."""

    round = models.OneToOneField(Round, primary_key=True, on_delete=models.PROTECT)
    document = models.TextField()
    sha256 = models.CharField(max_length=64)
    verdict = models.CharField(max_length=16, choices=Verdict)
    published_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"round {self.round_id}: {self.verdict}"


class Opening(models.Model):
    """A posting that was drawn and compared with the tenant's own readings; never its number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    posting = models.OneToOneField(Posting, on_delete=models.PROTECT, related_name="opening")
    participant = models.ForeignKey(Participant, on_delete=models.PROTECT, related_name="+")
    agrees = models.BooleanField()
    why = models.CharField(max_length=200, blank=True)
    opened_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.posting}: {'agrees' if self.agrees else 'does not agree'}"
