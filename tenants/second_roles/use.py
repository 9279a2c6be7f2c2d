"""Noting that duties which conflict were used by somebody who holds both, by an exception."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from tenants.approvals.kinds import KINDS
from tenants.journal import Subject, note
from tenants.models import Membership
from tenants.permissions import Permission
from tenants.permissions.table import CONFLICTS
from tenants.rate_limits import SAFE_METHODS
from tenants.second_roles.selectors import list_held

_DUTIES = {name for each in CONFLICTS for name in (each.first, each.second)}


def note_use(membership: Membership, duty: str, at: datetime) -> None:
    """Note it where an exception of this person covers the duty; in the current transaction."""
    for held in list_held(membership.user_id, at):
        if any(duty in pair for pair in held.conflicts):
            note(
                who=membership.user,
                action="second_role.exception_used",
                subject=Subject("second_role", str(held.pk)),
                at=at,
                after={"duty": duty, "until": held.expires_at},
            )


def guard(request: HttpRequest, permission: Permission) -> HttpResponse | None:
    """Note the use of a duty by a form; what is asked for and approved notes it at the act."""
    by_kind = {name for kind in KINDS.values() for name in (kind.ask, kind.approve)}
    if request.method not in SAFE_METHODS and permission.name in _DUTIES - by_kind:
        with transaction.atomic():
            note_use(request.membership, permission.name, timezone.now())  # type: ignore[attr-defined]
    return None
