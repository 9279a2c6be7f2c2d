"""Every address as everybody, with and without a second factor: the answer is the table's.

The expected answer comes from ``tenants.permissions.table`` and the view's own list of methods
alone; a program asks, so each refusal names its code. Ids are unknown ones: who is let in finds
nothing, and who is not must not get that far (``test_isolation`` tries ids of another tenant).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from tenants.context import tenant_context
from tenants.models import Tenant
from tenants.permissions import ROLES, find_permission
from tests.cast import PEOPLE, host
from tests.conftest import session_for
from tests.flows.test_isolation import (
    OWN_ROUTES,
    SOCKETS,
    fill,
    open_socket,
    permission_of,
    unknown_values,
)

# How long ago both factors were shown; None: the password alone.
FRESH_S, STALE_S = 0, 3600.0
PROOFS = {"fresh": FRESH_S, "stale": STALE_S, "password": None}
REFUSALS = {
    "not_signed_in",
    "not_a_member",
    "permission_denied",
    "second_factor_needed",
    "sign_in_again",
}
# What a view answers to somebody whom it lets in, with an unknown id or an empty form.
LET_IN = {200, 204, 302, 400, 404, 409, 415, 422, 503}


def is_worth_it(who: str, on: str, proof: str, for_all: bool) -> bool:
    """Leave out what cannot differ: a page costs tens of milliseconds, and there are thousands."""
    role = dict(PEOPLE[who][1]).get(on)
    if role is None:
        # Who does not belong is turned away before any proof is looked at.
        return proof == "fresh" and not for_all
    if for_all:
        return proof == "password" and role in ("OPERATOR", "VIEWER")
    # An old proof is as good as a new one but where an act asks for a new one.
    return proof != "stale" or (on == "acme" and role in ("OWNER", "OPERATOR"))


VISITS = [
    pytest.param(who, on, proof, for_all, id=f"{who}-{on}-{proof}{'-for-all' * for_all}")
    for who in PEOPLE
    for on in ("acme", "globex")
    for proof in PROOFS
    for for_all in (False, True)
    if is_worth_it(who, on, proof, for_all)
]


def methods_of(view: Callable[..., Any] | None) -> set[str]:
    """Return the methods that a view's decorator lists."""
    while view is not None:
        for cell in view.__closure__ or ():
            listed = cell.cell_contents
            if isinstance(listed, list) and {"GET", "POST"} & set(listed):
                return set(listed)
        view = getattr(view, "__wrapped__", None)
    raise AssertionError("a view has to say which methods it takes")


def expect(name: str, role: str | None, proof_s: float | None, *, for_all: bool) -> str:
    """Return what the table says."""
    if role is None:
        return "not_signed_in"
    permission = find_permission(name)
    if role not in permission.roles:
        return "permission_denied"
    by_role = next(each for each in ROLES if each.name == role).needs_second_factor
    if proof_s is None and (for_all or by_role or permission.needs_second_factor):
        return "second_factor_needed"
    if proof_s == STALE_S and permission.needs_step_up:
        return "sign_in_again"
    return "in"


def outcome(response: Any, address: str) -> str:
    if response.status_code == 405:
        return "method"
    if response.get("Content-Type", "").startswith("application/problem+json"):
        code = response.json()["code"]
        if code in REFUSALS:
            return code
    assert response.status_code in LET_IN, (address, response.status_code)
    assert "/accounts/" not in response.get("Location", ""), (address, response["Location"])
    return "in"


def crawl(client: Client, role: str | None, proof_s: float | None, *, for_all: bool) -> Counter:
    """Ask every address; return how often each answer came.

    Methods that a view does not take are tried by a fresh owner alone: members are told so before
    anybody asks who they are. With an old proof only those are asked that want a fresh one.
    """
    seen: Counter[str] = Counter()
    for path, view, converters in OWN_ROUTES:
        address = fill(path, unknown_values(converters))
        if proof_s == STALE_S and not find_permission(permission_of(view) or "").needs_step_up:
            continue
        thorough = role in (None, "OWNER") and proof_s == FRESH_S
        for method in ("GET", "POST") if thorough else sorted(methods_of(view) & {"GET", "POST"}):
            answer = outcome(
                client.generic(method, address, headers={"Accept": "application/json"}), address
            )
            expected = expect(permission_of(view) or "", role, proof_s, for_all=for_all)
            if role is not None and method not in methods_of(view):
                expected = "method"
            assert answer == expected, f"{method} {address}: {answer}, the table says {expected}"
            seen[answer] += 1
    return seen


@pytest.mark.django_db
@pytest.mark.parametrize(("who", "on", "proof", "for_all"), VISITS)
def test_every_address_answers_as_the_table_says(who, on, proof, for_all, acme, request):
    role = dict(PEOPLE[who][1]).get(on)
    if for_all:
        with tenant_context(on):
            Tenant.objects.filter(slug=on).update(second_factor_for_all=True)
    client = Client(headers={"host": host(on)})
    person = request.getfixturevalue(who)
    client.cookies[settings.SESSION_COOKIE_NAME] = session_for(
        person, on, proved_s_ago=PROOFS[proof]
    )
    seen = crawl(client, role, PROOFS[proof], for_all=for_all)
    # The crawl saw something: a member with a fresh proof gets in somewhere.
    if role is not None and proof == "fresh":
        assert seen["in"] >= 10


@pytest.mark.django_db
@pytest.mark.parametrize("cookie", ["", "x" * 32, "of the other host"])
def test_a_stranger_is_sent_to_the_sign_in_everywhere(cookie, acme, outsider):
    client = Client(headers={"host": host("acme")})
    if cookie:
        key = session_for(outsider, "globex") if " " in cookie else cookie
        client.cookies[settings.SESSION_COOKIE_NAME] = key
    assert set(crawl(client, None, None, for_all=False)) == {"not_signed_in"}
    for path, _, converters in OWN_ROUTES:
        address = fill(path, unknown_values(converters))
        if not address.endswith(".json") and not address.startswith("/api/"):
            answer = client.get(address)
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/accounts/login/"), address


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("who", PEOPLE)
def test_every_socket_lets_in_whom_the_table_says(who, path, acme, request):
    person = request.getfixturevalue(who)
    for on in ("acme", "globex"):
        role = dict(PEOPLE[who][1]).get(on)
        for proof_s in (FRESH_S, None):
            key = session_for(person, on, proved_s_ago=proof_s)
            accepted, frame = open_socket(path, on=on, key=key)
            is_in = bool(accepted and frame.get("type") == "snapshot")
            expected = expect("monitoring.view", role, proof_s, for_all=False)
            assert is_in == (expected == "in"), (who, on, proof_s)
