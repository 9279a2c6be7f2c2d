"""What a tenant watches: nodes, accounts, observations, samples of each second, alerts."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from audit.encryption.fields import EncryptedTextField
from audit.services import PLATFORM_SUBJECT


class Verdict(models.TextChoices):
    """What was found out about a law (the words of ``conservation.Status``)."""

    CONSERVED = "CONSERVED", "Conserved"
    BOUNDED = "BOUNDED", "Bounded"
    VIOLATED = "VIOLATED", "Violated"
    UNKNOWN = "UNKNOWN", "Unknown"


class Node(models.Model):
    """A process or machine that reports itself: a worker, the web server, the database, the
    host.
    """

    class Kind(models.TextChoices):
        """What it is."""

        WEB = "web", "Web"
        WORKER = "worker", "Worker"
        SCHEDULER = "scheduler", "Scheduler"
        COLLECTOR = "collector", "Collector"
        REPORTER = "reporter", "Reporter"
        SEQUENCER = "sequencer", "Log sequencer"
        DATABASE = "database", "Database"
        REDIS = "redis", "Redis"
        HOST = "host", "Host"

    class State(models.TextChoices):
        """How it fares; UNKNOWN when it has not been seen, LEFT when it said goodbye."""

        OK = "ok", "OK"
        WARNING = "warning", "Warning"
        CRITICAL = "critical", "Critical"
        UNKNOWN = "unknown", "No data"
        LEFT = "left", "Stopped"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=16, choices=Kind)
    state = models.CharField(max_length=16, choices=State, default=State.UNKNOWN)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["kind", "name"]

    def __str__(self) -> str:
        return self.name


class Account(models.Model):
    """Something that holds quantities for a while: a run. Opening is a declared source, closing a
    sink.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=32)
    reference = models.CharField(max_length=64)
    subject_url = models.CharField(max_length=200, blank=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=32, blank=True)

    class Meta:
        ordering: ClassVar = ["opened_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "reference"],
                condition=Q(closed_at=None),
                name="account_open_once_per_reference",
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None) | Q(closed_at__gte=F("opened_at")),
                name="account_closed_after_opened",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Observation(models.Model):
    """One reading of one quantity of an account, judged. Units are SI or bits."""

    observed_at = models.DateTimeField()
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="observations")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="observations")
    quantity = models.CharField(max_length=32)
    unit = models.CharField(max_length=16)
    # NULL: the participant did not answer, or not with a finite number.
    value = models.FloatField(null=True)
    balance = models.FloatField(null=True)
    limit = models.FloatField(null=True)
    law = models.CharField(max_length=16)
    verdict = models.CharField(max_length=16, choices=Verdict)
    latency_ms = models.FloatField(null=True)
    load = models.FloatField(null=True)

    class Meta:
        indexes: ClassVar = [
            # The newest reading of an account's quantity: read each second.
            models.Index(
                F("account"), F("quantity"), F("observed_at").desc(), name="observation_newest"
            ),
            # Latency and events of the last minute, and what is too old to keep.
            models.Index(fields=["observed_at"], name="observation_time"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.value} {self.unit}: {self.verdict}"


class QuantitySample(models.Model):
    """The sum of a quantity over all open accounts at one second; no row where nothing is open."""

    taken_at = models.DateTimeField()
    quantity = models.CharField(max_length=32)
    unit = models.CharField(max_length=16)
    value = models.FloatField(null=True)
    balance = models.FloatField(null=True)
    limit = models.FloatField(null=True)
    verdict = models.CharField(max_length=16, choices=Verdict)
    accounts = models.PositiveIntegerField()

    class Meta:
        constraints: ClassVar = [
            # Also the index of the ten-minute strips.
            models.UniqueConstraint(
                fields=["quantity", "taken_at"], name="quantity_sample_once_a_second"
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} at {self.taken_at}"


class PerformanceSample(models.Model):
    """How the platform performed at one second. NULL where nothing was measured: gaps are gaps."""

    taken_at = models.DateTimeField(unique=True)
    # How long after the full second the collector started.
    lateness_ms = models.FloatField()
    latency_ms_p50 = models.FloatField(null=True)
    latency_ms_p95 = models.FloatField(null=True)
    latency_ms_p99 = models.FloatField(null=True)
    screen_ms_p50 = models.FloatField(null=True)
    screen_ms_p95 = models.FloatField(null=True)
    load_1m = models.FloatField(null=True)
    cpu_percent = models.FloatField(null=True)
    memory_percent = models.FloatField(null=True)
    queue = models.PositiveIntegerField(null=True)
    events_per_s = models.FloatField(null=True)
    clients = models.PositiveIntegerField(null=True)

    def __str__(self) -> str:
        return f"performance at {self.taken_at}"


class ServiceHour(models.Model):
    """How many seconds of an hour the platform was in service; kept for ever, see
    ``nodes.is_in_service``.
    """

    hour = models.DateTimeField(unique=True)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    seconds = models.PositiveSmallIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(seconds__lte=3600), name="service_hour_has_3600_seconds"
            )
        ]

    def __str__(self) -> str:
        return f"{self.seconds} s in service from {self.hour}"


class Alert(models.Model):
    """Something that needs a person: FIRING, then ACKNOWLEDGED, then RESOLVED. Never deleted."""

    class Severity(models.TextChoices):
        """How bad; critical needs action now."""

        CRITICAL = "critical", "Critical"
        WARNING = "warning", "Warning"
        INFO = "info", "Info"

    class State(models.TextChoices):
        """Where it stands; follows from the times."""

        FIRING = "FIRING", "Firing"
        ACKNOWLEDGED = "ACKNOWLEDGED", "Acknowledged"
        RESOLVED = "RESOLVED", "Resolved"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    severity = models.CharField(max_length=16, choices=Severity)
    title = models.CharField(max_length=200)
    detail = models.TextField(blank=True)
    quantity = models.CharField(max_length=32, blank=True)
    value = models.FloatField(null=True, blank=True)
    limit = models.FloatField(null=True, blank=True)
    unit = models.CharField(max_length=16, blank=True)
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.PROTECT, related_name="alerts"
    )
    subject_url = models.CharField(max_length=200, blank=True)
    # What is wrong, in one key: the same trouble does not open a second alert while one is
    # unresolved.
    dedupe_key = models.CharField(max_length=200)
    opened_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    acknowledged_note = EncryptedTextField(subject="acknowledged_by_id", blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    # NULL on a resolved alert: the platform saw the trouble end by itself.
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    resolved_note = EncryptedTextField(
        subject="resolved_by_id", otherwise=PLATFORM_SUBJECT, blank=True
    )

    class Meta:
        ordering: ClassVar = ["-opened_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["dedupe_key"],
                condition=Q(resolved_at=None),
                name="alert_once_while_unresolved",
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_at=None, acknowledged_by=None)
                | Q(acknowledged_at__isnull=False, acknowledged_by__isnull=False),
                name="alert_acknowledged_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(resolved_by=None) | Q(resolved_at__isnull=False),
                name="alert_resolved_at_some_time",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-opened_at"], name="alert_opened")]

    def __str__(self) -> str:
        return self.title

    @property
    def state(self) -> Alert.State:
        """Where it stands."""
        if self.resolved_at is not None:
            return Alert.State.RESOLVED
        return Alert.State.ACKNOWLEDGED if self.acknowledged_at else Alert.State.FIRING


class OwnTotal(models.Model):
    """What this tenant posted to a round of the audit across tenants, in plain, for itself alone.

    ``numbers`` and ``exponents`` open the ciphertexts; ``accounts`` is what each account held, for
    the next round's comparison.
    """

    round_number = models.PositiveIntegerField()
    quantity = models.CharField(max_length=32)
    cut_off_at = models.DateTimeField()
    key_id = models.CharField(max_length=64)
    numbers = models.JSONField()
    exponents = models.JSONField()
    accounts = models.JSONField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["round_number", "quantity"], name="own_total_once_a_round"
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} in round {self.round_number}"
