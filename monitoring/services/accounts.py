"""Opening and closing accounts: the declared sources and sinks of the global sums."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from monitoring.models import Account
from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note, process


class AccountUnknown(NotFound):
    """There is no such account."""

    code = "account_unknown"


class AccountClosed(Conflict):
    """The account was closed already."""

    code = "account_closed"


def check_subject_url(url: str) -> None:
    """Raise ``Invalid`` for an address that is not a path of this site."""
    if url and (not url.startswith("/") or url.startswith(("//", "/\\"))):
        raise Invalid(f"{url!r} is not a path of this site.")


@transaction.atomic
def open_account(
    *, name: str, kind: str, reference: str, opened_at: datetime, subject_url: str = ""
) -> Account:
    """Return the open account of this reference, opening it where there is none.

    So a task that is delivered twice, or resumed, goes on with the account that it had.
    """
    if not name or not kind or not reference:
        raise Invalid("An account needs a name, a kind and a reference.")
    check_subject_url(subject_url)
    account, is_new = Account.objects.get_or_create(
        kind=kind,
        reference=reference,
        closed_at=None,
        defaults={"name": name[:200], "opened_at": opened_at, "subject_url": subject_url},
    )
    if is_new:
        note(
            who=process(),
            action="account.opened",
            subject=Subject("account", str(account.pk), account.name),
            at=opened_at,
            after={"kind": kind, "reference": reference},
        )
    return account


@transaction.atomic
def close_account(*, account_id: UUID, closed_at: datetime, outcome: str) -> None:
    """Close an account: what it holds leaves the global sums by declaration.

    Raises ``AccountUnknown`` and ``AccountClosed``. Locks the account's row.
    """
    account = lock_open_account(account_id)
    account.closed_at = max(closed_at, account.opened_at)
    account.outcome = outcome[:32]
    account.save(update_fields=["closed_at", "outcome"])
    note(
        who=process(),
        action="account.closed",
        subject=Subject("account", str(account.pk), account.name),
        at=closed_at,
        after={"outcome": account.outcome},
    )


def lock_open_account(account_id: UUID) -> Account:
    """Return an open account, its row locked until the transaction ends, or raise."""
    account = Account.objects.select_for_update().filter(pk=account_id).first()
    if account is None:
        raise AccountUnknown(f"There is no account {account_id}.")
    if account.closed_at is not None:
        raise AccountClosed(f"The account {account.name} was closed; it takes no more readings.")
    return account
