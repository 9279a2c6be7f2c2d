"""Every change of who belongs to a tenant, made by somebody who belongs to it.

``membership`` is that of the person who acts; ``tenants.services.add_member`` is the platform's own
door and needs the owner of the tables.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import DatabaseError, transaction

from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.models import Invitation, Membership
from tenants.permissions import check_permission
from tenants.second_roles.models import SecondRole
from tenants.second_roles.selectors import list_uncovered
from tenants.sessions.services import end_sessions_here
from tenants.single_sign_on.models import Link

LIFETIME = timedelta(days=7)
OPEN_MAX = 100
MANAGE = "tenants.manage_members"
# What the database's trigger raises (members.functions).
_LAST_OWNER = "AI001"


class MemberUnknown(NotFound):
    """Nobody of this tenant is meant."""

    code = "member_unknown"


class InvitationUnknown(NotFound):
    """There is no such open invitation in this tenant."""

    code = "invitation_unknown"


class AlreadyMember(Conflict):
    """The person belongs here already."""

    code = "already_member"


class TooManyInvitations(Conflict):
    """More invitations are open than anybody means."""

    code = "too_many_invitations"


class RoleUnchanged(Conflict):
    """The person has this role already."""

    code = "role_unchanged"


class RoleChangedMeanwhile(Conflict):
    """The person's role is not the one that was shown."""

    code = "role_changed_meanwhile"


class DutiesConflict(Conflict):
    """One person would hold two duties that nobody holds together."""

    code = "duties_conflict"


class LastOwner(Conflict):
    """A tenant keeps an owner."""

    code = "last_owner"


class NotConfirmed(Invalid):
    """What was typed is not the person's e-mail."""

    code = "not_confirmed"


@transaction.atomic
def invite(
    *, membership: Membership, email: str, role: str, invited_at: datetime
) -> tuple[Invitation, str]:
    """Invite a person, and return the invitation with its code, which is kept nowhere.

    An earlier open invitation of the same person is withdrawn. Raises ``PermissionDenied``,
    ``Invalid``, ``AlreadyMember`` and ``TooManyInvitations``.
    """
    check_permission(membership, MANAGE)
    email = _clean_email(email)
    check_role(role)
    if Membership.objects.filter(tenant=membership.tenant_id, user__email=email).exists():
        raise AlreadyMember(f"{email} belongs to this tenant already.")
    openly = Invitation.objects.filter(
        tenant=membership.tenant_id, accepted_at=None, withdrawn_at=None
    )
    openly.filter(email=email).update(withdrawn_at=invited_at)
    if openly.count() >= OPEN_MAX:
        raise TooManyInvitations(f"{OPEN_MAX} invitations are open. Withdraw one first.")
    code = secrets.token_urlsafe(32)
    invitation = Invitation.objects.create(
        tenant_id=membership.tenant_id,
        email=email,
        role=role,
        code_sha256=hash_code(code),
        invited_at=invited_at,
        invited_by_email=membership.user.email,
        expires_at=invited_at + LIFETIME,
    )
    note(
        who=membership.user,
        action="member.invited",
        subject=_invited(invitation),
        at=invited_at,
        after={"role": role, "expires_at": invitation.expires_at.isoformat()},
    )
    return invitation, code


@transaction.atomic
def withdraw_invitation(
    *, membership: Membership, invitation_id: UUID, withdrawn_at: datetime
) -> Invitation:
    """Make an invitation's code worthless. Raises ``PermissionDenied``, ``InvitationUnknown``."""
    check_permission(membership, MANAGE)
    invitation = (
        Invitation.objects.select_for_update()
        .filter(
            pk=invitation_id,
            tenant=membership.tenant_id,
            accepted_at=None,
            withdrawn_at=None,
        )
        .first()
    )
    if invitation is None:
        raise InvitationUnknown("There is no such open invitation here.")
    invitation.withdrawn_at = withdrawn_at
    invitation.save(update_fields=["withdrawn_at"])
    note(
        who=membership.user,
        action="member.invitation_withdrawn",
        subject=_invited(invitation),
        at=withdrawn_at,
    )
    return invitation


@transaction.atomic
def change_role(
    *, membership: Membership, user_id: UUID, role: str, seen_role: str, changed_at: datetime
) -> Membership:
    """Give a member another role.

    ``seen_role`` is the one that the person who acts was shown. Raises ``PermissionDenied``,
    ``NotYours`` for oneself, ``MemberUnknown``, ``Invalid``, ``RoleUnchanged``,
    ``RoleChangedMeanwhile``, ``DutiesConflict`` and ``LastOwner``. Locks the member's row.
    """
    target = lock_member(membership, user_id)
    check_role(role)
    was = target.role
    if was != seen_role:
        raise RoleChangedMeanwhile("Somebody has changed this role meanwhile. Load the page again.")
    if role == was:
        raise RoleUnchanged(f"{target.user.email} is {target.get_role_display().lower()} already.")
    uncovered = list_uncovered(role, target.user_id, changed_at)
    if uncovered:
        raise DutiesConflict(
            f"With the second role that {target.user.email} has, this one would join duties that "
            f"nobody holds together. {uncovered[0].why} End the second role first."
        )
    target.role = role
    _keeping_an_owner(lambda: target.save(update_fields=["role"]))
    note(
        who=membership.user,
        action="member.role_changed",
        subject=Subject("person", str(target.user_id), target.user.email),
        at=changed_at,
        before={"role": was},
        after={"role": role},
    )
    return target


@transaction.atomic
def remove(
    *, membership: Membership, user_id: UUID, confirmation: str, removed_at: datetime
) -> None:
    """Take a member's access and end their sessions here; their account elsewhere stays.

    ``confirmation`` is the member's e-mail, typed. Raises as ``change_role`` does, and
    ``NotConfirmed``. Locks the member's row.
    """
    target = lock_member(membership, user_id)
    if confirmation.strip().lower() != target.user.email:
        raise NotConfirmed("Type the person's e-mail exactly. Nothing was changed.")
    subject = Subject("person", str(target.user_id), target.user.email)
    # Before the row goes: afterwards this tenant no longer sees the person.
    note(
        who=membership.user,
        action="member.removed",
        subject=subject,
        at=removed_at,
        before={"role": target.role},
    )
    SecondRole.objects.filter(user=target.user_id, ended_at=None).update(ended_at=removed_at)
    end_sessions_here(user_id=target.user_id)
    Link.objects.filter(user_id=target.user_id).delete()
    _keeping_an_owner(target.delete)


def hash_code(code: str) -> str:
    """Return what is kept of a code. It is as long as a key, so no slow hash is needed."""
    return sha256(code.strip().encode()).hexdigest()


def lock_member(membership: Membership, user_id: UUID) -> Membership:
    """Return somebody else of the same tenant, the row locked, for who may manage members."""
    target = (
        Membership.objects.select_for_update(of=("self",))
        .select_related("user")
        .filter(user=user_id, tenant=membership.tenant_id)
        .first()
    )
    if target is None:
        raise MemberUnknown("There is no such member here.")
    check_permission(membership, MANAGE, target)
    return target


def _keeping_an_owner(write: Callable[[], object]) -> None:
    try:
        # A savepoint: the refusal leaves the transaction in order.
        with transaction.atomic():
            write()
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) != _LAST_OWNER:
            raise
        raise LastOwner(
            "This is the tenant's last owner. Make somebody else an owner first."
        ) from None


def check_role(role: str) -> None:
    """Raise ``Invalid`` for what is no role."""
    if role not in Membership.Role.values:
        raise Invalid(f"There is no role {role!r}. Choose one of the list.")


def _clean_email(email: str) -> str:
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid("This is not an e-mail address.") from None
    if len(email) > 254:
        raise Invalid("This e-mail address is too long.")
    return email


def _invited(invitation: Invitation) -> Subject:
    return Subject("invitation", str(invitation.pk), invitation.email)
