"""What an owner decides about signing in, and ending sessions: each with its entry in the log."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.http import HttpRequest

from tenants import lockout, selectors
from tenants.errors import Conflict, NotFound
from tenants.journal import Subject, note
from tenants.models import Membership, Tenant, User
from tenants.sessions import services as sessions
from tenants.sign_in.events import about


class NoSuchMember(NotFound):
    """Nobody with this id belongs to the tenant."""

    code = "member_unknown"


class NobodyLockedOut(Conflict):
    """There is nothing to unlock."""

    code = "nobody_locked_out"


@transaction.atomic
def require_second_factor(
    *, acting_user: User, tenant: Tenant, for_all: bool, changed_at: datetime
) -> None:
    """Ask a second factor of everybody in the tenant, or of those alone who need one anyway."""
    found = Tenant.objects.select_for_update().get(pk=tenant.pk)
    if found.second_factor_for_all == for_all:
        return
    Tenant.objects.filter(pk=tenant.pk).update(second_factor_for_all=for_all)
    note(
        who=acting_user,
        action="tenant.sign_in_changed",
        subject=Subject("tenant", str(tenant.pk), tenant.name),
        before={"second_factor_for_all": found.second_factor_for_all},
        after={"second_factor_for_all": for_all},
        at=changed_at,
    )


@transaction.atomic
def unlock(*, acting_user: User, email: str, unlocked_at: datetime) -> None:
    """Let a name try again at once. Raises ``NobodyLockedOut``."""
    if not lockout.unlock(email):
        raise NobodyLockedOut("Nobody is locked out under this name. They may try again.")
    user = User.objects.filter(email=email.lower()).first()
    note(
        who=acting_user,
        action="sign_in.unlocked",
        subject=about(user) if user else Subject("sign_in"),
        at=unlocked_at,
    )


@transaction.atomic
def end_session(*, acting_user: User, user_id: UUID, public_id: UUID, ended_at: datetime) -> None:
    """End one session. Raises ``NoSuchSession``."""
    sessions.end_session(user_id=user_id, public_id=public_id)
    note(
        who=acting_user,
        action="session.revoked",
        subject=Subject("session", str(public_id)),
        after={"of": str(user_id)},
        at=ended_at,
    )


@transaction.atomic
def end_other_sessions(*, acting_user: User, request: HttpRequest, ended_at: datetime) -> None:
    """End all sessions of this person but the one at hand, in every tenant."""
    sessions.end_other_sessions(request=request, user=acting_user)
    note(who=acting_user, action="session.others_revoked", subject=about(acting_user), at=ended_at)


@transaction.atomic
def end_sessions_of_member(
    *, acting_user: User, tenant: Tenant, user_id: UUID, ended_at: datetime
) -> User:
    """End every session of a member in this tenant; others are not this owner's to end.

    Raises ``NoSuchMember``.
    """
    user = get_member(tenant, user_id).user
    count = sessions.end_sessions_here(user_id=user.pk)
    note(
        who=acting_user,
        action="session.all_revoked",
        subject=about(user),
        after={"sessions": count},
        at=ended_at,
    )
    return user


def get_member(tenant: Tenant, user_id: UUID) -> Membership:
    """Return the membership of somebody. Raises ``NoSuchMember``."""
    user = User.objects.filter(pk=user_id).first()
    membership = selectors.find_membership(user, tenant) if user else None
    if membership is None:
        raise NoSuchMember("Nobody with this address belongs to the tenant.")
    return membership
