"""Who took which results away."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from simulation.models import Run
from tenants.journal import Subject, note
from tenants.models import User


@transaction.atomic
def record_download(*, acting_user: User, run: Run, form: str, downloaded_at: datetime) -> None:
    """Record that this person downloads a run's results as ``npz``, ``csv`` or ``json``."""
    note(
        who=acting_user,
        action="run.exported",
        subject=Subject("run", str(run.pk)),
        at=downloaded_at,
        after={"format": form, "step": run.step_done, "digest": run.digest_end},
    )
