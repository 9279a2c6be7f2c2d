"""What a verification of the log found: an entry, and an alert while it does not verify."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from audit.verification import Report
from monitoring.services.alerts import clear_alert, open_alert
from tenants.context import current_schema
from tenants.journal import Subject, note, process

LOG_KEY = "log-not-verified"


@transaction.atomic
def record_verification(*, report: Report, verified_at: datetime) -> None:
    """Record that the tenant's log was recomputed; open a critical alert where it failed."""
    faults = [log.fault for log in report.logs if log.fault is not None]
    note(
        who=process(),
        action="log.verified" if report.is_good else "log.not_verified",
        subject=Subject("log", current_schema()),
        at=verified_at,
        after=report.to_json(),
    )
    if not faults:
        clear_alert(dedupe_key=LOG_KEY, resolved_at=verified_at, note="The log verifies again.")
        return
    open_alert(
        severity="critical",
        title="The audit log does not verify",
        detail=faults[0].sentence,
        quantity="",
        value=None,
        limit=None,
        unit="",
        dedupe_key=LOG_KEY,
        opened_at=verified_at,
        subject_url="/audit/",
    )
