"""What services write to the log: ``audit.services.record`` with who and from where filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from audit.services import Entry, Origin, Subject, Who, record
from tenants.models import User
from tenants.origin import client_ip

__all__ = ["Entry", "Subject", "Who", "note", "person", "process", "request_origin"]

_request: ContextVar[HttpRequest | None] = ContextVar("aii_request", default=None)


def note(
    *,
    who: User | Who,
    action: str,
    subject: Subject,
    at: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    why: str = "",
    kind: str = "entry",
    using: str = "default",
) -> Entry:
    """Add an entry to the current tenant's log, in the current transaction.

    ``who`` is a person or what ``process`` returns. From where comes from the request at hand.
    """
    return record(
        who=person(who) if isinstance(who, User) else who,
        action=action,
        subject=subject,
        at=at,
        before=before,
        after=after,
        why=why,
        origin=current_origin(),
        kind=kind,
        using=using,
    )


def person(user: User) -> Who:
    """Return a person as the log names them."""
    return Who("person", str(user.pk), user.email)


def process(label: str = "") -> Who:
    """Return this process of the platform as the log names it; the label says who started it."""
    return Who("process", settings.AII_PROCESS, label)


def current_origin() -> Origin | None:
    """Return from where the request at hand came; None outside a request."""
    request = _request.get()
    if request is None:
        return None
    session = getattr(request, "session", None)
    key = getattr(session, "session_key", None)
    return Origin(
        ip=client_ip(request),
        user_agent=request.headers.get("User-Agent", "")[:300],
        # Tells sessions apart and opens none.
        session=sha256(key.encode()).hexdigest()[:16] if key else "",
    )


@contextmanager
def request_origin(request: HttpRequest) -> Iterator[None]:
    """Let entries inside the ``with`` block say that they come from this request."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


class OriginMiddleware:
    """Entries of a request say from where it came."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer with the request known to ``note``."""
        with request_origin(request):
            return self.get_response(request)
