"""Noting, listing and ending sessions, and when one has been idle for too long."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone

from tenants.context import current_schema
from tenants.errors import NotFound
from tenants.journal import Subject, note, process
from tenants.models import Membership, User
from tenants.origin import client_ip
from tenants.permissions import only_looks
from tenants.sessions import store
from tenants.sessions.models import PersonSession

# How exact "last seen" is: a row is not written at each request.
SEEN_EVERY_S = 60
# Few enough that a delete takes milliseconds and blocks nobody.
ROWS_MAX = 5000


class NoSuchSession(NotFound):
    """The session ended already, or is somebody else's."""

    code = "session_unknown"


@dataclass(frozen=True)
class SessionSeen:
    """A session as its person sees it."""

    public_id: UUID
    device: str
    ip: str | None
    signed_in_at: datetime | None
    seen_at: datetime | None
    is_this_one: bool


def stamp_session(*, request: HttpRequest, **_: Any) -> None:
    """Note from where and when somebody signed in; called by ``user_logged_in``."""
    now_s = time.time()
    request.session.update(
        {
            store.IP: client_ip(request),
            store.USER_AGENT: request.headers.get("User-Agent", "").replace("\0", "")[:200],
            store.SIGNED_IN_AT: now_s,
            store.SEEN_AT: now_s,
            store.PUBLIC_ID: str(uuid.uuid4()),
        }
    )


def idle_s_max(membership: Membership | None) -> float | None:
    """Return after how many idle seconds a member is signed out; ``None``: with the cookie alone.

    Whoever may do more than look has a limit.
    """
    if membership is None or only_looks(membership):
        return None
    return float(settings.AII_IDLE_MINUTES * 60)


def is_idle(session: Mapping[str, Any] | Any, membership: Membership | None) -> bool:
    """Tell whether a session has been idle for too long."""
    limit_s = idle_s_max(membership)
    seen_s = session.get(store.SEEN_AT)
    return limit_s is not None and (seen_s is None or time.time() - seen_s > limit_s)


def note_activity(request: HttpRequest) -> None:
    """Note that the person is there, at most once a minute."""
    now_s = time.time()
    if now_s - request.session.get(store.SEEN_AT, 0) > SEEN_EVERY_S:
        request.session[store.SEEN_AT] = now_s


def list_sessions(user_id: UUID, *, current_key: str | None = None) -> list[SessionSeen]:
    """Return a person's sessions in the current tenant, the latest seen first."""
    rows = PersonSession.objects.filter(user_id=user_id, expire_date__gt=timezone.now())
    return [
        SessionSeen(
            row.public_id,
            describe_device(row.user_agent),
            row.ip,
            row.signed_in_at,
            row.seen_at,
            row.session_key == current_key,
        )
        for row in rows.order_by(F("seen_at").desc(nulls_last=True))
    ]


def end_session(*, user_id: UUID, public_id: UUID) -> None:
    """End one session of a person in the current tenant. Raises ``NoSuchSession``."""
    ended, _ = PersonSession.objects.filter(user_id=user_id, public_id=public_id).delete()
    if not ended:
        raise NoSuchSession("This session ended already.")


def end_sessions_here(*, user_id: UUID) -> int:
    """End every session of a person in the current tenant; return how many there were."""
    return PersonSession.objects.filter(user_id=user_id).delete()[0]


def end_other_sessions(*, request: HttpRequest, user: User) -> None:
    """End all sessions of this person but this one, in every tenant, and open live pages.

    The epoch is part of what each session was sealed with (``User.get_session_auth_hash``).
    """
    User.objects.filter(pk=user.pk).update(session_epoch=F("session_epoch") + 1)
    user.refresh_from_db(fields=["session_epoch"])
    PersonSession.objects.filter(user_id=user.pk).exclude(
        session_key=request.session.session_key
    ).delete()
    update_session_auth_hash(request, user)


@transaction.atomic
def delete_expired(*, now: datetime) -> int:
    """Delete sessions of the current tenant that nobody can use any more; return how many.

    At most 5000 at a call.
    """
    expired = PersonSession.objects.filter(expire_date__lt=now).order_by("pk")
    batch = list(expired.values_list("pk", flat=True)[:ROWS_MAX])
    deleted, _ = PersonSession.objects.filter(pk__in=batch, expire_date__lt=now).delete()
    if deleted:
        note(
            who=process(),
            action="sessions.expired",
            subject=Subject("tenant", current_schema()),
            at=now,
            after={"sessions": deleted},
        )
    return deleted


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def describe_device(user_agent: str) -> str:
    """Return browser and system, as far as they say who they are."""
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    if not browser and "Safari/" in user_agent:
        browser = "Safari"
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or "Unknown device"
