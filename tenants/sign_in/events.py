"""What happens at the doors goes to the audit log: sign-ins, refusals, factors, sessions.

Each listener works for the tenant of the request; what was typed as a name by somebody unknown
stays out, because people type passwords there.
"""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.signals import password_changed, password_reset
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_reset,
    authenticator_used,
)
from axes.signals import user_locked_out
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from tenants import lockout
from tenants.context import chosen
from tenants.journal import Subject, Who, note, person
from tenants.models import User
from tenants.sessions import store
from tenants.single_sign_on.models import IdentityProvider

STRANGER = Who("stranger", "")


def _write(
    action: str,
    *,
    who: User | None,
    subject: Subject | None = None,
    after: dict[str, Any] | None = None,
    why: str = "",
) -> None:
    if chosen() is None:
        return  # Outside any tenant there is no log to write to, and no door either.
    with transaction.atomic():
        note(
            who=person(who) if who else STRANGER,
            action=action,
            subject=subject or (about(who) if who else Subject("sign_in")),
            after=after,
            why=why,
            at=timezone.now(),
        )


def about(user: User) -> Subject:
    """Return a person as the object of an entry."""
    return Subject("person", str(user.pk), user.email)


def _known(name: str) -> User | None:
    return User.objects.filter(email=name).first() if name else None


def on_signed_in(*, request: HttpRequest, user: User, **_: Any) -> None:
    """Write down who came in, and how they proved it."""
    how = [_told(each) for each in get_authentication_records(request, user)]
    _write("session.opened", who=user, after={"proved_by": how})


def _told(record: dict[str, Any]) -> str:
    if record.get("provider"):
        provider = IdentityProvider.objects.filter(pk=record["provider"]).first()
        return f"{record.get('type', 'single_sign_on')}: {provider}"
    return str(record.get("type") or record["method"])


def on_signed_out(*, request: HttpRequest, user: User | None, **_: Any) -> None:
    """Write down who went, by themselves or for want of activity."""
    if user is not None and user.pk:
        idle = getattr(request, "ends_idle", False)
        session = request.session.get(store.PUBLIC_ID, "")
        _write(
            "session.closed",
            who=user,
            subject=Subject("session", session),
            why="idle for too long" if idle else "",
        )


def on_refused(*, request: HttpRequest | None = None, credentials: Any = None, **_: Any) -> None:
    """Write down a wrong password; about a person only where the name is a member's."""
    if request is None:
        return
    user = _known(lockout.name_of(request, credentials))
    _write("sign_in.refused", who=None, subject=about(user) if user else None)


def on_locked_out(*, username: str, **_: Any) -> None:
    """Write down that a name is locked out."""
    user = _known(username)
    _write("sign_in.locked_out", who=None, subject=about(user) if user else None)


def on_factor_refused(*, user: User, authenticator: Authenticator, **_: Any) -> None:
    """Write down a wrong code: whoever typed it knew the password."""
    _write(
        "second_factor.refused",
        who=None,
        subject=about(user),
        after={"type": authenticator.type},
    )


def on_confirmed(
    *, user: User, authenticator: Authenticator, reauthenticated: bool, **_: Any
) -> None:
    """Write down a fresh proof; the proof of a sign-in stands in its own entry."""
    if reauthenticated:
        _write("second_factor.confirmed", who=user, after={"type": authenticator.type})


def _factor(action: str) -> Any:
    def listen(*, user: User, authenticator: Authenticator, **_: Any) -> None:
        _write(action, who=user, after={"type": authenticator.type})

    return listen


def _plain(action: str) -> Any:
    def listen(*, user: User, **_: Any) -> None:
        _write(action, who=user)

    return listen


LISTENERS = {
    "signed_in": (user_logged_in, on_signed_in),
    "signed_out": (user_logged_out, on_signed_out),
    "refused": (user_login_failed, on_refused),
    "locked_out": (user_locked_out, on_locked_out),
    "factor_refused": (authentication_failed, on_factor_refused),
    "confirmed": (authenticator_used, on_confirmed),
    "added": (authenticator_added, _factor("second_factor.added")),
    "removed": (authenticator_removed, _factor("second_factor.removed")),
    "reset": (authenticator_reset, _factor("second_factor.renewed")),
    "password": (password_changed, _plain("password.changed")),
    "password_reset": (password_reset, _plain("password.reset")),
}


def connect() -> None:
    """Listen; called once by the app's ``ready``."""
    for name, (signal, listener) in LISTENERS.items():
        signal.connect(listener, weak=False, dispatch_uid=f"tenants.sign_in.{name}")
