"""Who may enter by an identity provider's word, after the protocol found the word genuine.

A provider speaks for one tenant. It says which e-mail address somebody holds; which member that is,
this tenant's memberships say. It opens no account of another tenant, and none that it was not
linked to first.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connection, transaction
from django.db.models import Q

from tenants import selectors
from tenants.context import public_context
from tenants.errors import Forbidden
from tenants.journal import Subject, note
from tenants.models import Tenant, User
from tenants.single_sign_on.models import IdentityProvider, Link

NAME_MAX = 100


class SignOnRefused(Forbidden):
    """The provider's word opens nothing here."""

    code = "sign_on_refused"


class AnswerRefused(SignOnRefused):
    """The answer is not genuine, not for us, or too old."""

    code = "sign_on_answer_refused"


class EmailUnverified(SignOnRefused):
    """The provider does not say that the person holds the e-mail address."""

    code = "sign_on_email_unverified"


class NotAdmitted(SignOnRefused):
    """Nobody in this tenant has the e-mail address."""

    code = "sign_on_not_a_member"


class OtherAccount(SignOnRefused):
    """The member, or the account at the provider, is linked to another one."""

    code = "sign_on_other_account"


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """What a provider says of somebody."""

    subject: str
    email: str
    is_email_verified: bool
    name: str = ""
    # Whether more than one factor was shown there.
    used_second_factor: bool = False
    # When the person last proved to the provider who they are, in seconds; None: it does not say.
    proved_at_s: float | None = None


@transaction.atomic
def admit(
    *, provider: IdentityProvider, assertion: Assertion, tenant: Tenant, admitted_at: datetime
) -> User:
    """Return the member that an assertion speaks of; link them at the first time.

    Where the provider may add members, somebody without any account becomes one. Raises
    ``EmailUnverified``, ``NotAdmitted`` and ``OtherAccount``.
    """
    email = assertion.email.strip().lower()
    # Beyond ASCII two addresses may look, or fold to, the same.
    if not email or not assertion.email.isascii() or not assertion.is_email_verified:
        raise EmailUnverified(f"{provider.name} does not say that your e-mail address is verified.")
    user = find_member(email, tenant)
    if user is None:
        user = _join(provider, email, assertion.name, tenant, admitted_at)
    _link(provider, assertion.subject, user, admitted_at)
    return user


def find_member(email: str, tenant: Tenant) -> User | None:
    """Return the tenant's member with this e-mail address."""
    user = User.objects.filter(email=email).first()
    if user is None or selectors.find_membership(user, tenant) is None:
        return None
    return user


def _join(
    provider: IdentityProvider, email: str, name: str, tenant: Tenant, joined_at: datetime
) -> User:
    refusal = NotAdmitted("Nobody in this tenant has your e-mail address. Ask for an invitation.")
    if not provider.join_role or email.partition("@")[2] not in provider.join_domains:
        raise refusal
    try:
        validate_email(email)
    except ValidationError:
        raise refusal from None
    added_by = f"single sign-on, {provider.name}"
    with public_context(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.aii_join_by_sign_on(%s, %s, %s, %s, %s, %s)",
            [tenant.pk, email, name[:NAME_MAX], provider.join_role, added_by, joined_at],
        )
        row = cursor.fetchone()
    # Who has an account somewhere joins by an invitation and the password of that account.
    if row is None or row[0] is None:
        raise refusal
    user = User.objects.get(pk=row[0])
    note(
        who=user,
        action="member.joined",
        subject=Subject("person", str(user.pk), user.email),
        at=joined_at,
        after={"role": provider.join_role},
        why=added_by,
    )
    return user


def _link(provider: IdentityProvider, subject: str, user: User, linked_at: datetime) -> None:
    digest = sha256(subject.encode()).hexdigest()
    touching = Link.objects.filter(provider=provider).filter(
        Q(subject_sha256=digest) | Q(user_id=user.pk)
    )
    if not touching.exists():
        # Of two who come first at once, one waits and then finds the link.
        IdentityProvider.objects.select_for_update().get(pk=provider.pk)
    found = list(touching)
    if not found:
        Link.objects.create(
            provider=provider, subject_sha256=digest, user_id=user.pk, linked_at=linked_at
        )
        note(
            who=user,
            action="sign_on.linked",
            subject=Subject("identity_provider", str(provider.pk), provider.name),
            at=linked_at,
        )
    elif [(each.subject_sha256, each.user_id) for each in found] != [(digest, user.pk)]:
        raise OtherAccount(
            f"You entered with another account at {provider.name} before. Ask an owner of the"
            " tenant to forget it."
        )
