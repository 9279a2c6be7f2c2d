"""What this tenant holds of a quantity at a cut-off, in whole quanta, from its accounts' readings.

An account holds what its newest reading says. Its first reading is a declared source, its last one
before closing a declared sink, so a run that keeps its quantities changes nothing:

    now  = newest readings of the accounts that are open at the cut-off
    flux = first readings of accounts that appeared since the last round
           - last readings of accounts that closed since
    limit = the accounts' own limits, at both ends of the time compared

An account that vanished without being closed, or a reading that was changed afterwards, leaves a
difference that no flux explains. So does a run that broke its law: its last reading is what was
found, and it lends no limit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Q, QuerySet

from conservation import Kind
from conservation.paillier import Refused
from conservation.totals import GlobalLaw
from monitoring.models import Account, Observation, OwnTotal, Verdict
from monitoring.quantities import SILENCE_MAX


class TotalUnknown(Exception):
    """The total cannot be told, with a sentence that says why and names no account."""


@dataclass
class Holding:
    """The three numbers of a posting in quanta, and what each open account holds."""

    now: int = 0
    flux: int = 0
    limit: int = 0
    # Account id -> [quanta held, quanta of limit].
    accounts: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Held:
    quanta: int
    limit: int


def hold(law: GlobalLaw, cut_off_at: datetime, last: OwnTotal | None) -> Holding:
    """Return what is held; ``last`` is this tenant's posting of the round before, if any.

    Raises ``TotalUnknown`` where an account is silent, does not know, or its readings are no longer
    kept. Three queries, whatever the number of accounts.
    """
    accounts = list(_accounts(cut_off_at, last.cut_off_at if last else cut_off_at))
    ids = [account.pk for account in accounts]
    newest = _readings(law, ids, cut_off_at, "-")
    first = _readings(law, ids, cut_off_at, "")
    before = last.accounts if last else {}
    holding = Holding()
    for account in accounts:
        was = before.get(str(account.pk))
        if _is_heard(account, newest.get(account.pk), cut_off_at, was is not None):
            ends = first[account.pk], newest[account.pk]
            _add(holding, law, account, was, ends, cut_off_at)
    return holding


def _accounts(cut_off_at: datetime, since: datetime) -> QuerySet[Account]:
    return Account.objects.filter(
        Q(closed_at=None) | Q(closed_at__gt=since), opened_at__lte=cut_off_at
    )


def _readings(
    law: GlobalLaw, accounts: Iterable[UUID], cut_off_at: datetime, order: str
) -> dict[UUID, Observation]:
    rows = Observation.objects.filter(
        account_id__in=accounts, quantity=law.quantity, observed_at__lte=cut_off_at
    )
    ordered = rows.order_by("account_id", f"{order}observed_at", f"{order}pk")
    return {row.account_id: row for row in ordered.distinct("account_id")}


def _is_heard(
    account: Account, newest: Observation | None, cut_off_at: datetime, was_held: bool
) -> bool:
    """Tell whether an account has something to add; raise where it should have and has not."""
    is_closed = _is_closed(account, cut_off_at)
    if newest is None:
        if was_held:
            raise TotalUnknown("readings of an account are no longer kept")
        if not is_closed and cut_off_at - account.opened_at > SILENCE_MAX:
            raise TotalUnknown("an open account has not reported")
        return False
    if not is_closed and cut_off_at - newest.observed_at > SILENCE_MAX:
        raise TotalUnknown("an open account had stopped reporting")
    return True


def _is_closed(account: Account, cut_off_at: datetime) -> bool:
    return account.closed_at is not None and account.closed_at <= cut_off_at


def _add(
    holding: Holding,
    law: GlobalLaw,
    account: Account,
    was: list[str] | None,
    ends: tuple[Observation, Observation],
    cut_off_at: datetime,
) -> None:
    first, newest = ends
    end = _count(law, newest)
    if was is None:
        start = _count(law, first)
        holding.flux += start.quanta
    else:
        start = _Held(int(was[0]), int(was[1]))
    if _is_closed(account, cut_off_at):
        holding.flux -= end.quanta
    else:
        holding.now += end.quanta
        holding.accounts[str(account.pk)] = [str(end.quanta), str(end.limit)]
    if newest.verdict != Verdict.VIOLATED:
        holding.limit += start.limit + end.limit


def _count(law: GlobalLaw, reading: Observation) -> _Held:
    if reading.value is None or reading.limit is None:
        raise TotalUnknown("an account does not know what it holds")
    try:
        quanta, was_rounded = law.to_quanta(reading.value)
        limit, _ = law.to_quanta(reading.limit)
    except Refused:
        raise TotalUnknown("an account holds a number that is out of range") from None
    if law.kind is Kind.EXACT:
        return _Held(quanta, 0)
    return _Held(quanta, limit + was_rounded)
