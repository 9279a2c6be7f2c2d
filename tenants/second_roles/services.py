"""Giving a member a second role for a while, and ending it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.members.services import MANAGE, DutiesConflict, check_role, lock_member
from tenants.models import Membership
from tenants.permissions import check_permission
from tenants.second_roles.models import SecondRole
from tenants.second_roles.selectors import conflicts_of, list_held

# An exception is for a holiday or an illness; what lasts longer wants another person.
EXCEPTION_MAX = timedelta(days=30)
SECOND_ROLE_MAX = timedelta(days=365)
REASON_MAX = 500


class SecondRoleHeld(Conflict):
    """The person has this role already."""

    code = "second_role_held"


class SecondRoleUnknown(NotFound):
    """There is no such second role here, or it is over."""

    code = "second_role_unknown"


@transaction.atomic
def grant(
    *,
    membership: Membership,
    user_id: UUID,
    role: str,
    reason: str,
    expires_at: datetime,
    is_exception: bool,
    granted_at: datetime,
) -> SecondRole:
    """Give somebody else a second role until a time.

    Duties that conflict are refused, unless ``is_exception`` says that this is wanted, for at most
    30 days. Raises ``PermissionDenied``, ``NotYours`` for oneself, ``MemberUnknown``, ``Invalid``,
    ``SecondRoleHeld`` and ``DutiesConflict``. Locks the member's row.
    """
    target = lock_member(membership, user_id)
    check_role(role)
    held = list(list_held(target.user_id, granted_at))
    roles = {target.role, *(each.role for each in held)}
    if role in roles:
        raise SecondRoleHeld(f"{target.user.email} has this role already.")
    found = conflicts_of(roles | {role})
    if found and not is_exception:
        raise DutiesConflict(
            f"{target.user.email} would hold duties that nobody holds together. {found[0].why} "
            "Say that it is an exception, or give another role."
        )
    given = SecondRole.objects.create(
        user_id=target.user_id,
        user_email=target.user.email,
        role=role,
        conflicts=[[each.first, each.second] for each in found],
        reason=_clean(reason),
        granted_at=granted_at,
        granted_by_id=membership.user_id,
        granted_by_email=membership.user.email,
        expires_at=_check_end(expires_at, granted_at, is_exception=bool(found)),
    )
    note(
        who=membership.user,
        action="second_role.granted",
        subject=Subject("person", str(target.user_id), target.user.email),
        at=granted_at,
        after={"role": role, "until": expires_at, "exceptions": given.conflicts},
        why=reason.strip(),
    )
    return given


@transaction.atomic
def end(*, membership: Membership, second_role_id: UUID, ended_at: datetime) -> SecondRole:
    """End a second role before its time. Raises ``PermissionDenied`` and ``SecondRoleUnknown``."""
    check_permission(membership, MANAGE)
    given = SecondRole.objects.select_for_update().filter(pk=second_role_id, ended_at=None).first()
    if given is None or not given.is_held(ended_at):
        raise SecondRoleUnknown("There is no such second role here, or it is over.")
    given.ended_at = ended_at
    given.save(update_fields=["ended_at"])
    note(
        who=membership.user,
        action="second_role.ended",
        subject=Subject("person", str(given.user_id)),
        at=ended_at,
        before={"role": given.role},
    )
    return given


def _check_end(expires_at: datetime, granted_at: datetime, *, is_exception: bool) -> datetime:
    longest = EXCEPTION_MAX if is_exception else SECOND_ROLE_MAX
    if not granted_at < expires_at <= granted_at + longest:
        what = "An exception" if is_exception else "A second role"
        raise Invalid(f"{what} ends within {longest.days} days. Choose a day until then.")
    return expires_at


def _clean(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why.")
    if len(reason) > REASON_MAX:
        raise Invalid(f"Use at most {REASON_MAX} characters.")
    return reason
