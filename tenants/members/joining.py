"""Taking an invitation up: the one way to a membership that a person goes on their own."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from tenants.context import public_context
from tenants.errors import Invalid
from tenants.journal import Subject, note
from tenants.members.services import hash_code
from tenants.models import Tenant, User

NAME_MAX = 100
PASSWORD_MAX = 4096


class InvitationNotGood(Invalid):
    """No open invitation of this tenant has this code."""

    code = "invitation_not_good"


class PasswordRefused(Invalid):
    """The password is not that of the account, or will not do for a new one."""

    code = "password_refused"


def join(
    *,
    tenant: Tenant,
    code: str,
    password: str,
    password_again: str,
    name: str,
    joined_at: datetime,
) -> User:
    """Make the invited person a member, and return them.

    Who has an account proves it by its password, which stays. Anybody else chooses one. Raises
    ``InvitationNotGood`` and ``PasswordRefused``. Hashes a password: tens of milliseconds.
    """
    arguments = [hash_code(code), tenant.pk, joined_at]
    # A transaction of its own: a wrong password does not take back that it was tried.
    with public_context(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT email, password FROM public.aii_try_invitation(%s, %s, %s)", arguments
        )
        found = cursor.fetchone()
    if found is None:
        raise _not_good()
    email, known_hash = found
    if known_hash is None:
        _check_new(email, name, password, password_again)
        password_hash = make_password(password)
    elif len(password) > PASSWORD_MAX or not check_password(password, known_hash):
        raise PasswordRefused("This is not the password of your account here.")
    else:
        password_hash = ""
    with transaction.atomic():
        with public_context(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT user_id FROM public.aii_accept_invitation(%s, %s, %s, %s, %s, %s)",
                [*arguments, known_hash is not None, password_hash, name.strip()[:NAME_MAX]],
            )
            joined = cursor.fetchone()
        if joined is None:
            raise _not_good()
        person = User.objects.get(pk=joined[0])
        role = person.memberships.get(tenant=tenant).role
        note(
            who=person,
            action="member.joined",
            subject=Subject("person", str(person.pk), person.email),
            at=joined_at,
            after={"role": role},
        )
    return person


def _check_new(email: str, name: str, password: str, password_again: str) -> None:
    if password != password_again:
        raise PasswordRefused("The two passwords differ.")
    if len(password) > PASSWORD_MAX:
        raise PasswordRefused("Choose a shorter password.")
    try:
        validate_password(password, User(email=email, name=name))
    except ValidationError as error:
        raise PasswordRefused(" ".join(error.messages)) from None


def _not_good() -> InvitationNotGood:
    return InvitationNotGood(
        "This invitation does not work: it was used, withdrawn or is too old. Ask for a new one."
    )
