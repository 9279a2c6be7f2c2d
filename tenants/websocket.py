"""The door for websockets: tenant by host, same-origin, and a member behind the session.

The ASGI wrapper only puts ``tenant_host`` and ``session_key`` into the scope; ``admit`` does all
database work in one synchronous function, because a tenant entered in async code is not safe
around an ``await``. Consumers call it at connect and again every minute, so that a lost or idle
session, a lost role or membership ends the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db import close_old_connections
from django.http.cookie import parse_cookie
from django.utils.crypto import constant_time_compare

from tenants import selectors
from tenants.context import tenant_context
from tenants.errors import Forbidden
from tenants.models import User
from tenants.origin import believed_ip
from tenants.permissions import check_permission
from tenants.rate_limits import name_address, take
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
        if not is_plain or not is_same_origin(headers["origin"], host):
            await send({"type": "websocket.close", "code": 4403})
            return None
        peer = (scope.get("client") or ("",))[0]
        # As Django does for pages: a cookie of somebody else that is no good hides ours from none.
        cookies = parse_cookie(headers.get("cookie", ""))
        scope = {
            **scope,
            "tenant_host": host.rsplit(":", 1)[0].lower(),
            "session_key": cookies.get(settings.SESSION_COOKIE_NAME, ""),
            "address": believed_ip(headers.get("x-forwarded-for", ""), peer),
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
    except Forbidden:
        tenant = selectors.find_tenant_by_host(host)
        if tenant is not None:
            with tenant_context(tenant.schema_name):
                take("socket", name_address(address))
        raise
    with tenant_context(admission.schema):
        take("socket", f"person:{admission.user_id}")
    return admission


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
