"""Another limit of runs at once: one person asks for it, another grants it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from simulation.models import RunsQuota
from simulation.quota import RUNS_ACTIVE_LIMIT, get_runs_active_max, lock_quota
from tenants.approvals import services as approvals
from tenants.approvals.kinds import Approved, Kind, Outcome
from tenants.approvals.models import ApprovalRequest
from tenants.errors import Conflict, Invalid
from tenants.journal import Subject, note
from tenants.models import Membership

RUNS_AT_ONCE = "simulation.runs_at_once"


class QuotaOutOfRange(Invalid):
    """The platform has no room for it, or it is no change."""

    code = "quota_out_of_range"


class QuotaChanged(Conflict):
    """Somebody has changed the quota since the request."""

    code = "quota_changed"


def ask_for_quota(
    *, membership: Membership, active_max: int, reason: str, requested_at: datetime
) -> ApprovalRequest:
    """Ask for another limit of runs at once; it holds when somebody else approves.

    Raises ``QuotaOutOfRange``, ``PermissionDenied`` and ``ReasonMissing``.
    """
    was = get_runs_active_max()
    if not 1 <= active_max <= RUNS_ACTIVE_LIMIT:
        raise QuotaOutOfRange(f"Ask for 1 to {RUNS_ACTIVE_LIMIT} runs at once.")
    if active_max == was:
        raise QuotaOutOfRange(f"{was} runs at once is the limit now. Ask for another.")
    return approvals.ask(
        membership=membership,
        kind=RUNS_AT_ONCE,
        parameters={"active_max": active_max, "was": was},
        reason=reason,
        requested_at=requested_at,
    )


def _describe(parameters: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Runs at once", str(parameters["active_max"])),
        ("When it was asked for", str(parameters["was"])),
    ]


def _grant(approved: Approved) -> Outcome:
    lock_quota()
    now, was = get_runs_active_max(), approved.parameters["was"]
    if now != was:
        raise QuotaChanged(f"The limit was {was} when this was asked for and is {now} now.")
    granted = RunsQuota.objects.create(
        active_max=approved.parameters["active_max"],
        granted_at=approved.approved_at,
        approval_id=approved.request_id,
    )
    note(
        who=approved.approved_by,
        action="quota.granted",
        subject=Subject("quota", "runs_at_once"),
        at=approved.approved_at,
        before={"active_max": now},
        after={"active_max": granted.active_max, "approval": approved.request_id},
    )
    return Outcome(f"{granted.active_max} runs at once", "/quotas/")


KIND = Kind(
    name=RUNS_AT_ONCE,
    title="Another limit of runs at once",
    ask="simulation.request_quota",
    approve="simulation.approve_quota",
    describe=_describe,
    execute=_grant,
)
