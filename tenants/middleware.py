"""Each request: which tenant, which member, and how a refusal is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.exceptions import DisallowedHost
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render, resolve_url
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from audit.encryption.errors import KekUnusable, SubjectErased
from tenants import selectors
from tenants.context import tenant_context
from tenants.errors import Conflict, DomainError, Forbidden, NotFound, Unavailable
from tenants.journal import Subject, note
from tenants.permissions import PermissionDenied

logger = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]


WHAT_TO_DO = {
    401: "Sign in and try again.",
    403: "Ask an owner of the tenant if you need it.",
    404: "Check the address.",
    429: "Nothing was changed. Ask less often, or wait.",
    503: "Wait a few seconds and load the page again.",
}


class UnknownHost(NotFound):
    """No tenant answers to this host name."""

    code = "unknown_host"


class NotAMember(Forbidden):
    """Signed in, but without a membership in this tenant."""

    code = "not_a_member"


class DataErased(Conflict):
    """What is kept about the person was erased; nothing new is written about them in silence."""

    code = "data_erased"


class TenantMiddleware:
    """Find the tenant by host name and work for it until the answer is made; an unknown host is a
    404.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer inside the tenant, or refuse."""
        try:
            tenant = selectors.find_tenant_by_host(host_of(request))
            if tenant is None:
                raise UnknownHost("No tenant lives at this host name.")
        except (DomainError, OperationalError) as problem:
            return refusal_response(request, as_refusal(problem))
        request.tenant = tenant  # type: ignore[attr-defined]
        with tenant_context(tenant.schema_name):
            return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Turn a refusal, or a database or broker that is away, into a page or problem+json."""
        if isinstance(exception, (DomainError, OperationalError, *REDIS_AWAY, *NO_KEY)):
            return refusal_response(request, as_refusal(exception))
        return None


REDIS_AWAY = (RedisConnectionError, RedisTimeoutError)
NO_KEY = (SubjectErased, KekUnusable)


def host_of(request: HttpRequest) -> str:
    """Return the host name without its port; raise ``UnknownHost`` for one that cannot be."""
    try:
        return request.get_host().rsplit(":", 1)[0].lower()
    except DisallowedHost:
        raise UnknownHost("This is not a host name.") from None


def as_refusal(problem: Exception) -> DomainError:
    """Return the refusal that people should read for a problem."""
    if isinstance(problem, DomainError):
        return problem
    if isinstance(problem, SubjectErased):
        return DataErased("What is kept about this person was erased, so nothing new is written.")
    logger.warning("answering 503: %s: %s", type(problem).__name__, problem)
    if isinstance(problem, KekUnusable):
        return Unavailable("The keys of personal content cannot be used now. Nothing was written.")
    part = "Redis" if isinstance(problem, REDIS_AWAY) else "The database"
    return Unavailable(f"{part} does not answer now. What was saved is safe.")


def wants_json(request: HttpRequest) -> bool:
    """Tell whether a program asks."""
    accept = request.headers.get("Accept", "")
    return (
        request.path.startswith("/api/")
        or request.path.endswith(".json")
        or ("json" in accept and "text/html" not in accept)
    )


def refusal_response(request: HttpRequest, refusal: DomainError) -> HttpResponse:
    """Return the one form in which refusals leave the house."""
    title = HTTPStatus(refusal.status).phrase
    if wants_json(request):
        return JsonResponse(
            {
                "type": "about:blank",
                "title": title,
                "status": refusal.status,
                "detail": str(refusal),
                "code": refusal.code,
            },
            status=refusal.status,
            content_type="application/problem+json",
        )
    response = render(
        request,
        "error.html",
        {
            "status": refusal.status,
            "title": title,
            "sentence": str(refusal),
            "what_to_do": WHAT_TO_DO.get(
                refusal.status, "Go back and try again. Nothing was changed."
            ),
            "reference": refusal.code,
        },
        status=refusal.status,
    )
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = "3"
    return response


class MemberMiddleware:
    """Every view is for members only, unless it is marked ``login_not_required``."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look the membership up once; views and templates read it."""
        request.membership = selectors.find_membership(request.user, request.tenant)  # type: ignore[attr-defined, arg-type]
        response = self.get_response(request)
        # No proxy and no disk keeps a member's page; nobody sees it again after the member left.
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Write a member's refusal into the log: what was tried is part of what happened."""
        if isinstance(exception, PermissionDenied):
            with transaction.atomic():
                note(
                    who=request.user,  # type: ignore[arg-type]
                    action="permission.refused",
                    subject=Subject("permission", exception.permission, request.path),
                    at=timezone.now(),
                    after={"method": request.method, "code": exception.code},
                )

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        """Refuse a stranger before the view runs."""
        if not getattr(view, "login_required", True):
            return None
        if not request.user.is_authenticated:
            if wants_json(request):
                why = getattr(request, "signed_out", None) or NotSignedIn("Sign in first.")
                return refusal_response(request, why)
            query = urlencode({REDIRECT_FIELD_NAME: request.get_full_path()})
            return HttpResponseRedirect(f"{resolve_url(settings.LOGIN_URL)}?{query}")
        if request.membership is None:  # type: ignore[attr-defined]
            return refusal_response(request, NotAMember("You are not a member of this tenant."))
        return None


class NotSignedIn(Forbidden):
    """Nobody is signed in."""

    code = "not_signed_in"
    status = 401
