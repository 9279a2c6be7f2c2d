"""What happens when a factor is added, used up or removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from allauth.account.internal.flows.login import (
    AUTHENTICATION_METHODS_SESSION_KEY,
    record_authentication,
)
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed
from django.db import transaction
from django.http import HttpRequest

from tenants.context import public_context
from tenants.errors import Invalid
from tenants.journal import Subject, note, process
from tenants.models import User
from tenants.owner import OWNER_ALIAS
from tenants.second_factors.codes import mark_step
from tenants.second_factors.policy import has_second_factor, records_of
from tenants.second_factors.sealing import seal_secret
from tenants.sessions.services import end_other_sessions


def enrol_totp(*, email: str, secret: str) -> None:
    """Give a person this secret in place of what they had; as the owner, for the demo.

    Raises ``Invalid`` when there is no such person.
    """
    with public_context(), transaction.atomic(using=OWNER_ALIAS):
        user = _person(email)
        Authenticator.objects.using(OWNER_ALIAS).update_or_create(
            user=user,
            type=Authenticator.Type.TOTP,
            defaults={"data": {"secret": seal_secret(user.pk, secret, using=OWNER_ALIAS)}},
        )


def reset_second_factors(*, email: str, reset_by: str, reset_at: datetime) -> int:
    """Take every factor from a person who lost all of them, and end their sessions; as the owner.

    Not for the owner of one tenant: the person signs in to others with the same factors. Returns
    how many there were. Raises ``Invalid`` when there is no such person.
    """
    with public_context(), transaction.atomic(using=OWNER_ALIAS):
        user = _person(email)
        count, _ = Authenticator.objects.using(OWNER_ALIAS).filter(user=user).delete()
        user.session_epoch += 1
        user.save(using=OWNER_ALIAS, update_fields=["session_epoch"])
        # In the platform's log: the person may belong to several tenants.
        note(
            who=process(reset_by),
            action="factor.reset",
            subject=Subject("person", str(user.pk), user.email),
            at=reset_at,
            before={"factors": count},
            using=OWNER_ALIAS,
        )
    return count


def _person(email: str) -> User:
    user = User.objects.using(OWNER_ALIAS).filter(email=email.lower()).first()
    if user is None:
        raise Invalid(f"Nobody signs in as {email!r}.")
    return user


def on_added(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """Count the enrolment as a use: the person has just shown the factor."""
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        return
    step = getattr(request, "enrolled_step", None)
    if authenticator.type == Authenticator.Type.TOTP and step is not None:
        mark_step(authenticator.pk, step)
    record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)


def on_removed(*, request: HttpRequest, user: User, **_: Any) -> None:
    """End the other sessions; without a factor left this one counts as opened without one."""
    if not has_second_factor(user):
        records = [r for r in records_of(request.session, user.pk) if r.get("method") != "mfa"]
        request.session[AUTHENTICATION_METHODS_SESSION_KEY] = records
    end_other_sessions(request=request, user=user)


def connect() -> None:
    """Listen to allauth; called once by the app's ``ready``."""
    authenticator_added.connect(on_added, dispatch_uid="tenants.second_factors.added")
    authenticator_removed.connect(on_removed, dispatch_uid="tenants.second_factors.removed")
