"""Runs of scenarios, what they may resume from, and what they ended with. Tenant-owned.

A run's row is the only truth about it: messages and processes may come twice or vanish.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from audit.encryption.fields import EncryptedTextField

if TYPE_CHECKING:
    from simulation.engine import Fault, Request


class BodiesFile(models.Model):
    """Bodies that a person brought: a CSV file as it came, checked then, and never altered.

    Who brought it stands in the audit log.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=80)
    # The name of an engine's system of units, as the file's numbers are meant.
    units = models.CharField(max_length=16)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    bodies = models.PositiveIntegerField()
    uploaded_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-uploaded_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["sha256", "units"], name="bodies_file_kept_once")
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the file's page."""
        return reverse("simulation:bodies_file", args=[self.pk])


class RunQuerySet(models.QuerySet["Run"]):
    """Runs by what state they are in."""

    def active(self) -> RunQuerySet:
        """Return those that wait or compute."""
        return self.filter(state__in=Run.ACTIVE)


class Run(models.Model):
    """One integration of a scenario. Moves QUEUED -> RUNNING -> DONE | VIOLATED | FAILED |
    CANCELLED, never back.

    The one exception: a run whose worker died goes from RUNNING to QUEUED again, at most twice.
    """

    class State(models.TextChoices):
        """Where a run is in its life."""

        QUEUED = "QUEUED", "Queued"
        RUNNING = "RUNNING", "Running"
        DONE = "DONE", "Done"
        VIOLATED = "VIOLATED", "Violated"
        FAILED = "FAILED", "Failed"
        CANCELLED = "CANCELLED", "Cancelled"

    class Phase(models.TextChoices):
        """What a running run does now."""

        INTEGRATE = "INTEGRATE", "Integrate"
        RETRACE = "RETRACE", "Retrace"

    class Proof(models.TextChoices):
        """How far it is proved that no bit was lost, chosen by cost when the run is requested."""

        WHOLE = "WHOLE", "every stretch as it goes, and the whole run at its end"
        STRETCHES = "STRETCHES", "every stretch as it goes"
        SAMPLES = "SAMPLES", "one stretch in ten"
        # An integrator on real numbers rounds in every step, and a collision loses bits: there is
        # no way back to compare.
        NONE = "NONE", "nothing: this run cannot be run backwards bit for bit"

    ACTIVE: ClassVar = (State.QUEUED, State.RUNNING)
    FINAL: ClassVar = (State.DONE, State.VIOLATED, State.FAILED, State.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    scenario = models.CharField(max_length=40)
    # Where the scenario is none on offer: the bodies it starts from, and what the engine made of
    # them (``engine.Scenario.limits``).
    bodies_file = models.ForeignKey(
        BodiesFile, on_delete=models.PROTECT, related_name="runs", null=True
    )
    limits: Any = models.JSONField(null=True)
    bodies = models.PositiveIntegerField()
    dt_tu = models.FloatField()
    steps = models.PositiveBigIntegerField()
    seed = models.PositiveBigIntegerField()
    # Names of the engine; the accuracy is null where the force is exact.
    integrator = models.CharField(max_length=40, default="leapfrog")
    force = models.CharField(max_length=16, default="direct")
    accuracy = models.FloatField(null=True)
    # Null: the scenario's own softening length.
    softening_tu = models.FloatField(null=True)
    # What bodies do that touch, and where space ends. A radius is one length, or one for each body.
    collisions = models.CharField(max_length=16, blank=True)
    radius_tu: Any = models.JSONField(null=True)
    restitution = models.FloatField(null=True)
    boundary = models.CharField(max_length=16, default="open")
    box_tu = models.FloatField(null=True)
    # Processes that share its forces; null: as many as the settings say. No bit depends on it.
    workers = models.PositiveSmallIntegerField(null=True)
    # The keys of engine.Fault; null when the run carries none. The approval says who let it start.
    fault = models.JSONField(null=True)
    approval_id = models.UUIDField(null=True)
    proof = models.CharField(max_length=16, choices=Proof)
    estimate_s = models.FloatField()

    # Passed in, not auto_now_add: a replay keeps its own time. The e-mail stays readable when the
    # person has left the tenant (the row of a former member is not visible here).
    requested_at = models.DateTimeField()
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    requested_by_email = EncryptedTextField(subject="requested_by_id")
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True
    )
    cancel_requested_by_email = EncryptedTextField(subject="cancel_requested_by_id", blank=True)

    state = models.CharField(max_length=16, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=16, choices=Phase, default=Phase.INTEGRATE)
    # When the message that asks for the work was last sent.
    sent_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    # Who computes: each execution has a claim of its own, and writes only while the row holds it.
    claim = models.UUIDField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    resumes = models.PositiveSmallIntegerField(default=0)
    step_done = models.PositiveBigIntegerField(default=0)
    steps_retraced = models.PositiveBigIntegerField(default=0)
    # The account with which monitoring watches this run.
    account_id = models.UUIDField(null=True)
    # Whether the run still has a key in the live state; the sweep takes it away a while after the
    # end.
    is_live = models.BooleanField(default=False)

    failure = models.TextField(blank=True)
    # law, quantity, step, expected, found, error, limit, unit, sentence.
    violation = models.JSONField(null=True)
    # The object that `manage.py simulate --json` prints.
    summary = models.JSONField(null=True)
    wall_s = models.FloatField(null=True)
    digest_start = models.CharField(max_length=64, blank=True)
    digest_end = models.CharField(max_length=64, blank=True)
    digest_reversed = models.CharField(max_length=64, blank=True)
    # Which code and machine computed it.
    provenance = models.JSONField(default=dict)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-requested_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["-requested_at", "-id"], name="run_newest_first"),
            models.Index(
                fields=["state", "heartbeat_at"],
                name="run_active",
                condition=Q(state__in=["QUEUED", "RUNNING"]) | Q(is_live=True),
            ),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(dt_tu__gt=0), name="run_dt_tu_positive"),
            models.CheckConstraint(condition=Q(steps__gt=0), name="run_steps_positive"),
            models.CheckConstraint(condition=Q(bodies__gt=0), name="run_bodies_positive"),
            models.CheckConstraint(
                condition=Q(force="direct", accuracy__isnull=True)
                | ~Q(force="direct") & Q(accuracy__isnull=False, accuracy__gt=0),
                name="run_accuracy_iff_not_exact",
            ),
            models.CheckConstraint(
                condition=Q(bodies_file__isnull=True, limits__isnull=True)
                | Q(bodies_file__isnull=False, limits__isnull=False),
                name="run_limits_iff_own_bodies",
            ),
            models.CheckConstraint(
                condition=Q(softening_tu__isnull=True) | Q(softening_tu__gte=0),
                name="run_softening_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(step_done__lte=F("steps")), name="run_step_done_within_steps"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["QUEUED", "RUNNING"], finished_at__isnull=True)
                | Q(
                    state__in=["DONE", "VIOLATED", "FAILED", "CANCELLED"], finished_at__isnull=False
                ),
                name="run_finished_at_iff_final",
            ),
            models.CheckConstraint(
                condition=~Q(state="RUNNING")
                | Q(claim__isnull=False, heartbeat_at__isnull=False, started_at__isnull=False),
                name="run_running_is_claimed",
            ),
            models.CheckConstraint(
                condition=~Q(state="VIOLATED") | Q(violation__isnull=False),
                name="run_violated_says_what",
            ),
            models.CheckConstraint(
                condition=~Q(state="FAILED") | ~Q(failure=""), name="run_failed_says_why"
            ),
            models.CheckConstraint(
                condition=~Q(state="DONE") | Q(summary__isnull=False), name="run_done_has_summary"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scenario} {str(self.pk)[:8]}"

    def get_absolute_url(self) -> str:
        """Return the run's page."""
        return reverse("simulation:run", args=[self.pk])

    @property
    def short_id(self) -> str:
        """The first eight digits of the id, as people say it."""
        return str(self.pk)[:8]

    @property
    def is_active(self) -> bool:
        """Whether it waits or computes."""
        return self.state in self.ACTIVE

    @property
    def engine_request(self) -> Request:
        """What the engine is asked for."""
        from simulation.engine import Request, scenario_of_limits

        return Request(
            self.scenario,
            self.bodies,
            self.dt_tu,
            self.steps,
            self.seed,
            self.integrator,
            self.force,
            self.accuracy,
            self.softening_tu,
            self.collisions or None,
            self.restitution,
            tuple(self.radius_tu) if isinstance(self.radius_tu, list) else self.radius_tu,
            self.boundary,
            self.box_tu,
            None if self.limits is None else scenario_of_limits(self.limits),
        )

    @property
    def title(self) -> str:
        """The scenario's title; of own bodies their file's name."""
        return self.engine_request.definition.title

    @property
    def engine_fault(self) -> Fault | None:
        """The fault that the run carries, as the engine takes it."""
        from simulation.engine import Fault

        return Fault(**self.fault) if self.fault else None

    @property
    def progress(self) -> float:
        """The part of the steps that is integrated and verified, 0 to 1."""
        return self.step_done / self.steps


class Checkpoint(models.Model):
    """The last stored verified state of a run that is not finished: what a resumed execution starts
    from.
    """

    run = models.OneToOneField(
        Run, on_delete=models.CASCADE, primary_key=True, related_name="checkpoint"
    )
    step = models.PositiveBigIntegerField()
    state = models.BinaryField()
    digest = models.CharField(max_length=64)
    wall_s = models.FloatField()
    saved_at = models.DateTimeField()
    # The bodies as a page draws them (``simulation.frames``): reading the state itself would cost a
    # page all forces.
    frame = models.BinaryField(null=True)
    # As a result's, so far.
    series: Any = models.JSONField(null=True)

    def __str__(self) -> str:
        return f"{self.run_id} at step {self.step}"


class RunResult(models.Model):
    """The last verified state of a finished run, and its series for the plots."""

    run = models.OneToOneField(
        Run, on_delete=models.CASCADE, primary_key=True, related_name="result"
    )
    step = models.PositiveBigIntegerField()
    state = models.BinaryField()
    # As a checkpoint's; null for runs that ended before there were any.
    frame = models.BinaryField(null=True)
    # quantity -> {"step": [...], "time_s": [...], "error": [...], "limit": [...], "unit": ...}; at
    # most 512 points each.
    series: Any = models.JSONField()

    def __str__(self) -> str:
        return f"{self.run_id} at step {self.step}"


class RunsQuota(models.Model):
    """How many runs the tenant may have at once; the newest row holds, the others are its past."""

    active_max = models.PositiveSmallIntegerField()
    granted_at = models.DateTimeField()
    # Says who asked and who granted.
    approval_id = models.UUIDField(unique=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(active_max__gte=1), name="runs_quota_at_least_one")
        ]

    def __str__(self) -> str:
        return f"{self.active_max} runs at once"
