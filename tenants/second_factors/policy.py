"""Who needs a second factor, whether this session used one, and what is said if not.

Owners and auditors always need one, and so does every act that the table of permissions marks
(all that touches conserved quantities); a tenant may ask it of everybody. Acts marked for it also
want to be confirmed: the strongest proof that the person has, within the last ten minutes.

What an identity provider says counts inside its tenant. A person's password and factors are theirs
in every tenant, so to change them needs a proof that no tenant's provider can make.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import (
    _AUTHENTICATION_METHODS_USER_SESSION_KEY,
    AUTHENTICATION_METHODS_SESSION_KEY,
)
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from tenants.errors import Forbidden
from tenants.middleware import refusal_response, wants_json
from tenants.models import Tenant, User
from tenants.permissions import Permission, needs_second_factor
from tenants.selectors import list_places

# The type of a second factor that an identity provider vouches for; and how allauth calls its word.
PROVIDERS_FACTOR = "single_sign_on"
_PROVIDERS_WORD = "socialaccount"


class SecondFactorNeeded(Forbidden):
    """This session was opened without a second factor."""

    code = "second_factor_needed"


class SignInAgain(Forbidden):
    """The act wants to be confirmed, and the last proof is too old."""

    code = "sign_in_again"


class OwnProofNeeded(Forbidden):
    """The person showed nothing but an identity provider's word, and it does not reach so far."""

    code = "own_proof_needed"


def records_of(session: Mapping[str, Any] | Any, user_id: Any) -> list[dict[str, Any]]:
    """Return how this person proved who they are in this session."""
    if str(session.get(_AUTHENTICATION_METHODS_USER_SESSION_KEY)) != str(user_id):
        return []
    records = session.get(AUTHENTICATION_METHODS_SESSION_KEY)
    return records if isinstance(records, list) else []


def entered_by(session: Mapping[str, Any] | Any) -> str:
    """Return the id of the identity provider that a session was opened by; empty: by none."""
    records = session.get(AUTHENTICATION_METHODS_SESSION_KEY)
    words = [
        str(record.get("provider"))
        for record in (records if isinstance(records, list) else [])
        if record.get("method") == _PROVIDERS_WORD
    ]
    return words[-1] if words else ""


def _is_own(record: Mapping[str, Any]) -> bool:
    return record.get("method") != _PROVIDERS_WORD and record.get("type") != PROVIDERS_FACTOR


def used_second_factor(session: Mapping[str, Any] | Any, user_id: Any) -> bool:
    """Tell whether a second factor was used in this session."""
    return any(record.get("method") == "mfa" for record in records_of(session, user_id))


def has_second_factor(user: User) -> bool:
    """Tell whether the person has enrolled one; recovery codes alone are none."""
    return (
        Authenticator.objects.filter(user_id=user.pk)
        .exclude(type=Authenticator.Type.RECOVERY_CODES)
        .exists()
    )


def lacks_second_factor(
    session: Mapping[str, Any] | Any, membership: Any, tenant: Tenant, permission: str
) -> bool:
    """Tell whether a second factor is needed here and was not used."""
    needed = tenant.second_factor_for_all or needs_second_factor(membership, permission)
    return needed and not used_second_factor(session, membership.user_id)


def proved_recently(request: HttpRequest, *, by_oneself: bool = False) -> bool:
    """Tell whether the person showed the strongest proof they have within the last minutes.

    ``by_oneself``: an identity provider's word is none.
    """
    user = request.user
    if not isinstance(user, User):
        return False
    since_s = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    recent = [
        each
        for each in records_of(request.session, user.pk)
        if each.get("at", 0) > since_s and (_is_own(each) or not by_oneself)
    ]
    if any(record.get("method") == "mfa" for record in recent):
        return True
    # Whoever knows a password must not be able to replace a factor with it.
    return bool(recent) and not has_second_factor(user)


def may_change_credentials(request: HttpRequest) -> bool:
    """Tell whether the person may change what they sign in with, here and in other tenants.

    Who has nothing of their own yet and belongs here alone may begin by the provider's word.
    """
    if proved_recently(request, by_oneself=True):
        return True
    user = request.user
    return (
        isinstance(user, User)
        and not get_adapter().get_own_methods(user)
        and len(list_places(user)) == 1
        and proved_recently(request)
    )


def guard(request: HttpRequest, permission: Permission) -> HttpResponse | None:
    """Answer in place of a view that wants a better proof; registered in ``permissions.GUARDS``."""
    membership = request.membership  # type: ignore[attr-defined]
    tenant = request.tenant  # type: ignore[attr-defined]
    if lacks_second_factor(request.session, membership, tenant, permission.name):
        assert isinstance(request.user, User)
        if has_second_factor(request.user):
            sentence = "Confirm with your second factor first."
            return _send(request, SecondFactorNeeded(sentence), confirm_address(request))
        sentence = "This needs a second factor. Set one up first; it takes a minute."
        # Several pages lie between here and there.
        request.session["aii_after_enrolment"] = _way_back(request)
        return _send(request, SecondFactorNeeded(sentence), reverse("mfa_index"))
    if permission.needs_step_up and not proved_recently(request):
        return confirm_first(request)
    return None


def confirm_first(request: HttpRequest) -> HttpResponse:
    """Ask for a fresh proof, and come back."""
    sentence = "Confirm that it is you. Nothing was changed yet."
    return _send(request, SignInAgain(sentence), confirm_address(request))


def confirm_by_oneself_first(request: HttpRequest) -> HttpResponse:
    """Ask for a proof that is the person's own, or say that there is none."""
    assert isinstance(request.user, User)
    own = get_adapter().get_own_methods(request.user)
    if own:
        sentence = "Confirm by what is your own. Nothing was changed yet."
        return _send(request, SignInAgain(sentence), str(own[0]["url"]))
    if len(list_places(request.user)) > 1:
        refusal = OwnProofNeeded(
            "You belong to other tenants, too, and entered here by single sign-on alone."
            " Ask for a password by e-mail first (“Forgot your password?” on the sign-in page)."
        )
        return refusal_response(request, refusal)
    return confirm_first(request)


def confirm_address(request: HttpRequest) -> str:
    """Return the page on which this person proves once more who they are."""
    methods = get_adapter().get_reauthentication_methods(request.user)
    return str(methods[0]["url"]) if methods else reverse("account_login")


def _send(request: HttpRequest, refusal: Forbidden, address: str) -> HttpResponse:
    if wants_json(request):
        return refusal_response(request, refusal)
    target = f"{address}?{urlencode({REDIRECT_FIELD_NAME: _way_back(request)})}"
    messages.info(request, str(refusal))
    if request.headers.get("HX-Request"):
        # A part of a page cannot be a sign-in page: the whole page goes there.
        return HttpResponse(
            refusal.code, status=403, content_type="text/plain", headers={"HX-Redirect": target}
        )
    return HttpResponseRedirect(target)


def _way_back(request: HttpRequest) -> str:
    """Return where to go on afterwards: this page, or the one that held the form."""
    if request.method == "GET" and not request.headers.get("HX-Request"):
        return request.get_full_path()
    origin = request.headers.get("HX-Current-URL") or request.headers.get("Referer") or ""
    parts = urlsplit(origin)
    if parts.netloc != request.get_host():
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "")
