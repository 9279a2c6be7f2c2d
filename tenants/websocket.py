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
from tenants.permissions import check_permission
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
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        host = headers.get("host", "")
        origin = headers.get("origin")
        # A browser always sends Origin; another site's page must not ride on the visitor's cookie.
        if origin is None or urlsplit(origin).netloc.lower() != host.lower():
            await send({"type": "websocket.close", "code": 4403})
            return None
        # As Django does for pages: a cookie of somebody else that is no good hides ours from none.
        cookies = parse_cookie(headers.get("cookie", ""))
        scope = {
            **scope,
            "tenant_host": host.rsplit(":", 1)[0].lower(),
            "session_key": cookies.get(settings.SESSION_COOKIE_NAME, ""),
        }
        return await self.app(scope, receive, send)


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
