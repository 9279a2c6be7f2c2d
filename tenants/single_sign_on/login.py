"""What becomes of an answer that was found genuine: a session, a fresh proof, or a test's result.

allauth's own end of a social sign-in (link by e-mail, sign up) is not used: who enters is decided
by the admission, and then the sign-in goes on as every other one, with the second factor after it.
"""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import perform_login, record_authentication
from allauth.account.models import Login
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.providers.base import Provider
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from tenants.journal import Subject, Who, note
from tenants.models import User
from tenants.permissions import has_permission
from tenants.second_factors.policy import PROVIDERS_FACTOR
from tenants.single_sign_on import services
from tenants.single_sign_on.admission import (
    AnswerRefused,
    Assertion,
    OtherAccount,
    SignOnRefused,
    admit,
    find_member,
)
from tenants.single_sign_on.models import IdentityProvider

SKEW_S = 60


class Purpose(StrEnum):
    """What somebody was sent to the provider for."""

    SIGN_IN = "sign_in"
    CONFIRM = "confirm"
    TEST = "test"


class NotFresh(SignOnRefused):
    """The provider let an old proof count."""

    code = "sign_on_not_fresh"


class MemberLogin(SocialLogin):
    """An answer on its way through allauth."""

    def __init__(self, provider: Provider, row: IdentityProvider, assertion: Assertion) -> None:
        super().__init__(account=SocialAccount(provider=str(row.pk)), provider=provider)
        self.row, self.assertion = row, assertion

    def lookup(self) -> None:
        """Find nobody: allauth's tables do not exist here."""


def finish(request: HttpRequest, login: MemberLogin) -> HttpResponse:
    """Do what the person was sent to the provider for."""
    asked = login.state.get("data") or {}
    try:
        if not (login.row.is_enabled or asked.get("purpose") == Purpose.TEST):
            raise SignOnRefused(f"{login.row.name} is switched off here.")
        return _FINISH[Purpose(asked["purpose"])](request, login, asked)
    except SignOnRefused as refusal:
        return refuse(request, login.row, refusal, state=login.state, assertion=login.assertion)


def _sign_in(request: HttpRequest, login: MemberLogin, asked: dict[str, Any]) -> HttpResponse:
    user = _admit(request, login)
    if request.user.is_authenticated:
        get_adapter(request).logout(request)
    _record(request, user, login)
    target = login.get_redirect_url(request)
    response: HttpResponse = perform_login(request, Login(user=user, redirect_url=target))
    return response


def _confirm(request: HttpRequest, login: MemberLogin, asked: dict[str, Any]) -> HttpResponse:
    user, said = request.user, login.assertion
    if not isinstance(user, User) or str(user.pk) != asked["user"]:
        raise AnswerRefused("Somebody else is signed in now.")
    if said.proved_at_s is None or not (
        asked["asked_at"] - SKEW_S <= said.proved_at_s <= time.time() + SKEW_S
    ):
        raise NotFresh(f"{login.row.name} did not ask you again who you are.")
    if said.email.lower() != user.email:
        raise OtherAccount(f"At {login.row.name} you are signed in with another account.")
    _admit(request, login)
    _record(request, user, login)
    with transaction.atomic():
        note(
            who=user,
            action="session.confirmed",
            subject=Subject("person", str(user.pk), user.email),
            at=timezone.now(),
            after={"by": login.row.name},
        )
    return redirect(login.get_redirect_url(request) or "/")


def _test(request: HttpRequest, login: MemberLogin, asked: dict[str, Any]) -> HttpResponse:
    user, said = request.user, login.assertion
    if (
        not isinstance(user, User)
        or str(user.pk) != asked["user"]
        or not has_permission(request.membership, services.MANAGE)  # type: ignore[attr-defined]
    ):
        raise AnswerRefused("Somebody else is signed in now.")
    services.note_test(acting_user=user, provider_id=login.row.pk, tested_at=timezone.now())
    is_member = find_member(said.email.lower(), request.tenant) is not None  # type: ignore[attr-defined]
    facts = [
        f"e-mail {said.email or 'missing'}",
        "verified" if said.is_email_verified else "not verified: nobody enters without",
        "a member here" if is_member else "no member here",
        "second factor used" if said.used_second_factor else "no second factor named",
    ]
    messages.success(request, f"The connection works. {login.row.name} says: {', '.join(facts)}.")
    return redirect("sign_on:provider", provider_id=login.row.pk)


_FINISH = {Purpose.SIGN_IN: _sign_in, Purpose.CONFIRM: _confirm, Purpose.TEST: _test}


def _admit(request: HttpRequest, login: MemberLogin) -> User:
    return admit(
        provider=login.row,
        assertion=login.assertion,
        tenant=request.tenant,  # type: ignore[attr-defined]
        admitted_at=timezone.now(),
    )


def _record(request: HttpRequest, user: User, login: MemberLogin) -> None:
    """Note in the session how the person proved who they are (``second_factors.policy``)."""
    provider = str(login.row.pk)
    record_authentication(request, user, "socialaccount", provider=provider)
    if login.row.factor_counts and login.assertion.used_second_factor:
        record_authentication(request, user, "mfa", type=PROVIDERS_FACTOR, provider=provider)


def refuse(
    request: HttpRequest,
    row: IdentityProvider,
    refusal: SignOnRefused,
    *,
    state: dict[str, Any] | None,
    assertion: Assertion | None = None,
) -> HttpResponse:
    """Tell the person, and the log where somebody was really on the way."""
    is_test = ((state or {}).get("data") or {}).get("purpose") == Purpose.TEST
    if state is not None:
        _note_refusal(request, row, refusal, assertion)
    # What exactly was wrong with an answer helps owners; to others it is a riddle or a hint.
    is_plain = is_test or not isinstance(refusal, AnswerRefused)
    context = {
        "provider": row,
        "sentence": str(refusal) if is_plain else f"The answer of {row.name} is not accepted.",
        "reference": refusal.code,
        "is_test": is_test,
    }
    return render(request, "tenants/sign_on/refused.html", context, status=refusal.status)


@transaction.atomic
def _note_refusal(
    request: HttpRequest,
    row: IdentityProvider,
    refusal: SignOnRefused,
    assertion: Assertion | None,
) -> None:
    tenant = request.tenant  # type: ignore[attr-defined]
    member = find_member(assertion.email.lower(), tenant) if assertion else None
    note(
        who=request.user if isinstance(request.user, User) else Who("stranger", ""),
        action="sign_on.refused",
        subject=Subject("identity_provider", str(row.pk), row.name),
        at=timezone.now(),
        after={"code": refusal.code, "of": str(member.pk) if member else ""},
        why=str(refusal),
    )
