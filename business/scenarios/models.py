"""Scenarios, their versions, links to versions, long simulations, and what was saved since.
Tenant-owned.

A version is never changed: saving makes the next one.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from audit.encryption.fields import EncryptedTextField


class Scenario(models.Model):
    """One decision under study, under the name of its last version."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=300)
    latest_number = models.PositiveIntegerField(default=1)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(name=""), name="scenario_has_a_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the page of its results."""
        return reverse("scenarios:scenario", args=[self.pk])


class ScenarioVersion(models.Model):
    """The inputs as they were saved once, with what they gave."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    scenario = models.ForeignKey(Scenario, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    # What business.roi.loading reads; numbers are text, so that none is rounded.
    document = models.JSONField()
    inputs_sha256 = models.CharField(max_length=64)
    # value_scenario().to_json() with "simulation", "tornado" and "break_even".
    results = models.JSONField()
    engine_version = models.CharField(max_length=16)
    saved_at = models.DateTimeField()
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    saved_by_email = EncryptedTextField(subject="saved_by_id")
    reason = EncryptedTextField(subject="saved_by_id")

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["scenario", "number"], name="scenario_version_number_once"
            ),
            models.CheckConstraint(condition=Q(number__gte=1), name="scenario_version_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.document.get('name', '')}, version {self.number}"

    def get_absolute_url(self) -> str:
        """Return the page of its results."""
        return f"{self.scenario.get_absolute_url()}?version={self.number}"

    @property
    def is_latest(self) -> bool:
        """Whether nothing was saved after it."""
        return self.number == self.scenario.latest_number


class ShareLink(models.Model):
    """Lets every member of the tenant see one version until it expires or is revoked."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(ScenarioVersion, on_delete=models.CASCADE, related_name="links")
    made_at = models.DateTimeField()
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    made_by_email = EncryptedTextField(subject="made_by_id")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-made_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("made_at")), name="share_link_expires_later"
            ),
        ]

    def __str__(self) -> str:
        return f"link {str(self.pk)[:8]}"

    def get_absolute_url(self) -> str:
        """Return the address to pass on."""
        return reverse("scenarios:shared", args=[self.pk])

    def is_open(self, at: datetime) -> bool:
        """Whether it still shows something."""
        return self.revoked_at is None and at < self.expires_at


class RealisedSaving(models.Model):
    """What somebody says that a change saved in some months, before tax: benefits less running
    costs. Never changed; a correction is another entry that takes its place.

    Month 1 is the first of the scenario's year 1. ``version`` is the forecast it is held to.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(ScenarioVersion, on_delete=models.CASCADE, related_name="realised")
    first_month = models.PositiveSmallIntegerField()
    last_month = models.PositiveSmallIntegerField()
    amount = models.DecimalField(max_digits=20, decimal_places=4)
    corrects = models.OneToOneField(
        "self", null=True, on_delete=models.CASCADE, related_name="correction"
    )
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    recorded_by_email = EncryptedTextField(subject="recorded_by_id")
    source = EncryptedTextField(subject="recorded_by_id")

    class Meta:
        ordering: ClassVar = ["first_month", "recorded_at", "pk"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(first_month__gte=1, last_month__gte=F("first_month")),
                name="realised_months_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.amount} in {self.months}"

    @property
    def months(self) -> str:
        """The months in words."""
        if self.first_month == self.last_month:
            return f"month {self.first_month}"
        return f"months {self.first_month} to {self.last_month}"


class LongSimulation(models.Model):
    """A simulation with more trials than a request waits for. WAITING -> DONE | FAILED.

    The trials and the seed decide the answer, so computing it twice does no harm.
    """

    class State(models.TextChoices):
        """Where it is."""

        WAITING = "WAITING", "Waiting"
        DONE = "DONE", "Done"
        FAILED = "FAILED", "Failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(
        ScenarioVersion, on_delete=models.CASCADE, related_name="simulations"
    )
    trials = models.PositiveIntegerField()
    seed = models.PositiveBigIntegerField()
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    requested_at = models.DateTimeField()
    # The last message; how many there were. A sweep sends another where a worker was lost.
    sent_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=1)
    finished_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
    failure = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-requested_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["version", "trials", "seed"], name="long_simulation_once"
            ),
            models.CheckConstraint(
                condition=~Q(state="DONE") | Q(result__isnull=False),
                name="long_simulation_done_has_result",
            ),
            models.CheckConstraint(
                condition=~Q(state="FAILED") | ~Q(failure=""),
                name="long_simulation_failed_says_why",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.trials} trials, seed {self.seed}"
