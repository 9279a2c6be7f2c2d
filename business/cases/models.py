"""Business cases, their registers of risks, and the documents that were made. Tenant-owned.

A document is never changed: making one again makes the next version.
"""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from audit.encryption.fields import EncryptedJSONField, EncryptedTextField
from business.scenarios.models import Scenario


class BusinessCase(models.Model):
    """What people decide about a case: its title, scenario and industry, and their words."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200)
    # NULL: the scenario was deleted. What was made from it stays.
    scenario = models.ForeignKey(
        Scenario, null=True, on_delete=models.SET_NULL, related_name="cases"
    )
    # A key of roi.INDUSTRIES; "" for none.
    industry = models.CharField(max_length=32, blank=True)
    latest_number = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField()
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    # author, prepared_for, notes by section.
    words: Any = EncryptedJSONField(subject="changed_by_id", null=True)

    class Meta:
        ordering: ClassVar = ["-changed_at", "pk"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(title=""), name="case_has_a_title")
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        """Return the page of its last version."""
        return reverse("cases:case", args=[self.pk])


class Risk(models.Model):
    """A row of a case's register: judgements from 1 to 5, and what is done about it."""

    case = models.ForeignKey(BusinessCase, on_delete=models.CASCADE, related_name="risks")
    position = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=200)
    likelihood = models.PositiveSmallIntegerField()
    impact = models.PositiveSmallIntegerField()
    mitigation = models.CharField(max_length=500, blank=True)
    judged_at = models.DateTimeField()
    judged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    owner = EncryptedTextField(subject="judged_by_id", blank=True)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["case", "position"], name="case_risk_has_its_row"),
            models.CheckConstraint(condition=~Q(title=""), name="case_risk_has_a_title"),
            models.CheckConstraint(
                condition=Q(likelihood__range=(1, 5), impact__range=(1, 5)),
                name="case_risk_from_one_to_five",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class CaseVersion(models.Model):
    """A document as it was made once, with its digest."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    case = models.ForeignKey(BusinessCase, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    # Document.to_json(): no words of persons in it.
    document = models.JSONField()
    sha256 = models.CharField(max_length=64)
    scenario_number = models.PositiveIntegerField()
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    made_by_email = EncryptedTextField(subject="made_by_id")
    # Document.said.
    said: Any = EncryptedJSONField(subject="made_by_id", null=True)

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["case", "number"], name="case_version_number_once"),
            models.CheckConstraint(condition=Q(number__gte=1), name="case_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.document.get('title', '')}, version {self.number}"

    def get_absolute_url(self) -> str:
        """Return the page of this version."""
        return f"{self.case.get_absolute_url()}?version={self.number}"

    @property
    def is_latest(self) -> bool:
        """Whether nothing was made after it."""
        return self.number == self.case.latest_number
