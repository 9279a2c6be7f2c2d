"""What waits, for whom, and what became of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from tenants.approvals.kinds import KINDS
from tenants.approvals.models import ApprovalRequest
from tenants.approvals.services import ApprovalUnknown
from tenants.models import Membership
from tenants.permissions import has_permission

_WAITING = Q(state=ApprovalRequest.State.WAITING)


def get_request(request_id: UUID) -> ApprovalRequest:
    """Return a request of this tenant, or raise ``ApprovalUnknown``."""
    request = ApprovalRequest.objects.filter(pk=request_id).first()
    if request is None:
        raise ApprovalUnknown("There is no such request here.")
    return request


def list_deciders(request_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the e-mail of who decided each request, as far as it was decided and not erased."""
    found = ApprovalRequest.objects.filter(pk__in=list(request_ids), decided_by__isnull=False)
    return {request.pk: str(request.decided_by_email) for request in found}


def list_open(at: datetime) -> QuerySet[ApprovalRequest]:
    """Return what can still be decided, the oldest first."""
    return ApprovalRequest.objects.filter(_WAITING, expires_at__gt=at).order_by("requested_at")


def list_closed(at: datetime) -> QuerySet[ApprovalRequest]:
    """Return what is decided, withdrawn or expired, the newest first."""
    return ApprovalRequest.objects.filter(~_WAITING | Q(expires_at__lte=at))


def list_waiting_for(membership: Membership, at: datetime) -> QuerySet[ApprovalRequest]:
    """Return what this person can decide."""
    kinds = [kind.name for kind in KINDS.values() if has_permission(membership, kind.approve)]
    return list_open(at).filter(kind__in=kinds).exclude(requested_by=membership.user_id)
