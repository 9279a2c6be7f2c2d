"""The pages that everybody may open: leaving for a provider, and coming back from one."""

from __future__ import annotations

import secrets
import time
from typing import Any
from uuid import UUID

import requests
from allauth.account.utils import get_next_redirect_url
from allauth.socialaccount.internal import statekit
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from tenants.errors import Unavailable
from tenants.models import User
from tenants.second_factors.policy import entered_by
from tenants.single_sign_on import saml, services
from tenants.single_sign_on.admission import AnswerRefused
from tenants.single_sign_on.login import Purpose, finish, refuse
from tenants.single_sign_on.models import IdentityProvider
from tenants.single_sign_on.oidc import OIDCAdapter, OIDCCallback, OIDCProvider

ANSWER_MAX = 300_000
ANSWER_KEPT_S = 120


class ProviderAway(Unavailable):
    """The identity provider does not answer."""

    code = "provider_away"


def leave(
    request: HttpRequest, provider: IdentityProvider, *, purpose: Purpose, next_url: str | None
) -> HttpResponse:
    """Send somebody to a provider; what for is kept in the session.

    With a page that goes on by itself, not with a redirect: the browser would hold that against the
    form's policy (form-action 'self'), which stays as it is.
    """
    user = request.user if isinstance(request.user, User) else None
    asked: dict[str, Any] = {
        "purpose": purpose.value,
        "asked_at": time.time(),
        "user": str(user.pk) if user else "",
    }
    try:
        address = _start(request, provider, asked, next_url, is_fresh=purpose is Purpose.CONFIRM)
    except requests.RequestException as error:
        raise ProviderAway(f"{provider.name} does not answer now. Try again later.") from error
    context = {"provider": provider, "address": address}
    response = render(request, "tenants/sign_on/leave.html", context)
    response["Refresh"] = f"0; url={address}"
    return response


def _start(
    request: HttpRequest,
    row: IdentityProvider,
    asked: dict[str, Any],
    next_url: str | None,
    *,
    is_fresh: bool,
) -> str:
    if row.is_saml:
        sent = saml.MemberSAMLProvider(request, row).redirect(
            request, "login", next_url, asked, is_fresh=is_fresh
        )
        return str(sent.url)
    nonce = secrets.token_urlsafe(32)
    fresh = {"prompt": "login", "max_age": "0"} if is_fresh else {}
    sent = OIDCProvider(request, row).redirect(
        request, "login", next_url, asked, nonce=nonce, auth_params={"nonce": nonce, **fresh}
    )
    return str(sent.url)


@login_not_required
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Leave for a provider to sign in. By a link (from the provider's portal) it asks first."""
    provider = services.get_provider(provider_id)
    if not provider.is_enabled:
        raise services.NoSuchProvider("There is no such identity provider here.")
    next_url = get_next_redirect_url(request)
    if request.method == "GET":
        context = {"provider": provider, "next_url": next_url or ""}
        return render(request, "tenants/sign_on/continue.html", context)
    return leave(request, provider, purpose=Purpose.SIGN_IN, next_url=next_url)


@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest) -> HttpResponse:
    """Leave for the provider that this session was opened by, to show once more who one is."""
    provider = services.find_enabled(entered_by(request.session))
    if provider is None:
        messages.info(request, "This session was not opened by single sign-on. Sign in again.")
        return redirect("account_login")
    next_url = get_next_redirect_url(request)
    if request.method == "GET":
        context = {"provider": provider, "next_url": next_url or ""}
        return render(request, "tenants/sign_on/confirm.html", context)
    return leave(request, provider, purpose=Purpose.CONFIRM, next_url=next_url)


@login_not_required
@require_GET
def callback(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Come back from an OpenID Connect provider."""
    row = services.get_provider(provider_id)
    if row.is_saml or not row.is_set_up:
        raise services.NoSuchProvider("There is no such identity provider here.")
    response: HttpResponse = OIDCCallback.adapter_view(OIDCAdapter(request, row))(request)
    return response


@csrf_exempt
@login_not_required
@require_POST
def acs(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Take a SAML answer in, and go on by GET.

    It is posted by the provider's page, so the browser keeps the session's cookie back.
    """
    row = _saml_provider(provider_id)
    answer = request.POST.get("SAMLResponse", "")
    if len(answer) > ANSWER_MAX or not saml.is_base64(answer):
        return refuse(request, row, AnswerRefused("This is not an answer."), state=None)
    ticket = secrets.token_urlsafe(32)
    cache.set(f"saml-answer:{row.pk}:{ticket}", answer, ANSWER_KEPT_S)
    return redirect(f"{reverse('single_sign_on_acs_finish', args=[row.pk])}?ticket={ticket}")


@login_not_required
@require_GET
def acs_finish(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Read the answer with the session at hand."""
    row = _saml_provider(provider_id)
    key = f"saml-answer:{row.pk}:{request.GET.get('ticket', '')[:60]}"
    answer = cache.get(key)
    if answer is None or not cache.delete(key):
        return refuse(request, row, AnswerRefused("The answer was read already."), state=None)
    try:
        login = saml.read_answer(request, row, answer)
    except AnswerRefused as refusal:
        # The request that was under way ends with its first answer.
        pending = statekit.unstash_last_state(request, provider_id=str(row.pk))
        return refuse(request, row, refusal, state=pending or {})
    return finish(request, login)


@login_not_required
@require_GET
def metadata(request: HttpRequest, provider_id: UUID) -> HttpResponse:
    """Describe us to a SAML provider."""
    row = _saml_provider(provider_id, is_set_up=False)
    return HttpResponse(
        saml.our_metadata(request, row), content_type="application/samlmetadata+xml"
    )


def _saml_provider(provider_id: UUID, *, is_set_up: bool = True) -> IdentityProvider:
    row = services.get_provider(provider_id)
    if not row.is_saml or (is_set_up and not row.is_set_up):
        raise services.NoSuchProvider("There is no such identity provider here.")
    return row
