"""Who holds a second role, and whether duties were ever joined that should not have been."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from tenants.models import Membership
from tenants.permissions import find_conflicts, permissions_of
from tenants.permissions.table import Conflict
from tenants.second_roles.models import SecondRole

# Who decided what the same person had asked for, by the rows and by the log.
_DECIDED_ALONE = """
SELECT 'request ' || id FROM approvals_approvalrequest
WHERE state IN ('APPROVED', 'DECLINED') AND decided_by_id = requested_by_id
UNION
SELECT 'request ' || asked.subject_id FROM audit_entry asked JOIN audit_entry decided
    ON decided.subject_id = asked.subject_id AND decided.who_id = asked.who_id
WHERE asked.action = 'approval.requested'
    AND decided.action IN ('approval.approved', 'approval.declined')
UNION
SELECT 'own access of ' || subject_id FROM audit_entry
WHERE action IN ('member.role_changed', 'second_role.granted') AND who_id = subject_id
ORDER BY 1
"""


def list_held(user_id: UUID, at: datetime) -> QuerySet[SecondRole]:
    """Return the second roles of a person in the current tenant that have effect."""
    return SecondRole.objects.filter(user=user_id, ended_at=None, expires_at__gt=at)


def extra_roles(membership: Membership) -> frozenset[str]:
    """Return the names of a member's second roles; asked once for a membership that was loaded."""
    if membership.pk is None:
        return frozenset()
    kept = membership.__dict__.get("second_roles")
    if kept is None:
        held = list_held(membership.user_id, timezone.now())
        kept = frozenset(held.values_list("role", flat=True))
        membership.__dict__["second_roles"] = kept
    return kept


def list_all() -> QuerySet[SecondRole]:
    """Return every second role of this tenant, the newest first."""
    return SecondRole.objects.all()


def conflicts_of(roles: set[str]) -> list[Conflict]:
    """Return the pairs of duties that these roles would join."""
    return find_conflicts(name for role in roles for name in permissions_of(role))


def list_uncovered(role: str, user_id: UUID, at: datetime) -> list[Conflict]:
    """Return the conflicts that a role would make with the person's second roles, but for those
    that an exception covers.
    """
    held = list(list_held(user_id, at))
    covered = {tuple(pair) for each in held for pair in each.conflicts}
    found = conflicts_of({role, *(each.role for each in held)})
    return [each for each in found if (each.first, each.second) not in covered]


def list_breaches(tenant_id: int, at: datetime) -> list[str]:
    """Return every act in this tenant's history that one person did alone and should not have, and
    every member who holds duties together without an exception. Empty, unless somebody got round
    the rules. Reads the log's entries of approvals and members.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DECIDED_ALONE)
        found = [str(row[0]) for row in cursor.fetchall()]
    members = Membership.objects.filter(tenant_id=tenant_id)
    joined = [each for each in members if list_uncovered(each.role, each.user_id, at)]
    return [*found, *(f"duties of {each.user_id}" for each in joined)]
