"""The door for websockets: tenant by host, same-origin, and a member behind the session.

The ASGI wrapper only puts ``tenant_host`` and ``session_key`` into the scope; ``admit`` does all
database work in one synchronous function, because a tenant entered in async code is not safe
around an ``await``. Consumers call it at connect and again every minute, so that a lost or idle
session, a lost role or membership ends the stream.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import DatabaseError, InterfaceError, close_old_connections, transaction
from django.http.cookie import parse_cookie
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from tenants import selectors
from tenants.context import tenant_context
from tenants.errors import Forbidden
from tenants.journal import Subject, Who, note
from tenants.models import User
from tenants.origin import believed_ip
from tenants.permissions import check_permission
from tenants.rate_limits import LimitUnknown, TooManyRequests, name_address, take
from tenants.second_factors.policy import SecondFactorNeeded, lacks_second_factor
from tenants.sessions.services import is_idle


class SignedOut(Forbidden):
    """The session is not, or no longer, good."""

    code = "signed_out"


class NoAccess(Forbidden):
    """The member may not see this, or the address belongs to no tenant."""

    code = "no_access"


@dataclass(frozen=True)
class Admission:
    """Who listens, and for which tenant."""

    schema: str
    user_id: str
    email: str


class TenantScope:
    """Refuse foreign origins and put host and session key into the scope."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        """Pass on, or close before the handshake is accepted (the browser sees a 403)."""
        pairs = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
        headers = dict(pairs)
        host = headers.get("host", "")
        names = [name for name, _ in pairs]
        # Two answers to one question are none: each reader would believe another.
        is_plain = names.count("host") == names.count("origin") == 1
        # A browser always sends Origin; another site's page must not ride on the visitor's cookie.
        peer = (scope.get("client") or ("",))[0]
        address = believed_ip(headers.get("x-forwarded-for", ""), peer)
        tenant_host = host.rsplit(":", 1)[0].lower()
        if not is_plain or not is_same_origin(headers["origin"], host):
            # It is refused all the same while nobody can write it down; with two hosts, nobody
            # knows whose log it is.
            with suppress(DatabaseError, InterfaceError):
                if names.count("host") > 1:
                    tenant_host = ""
                await database_sync_to_async(note_refused)(tenant_host, address, "foreign_origin")
            await send({"type": "websocket.close", "code": 4403})
            return None
        # As Django does for pages: a cookie of somebody else that is no good hides ours from none.
        cookies = parse_cookie(headers.get("cookie", ""))
        scope = {
            **scope,
            "tenant_host": tenant_host,
            "session_key": cookies.get(settings.SESSION_COOKIE_NAME, ""),
            "address": address,
        }
        return await self.app(scope, receive, send)


def is_same_origin(origin: str, host: str) -> bool:
    """Tell whether a page of this very host opened the socket: over TLS where pages are."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    schemes = ("https",) if settings.SESSION_COOKIE_SECURE else ("http", "https")
    return parts.scheme in schemes and bool(host) and parts.netloc.lower() == host.lower()


def admit_new(host: str, session_key: str, permission: str, address: str) -> Admission:
    """Do as ``admit`` for a socket that is being opened, and count it.

    Raises ``TooManyRequests`` as well: for the address of a stranger, for a member's person.
    """
    try:
        admission = admit(host, session_key, permission)
    except Forbidden as refusal:
        note_refused(host, address, refusal.code, counts=True)
        raise
    with tenant_context(admission.schema):
        take("socket", f"person:{admission.user_id}")
    return admission


def note_refused(host: str, address: str, reason: str, *, counts: bool = False) -> None:
    """Write a refused socket into the tenant's log, as far as there is room in its bucket.

    A stranger can knock at will, so the log takes a few refusals a minute for each tenant, none
    while nobody can count. With ``counts`` the knock counts for the address: raises
    ``TooManyRequests``.
    """
    close_old_connections()
    tenant = selectors.find_tenant_by_host(host)
    if tenant is None:
        return
    with tenant_context(tenant.schema_name):
        if counts:
            take("socket", name_address(address))
        try:
            take("refusal", "sockets")
        except (TooManyRequests, LimitUnknown):
            return
        with transaction.atomic():
            note(
                who=Who("stranger", ""),
                action="socket.refused",
                subject=Subject("socket"),
                after={"reason": reason, "address": address},
                at=timezone.now(),
            )


def admit(host: str, session_key: str, permission: str) -> Admission:
    """Return who listens; raise ``SignedOut`` or ``NoAccess``. Synchronous: five short queries."""
    close_old_connections()
    tenant = selectors.find_tenant_by_host(host)
    if tenant is None:
        raise NoAccess("No tenant lives at this address.")
    with tenant_context(tenant.schema_name):
        session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
        user = _user_of_session(session)
        if user is None:
            raise SignedOut("Sign in again.")
        membership = selectors.find_membership(user, tenant)
        if membership is None:
            raise NoAccess("You are not a member of this tenant.")
        if is_idle(session, membership):
            raise SignedOut("Signed out for want of activity.")
        check_permission(membership, permission)
        if lacks_second_factor(session, membership, tenant, permission):
            raise SecondFactorNeeded("Confirm with your second factor first.")
        return Admission(tenant.schema_name, str(user.pk), user.email)


def _user_of_session(session: SessionBase) -> User | None:
    user_id = session.get(SESSION_KEY)
    if not user_id:
        return None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None:
        return None
    # The hash changes with the password: a changed password ends the stream as it ends the session.
    if not constant_time_compare(session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()):
        return None
    return user
