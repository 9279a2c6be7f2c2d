"""The people of a tenant, who is invited, and what a change of role would mean."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from allauth.mfa.models import Authenticator
from django.db.models import Max, QuerySet

from tenants.members.services import MemberUnknown
from tenants.models import Invitation, Membership, Tenant
from tenants.permissions import PERMISSIONS, Permission
from tenants.sessions.models import PersonSession


@dataclass(frozen=True)
class Member:
    """A row of the Members page."""

    user_id: UUID
    email: str
    name: str
    role: str
    role_name: str
    added_at: datetime
    last_seen_at: datetime | None
    has_second_factor: bool


def list_members(tenant: Tenant) -> list[Member]:
    """Return the people of the current tenant, by e-mail."""
    rows = Membership.objects.filter(tenant_id=tenant.pk).select_related("user")
    seen, enrolled = _last_seen(), _enrolled()
    return [
        Member(
            user_id=m.user_id,
            email=m.user.email,
            name=m.user.name,
            role=m.role,
            role_name=m.get_role_display(),
            added_at=m.added_at,
            last_seen_at=max(
                (at for at in (seen.get(m.user_id), m.user.last_login) if at), default=None
            ),
            has_second_factor=m.user_id in enrolled,
        )
        for m in rows.order_by("user__email")
    ]


def _last_seen() -> dict[UUID, datetime]:
    rows = PersonSession.objects.filter(user_id__isnull=False, seen_at__isnull=False)
    return dict(rows.values_list("user_id").annotate(Max("seen_at")))


def _enrolled() -> set[UUID]:
    # Recovery codes alone are none.
    codes = Authenticator.Type.RECOVERY_CODES
    return set(Authenticator.objects.exclude(type=codes).values_list("user_id", flat=True))


def get_member(tenant: Tenant, user_id: UUID) -> Membership:
    """Return a member of the current tenant, or raise ``MemberUnknown``."""
    found = (
        Membership.objects.filter(tenant_id=tenant.pk, user=user_id).select_related("user").first()
    )
    if found is None:
        raise MemberUnknown("There is no such member here.")
    return found


def list_invitations(tenant: Tenant, at: datetime) -> QuerySet[Invitation]:
    """Return the invitations that can be taken up, the newest first."""
    return Invitation.objects.filter(
        tenant_id=tenant.pk, accepted_at=None, withdrawn_at=None, expires_at__gt=at
    ).order_by("-invited_at")


def compare_roles(before: str, after: str) -> tuple[list[Permission], list[Permission]]:
    """Return what a person would gain and lose."""
    gained = [each for each in PERMISSIONS if after in each.roles and before not in each.roles]
    lost = [each for each in PERMISSIONS if before in each.roles and after not in each.roles]
    return gained, lost
