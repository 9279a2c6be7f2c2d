"""Asking, deciding, withdrawing. Each takes the membership of who does it and checks the rules: the
conflict matrix holds at the act, whatever door it came through.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from tenants.approvals.kinds import KINDS, Approved, Kind
from tenants.approvals.models import ApprovalRequest, hash_parameters, write_parameters
from tenants.errors import Conflict, Forbidden, Invalid, NotFound
from tenants.journal import Subject, note, process
from tenants.models import Membership, User
from tenants.permissions import check_permission, has_permission
from tenants.second_roles.use import note_use

State = ApprovalRequest.State
WAITING_MAX = 100
REASON_MAX = 500


class ApprovalUnknown(NotFound):
    """There is no such request in this tenant."""

    code = "approval_unknown"


class ReasonMissing(Invalid):
    """Nobody can decide about what nobody explained."""

    code = "reason_missing"


class TooManyWaiting(Conflict):
    """More requests wait than anybody reads."""

    code = "too_many_waiting"


class NotWaiting(Conflict):
    """It was decided, withdrawn, or nobody decided in time."""

    code = "approval_not_waiting"


class ParametersChanged(Conflict):
    """What would be done is not what was read."""

    code = "approval_parameters_changed"


class RequesterMayNot(Conflict):
    """The person who asked may no longer ask for this."""

    code = "approval_requester_may_not"


class NotYourRequest(Forbidden):
    """Only the person who asked takes a request back."""

    code = "approval_not_yours"


@transaction.atomic
def ask(
    *,
    membership: Membership,
    kind: str,
    parameters: dict[str, Any],
    reason: str,
    requested_at: datetime,
) -> ApprovalRequest:
    """Ask for an act, and return the request that somebody else has to decide.

    Raises ``PermissionDenied``, ``ReasonMissing`` and ``TooManyWaiting``.
    """
    wanted = KINDS[kind]
    check_permission(membership, wanted.ask)
    note_use(membership, wanted.ask, requested_at)
    text = write_parameters(parameters)
    expire_requests(expired_at=requested_at)
    if ApprovalRequest.objects.filter(state=State.WAITING).count() >= WAITING_MAX:
        raise TooManyWaiting(
            f"{WAITING_MAX} requests wait already. Ask an owner to decide, or withdraw one."
        )
    reason = _clean(reason, "Say why you ask.")
    request = ApprovalRequest.objects.create(
        kind=kind,
        parameters_text=text,
        parameters_sha256=hash_parameters(kind, text),
        reason=reason,
        requested_at=requested_at,
        requested_by_id=membership.user_id,
        requested_by_email=membership.user.email,
        expires_at=requested_at + wanted.lifetime,
    )
    note(
        who=membership.user,
        action="approval.requested",
        subject=_subject(request),
        at=requested_at,
        after={"parameters": parameters, "sha256": request.parameters_sha256},
        why=reason,
    )
    return request


@transaction.atomic
def approve(
    *,
    membership: Membership,
    request_id: UUID,
    seen_sha256: str,
    approved_at: datetime,
    note: str = "",
) -> ApprovalRequest:
    """Approve a request and do its act, both or neither.

    ``seen_sha256`` is the hash of what the approver read. Raises ``ApprovalUnknown``,
    ``PermissionDenied``, ``NotWaiting``, ``ParametersChanged``, ``RequesterMayNot``, and whatever
    the act refuses; then the request waits as before. Locks the request's row.
    """
    request, kind = _lock(membership, request_id, approved_at)
    actual = hash_parameters(request.kind, request.parameters_text)
    if not seen_sha256 == actual == request.parameters_sha256:
        raise ParametersChanged("What is asked for is not what you read. Load the page again.")
    asker = (
        Membership.objects.select_related("user")
        .filter(user=request.requested_by_id, tenant=membership.tenant_id, user__is_active=True)
        .first()
    )
    if asker is None or not has_permission(asker, kind.ask):
        raise RequesterMayNot(
            f"{request.requested_by_email} may no longer ask for this. Decline the request."
        )
    outcome = kind.execute(
        Approved(
            request_id=request.pk,
            parameters=request.parameters,
            requested_by=asker.user,
            approved_by=membership.user,
            approved_at=approved_at,
            reason=str(request.reason),
        )
    )
    request.outcome_label, request.outcome_url = outcome.label, outcome.url
    return _settle(request, State.APPROVED, membership.user, approved_at, note[:REASON_MAX])


@transaction.atomic
def decline(
    *, membership: Membership, request_id: UUID, declined_at: datetime, note: str
) -> ApprovalRequest:
    """Decline a request, with the reason. Raises as ``approve`` does, and ``ReasonMissing``."""
    request, _ = _lock(membership, request_id, declined_at)
    note = _clean(note, "Say why you decline.")
    return _settle(request, State.DECLINED, membership.user, declined_at, note)


@transaction.atomic
def withdraw(
    *, membership: Membership, request_id: UUID, withdrawn_at: datetime
) -> ApprovalRequest:
    """Take one's own request back. Raises ``ApprovalUnknown``, ``NotYourRequest``,
    ``NotWaiting``.
    """
    request = _lock_waiting(request_id, withdrawn_at, membership, must_be_own=True)
    return _settle(request, State.WITHDRAWN, membership.user, withdrawn_at, "")


def expire_requests(*, expired_at: datetime) -> int:
    """Close what nobody decided in time; return how many."""
    late = ApprovalRequest.objects.select_for_update(skip_locked=True).filter(
        state=State.WAITING, expires_at__lte=expired_at
    )
    with transaction.atomic():
        requests = list(late)
        for request in requests:
            request.state, request.decided_at = State.EXPIRED, expired_at
            request.save(update_fields=["state", "decided_at"])
            note(
                who=process(),
                action="approval.expired",
                subject=_subject(request),
                at=expired_at,
                before={"state": State.WAITING},
                after={"state": State.EXPIRED},
            )
    return len(requests)


def _lock(membership: Membership, request_id: UUID, at: datetime) -> tuple[ApprovalRequest, Kind]:
    request = _lock_waiting(request_id, at, membership)
    return request, KINDS[request.kind]


def _lock_waiting(
    request_id: UUID, at: datetime, membership: Membership, *, must_be_own: bool = False
) -> ApprovalRequest:
    request = ApprovalRequest.objects.select_for_update().filter(pk=request_id).first()
    if request is None:
        raise ApprovalUnknown("There is no such request here.")
    if not must_be_own:
        check_permission(membership, KINDS[request.kind].approve, request)
    elif request.requested_by_id != membership.user_id:
        raise NotYourRequest("Somebody else asked for this. Only they can take it back.")
    if not request.is_open(at):
        was = "expired" if request.state == State.WAITING else request.get_state_display().lower()
        raise NotWaiting(f"Request {request.short_id} is {was} already.")
    if not must_be_own:
        note_use(membership, KINDS[request.kind].approve, at)
    return request


def _settle(
    request: ApprovalRequest, state: str, user: User, at: datetime, words: str
) -> ApprovalRequest:
    request.state = state
    request.decided_at = at
    request.decided_by_id = user.pk
    request.decided_by_email = user.email
    request.note = words
    request.save()
    note(
        who=user,
        action=f"approval.{state.lower()}",
        subject=_subject(request),
        at=at,
        before={"state": State.WAITING},
        after={
            "state": state,
            "sha256": request.parameters_sha256,
            "outcome": request.outcome_label,
        },
        why=words,
    )
    return request


def _subject(request: ApprovalRequest) -> Subject:
    return Subject("approval", str(request.pk), f"{KINDS[request.kind].title} {request.short_id}")


def _clean(text: str, missing: str) -> str:
    text = text.strip()
    if not text:
        raise ReasonMissing(missing)
    if len(text) > REASON_MAX:
        raise Invalid(f"Use at most {REASON_MAX} characters.")
    return text
