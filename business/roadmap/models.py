"""Phases, their tasks and their exit criteria. One plan for each tenant."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse


class Measure(models.TextChoices):
    """What an exit criterion looks at; ``criteria`` says how it is measured."""

    VERIFIED_RUNS = "VERIFIED_RUNS", "Runs that kept every law"
    BROKEN_RUNS = "BROKEN_RUNS", "Runs that broke a law, drills apart"
    DRILLS_CAUGHT = "DRILLS_CAUGHT", "Fault drills that were caught"
    ACKNOWLEDGED = "ACKNOWLEDGED", "Critical alerts acknowledged within 15 minutes"
    CONTROLS = "CONTROLS", "Controls that passed"
    PEOPLE = "PEOPLE", "People in the tenant"
    OUTSIDE_SYSTEMS = "OUTSIDE_SYSTEMS", "Outside systems that reported a quantity"
    UPTIME = "UPTIME", "Time in service"
    ROI_REALISED = "ROI_REALISED", "Return realised against forecast"


class Phase(models.Model):
    """A stretch of the plan. Whether it is running, late or ready follows from the rest."""

    class Kind(models.TextChoices):
        """The four phases, in order."""

        PROOF = "1_PROOF", "Proof of concept"
        PILOT = "2_PILOT", "Production pilot"
        ROLLOUT = "3_ROLLOUT", "Enterprise roll-out"
        ECOSYSTEM = "4_ECOSYSTEM", "Ecosystem"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=16, choices=Kind, unique=True)
    starts_on = models.DateField()
    ends_on = models.DateField()

    class Meta:
        ordering: ClassVar = ["kind"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_on__gte=F("starts_on")), name="phase_ends_later"
            )
        ]

    def __str__(self) -> str:
        return self.get_kind_display()

    def get_absolute_url(self) -> str:
        """Return its place on the roadmap."""
        return f"{reverse('roadmap:roadmap')}#{self.anchor}"

    @property
    def anchor(self) -> str:
        """The phase as a word, as in ``pilot``."""
        return self.kind.partition("_")[2].lower()


class Task(models.Model):
    """Something that a person does in a phase."""

    class State(models.TextChoices):
        """Where it stands; DONE and DROPPED are closed."""

        TODO = "TODO", "To do"
        DOING = "DOING", "In progress"
        DONE = "DONE", "Done"
        DROPPED = "DROPPED", "Dropped"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=200)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    due_on = models.DateField(null=True)
    state = models.CharField(max_length=16, choices=State, default=State.TODO)
    # The order in which tasks were made.
    position = models.PositiveIntegerField()

    class Meta:
        ordering: ClassVar = ["phase__kind", "position"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(title=""), name="task_has_a_title"),
            models.UniqueConstraint(fields=["phase", "position"], name="task_has_its_place"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left to do."""
        return self.state in (Task.State.DONE, Task.State.DROPPED)


class Criterion(models.Model):
    """What must be measured for a phase to end, and the target."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    phase = models.ForeignKey(Phase, on_delete=models.CASCADE, related_name="criteria")
    measure = models.CharField(max_length=32, choices=Measure)
    # A count, or per cent.
    target = models.PositiveIntegerField()

    class Meta:
        ordering: ClassVar = ["phase__kind", "measure"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["phase", "measure"], name="criterion_once_a_phase")
        ]

    def __str__(self) -> str:
        return f"{self.get_measure_display()}: {self.target}"
