"""The global sums: one quantity over all open accounts, as of now."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from conservation import Status, worst
from monitoring.live_values import epoch_ms
from monitoring.models import Account, Observation
from monitoring.readings import CARDS, UNITS, margin

# An open account that has not reported for so long makes the sum unknown.
SILENCE_MAX = timedelta(seconds=5)


@dataclass(frozen=True)
class Sum:
    """A quantity over the open accounts that hold it.

    ``value`` is None as soon as one account is silent: a partial sum would look like a loss.
    ``balance`` and ``limit`` are the error and limit of the account closest to (or furthest past)
    its limit.
    """

    quantity: str
    value: float | None
    balance: float | None
    limit: float | None
    verdict: Status
    accounts: int
    silent: int

    @property
    def unit(self) -> str:
        """Its unit."""
        return UNITS[self.quantity]


def list_sums(now: datetime) -> list[Sum]:
    """Return the sums of the dashboard's quantities. Two queries, by index, for all open
    accounts.
    """
    opened = dict(Account.objects.filter(closed_at=None).values_list("pk", "opened_at"))
    newest = _newest_observations(opened)
    return [_sum(quantity, opened, newest, now) for quantity in CARDS]


def quantity_changes(now: datetime) -> dict[str, Any]:
    """Return the ``quantity.…`` keys of the live contract."""
    return sum_values(list_sums(now), now)


def sum_values(sums: Iterable[Sum], now: datetime) -> dict[str, Any]:
    """Return sums as the ``quantity.…`` keys of the live contract."""
    return {
        f"quantity.{each.quantity}": {
            "unit": each.unit,
            "value": each.value,
            "balance": each.balance,
            "limit": each.limit,
            "margin": margin(each.balance, each.limit),
            "verdict": each.verdict.value,
            "accounts": each.accounts,
            "t": epoch_ms(now),
        }
        for each in sums
    }


def _newest_observations(opened: dict[UUID, datetime]) -> list[Observation]:
    if not opened:
        return []
    return list(
        Observation.objects.filter(account_id__in=opened)
        .order_by("account_id", "quantity", "-observed_at", "-pk")
        .distinct("account_id", "quantity")
    )


def _sum(
    quantity: str, opened: dict[UUID, datetime], newest: list[Observation], now: datetime
) -> Sum:
    rows = [row for row in newest if row.quantity == quantity]
    spoken = {row.account_id for row in newest}
    # Opened a moment ago: its first reading declares what it holds; until then it counts as not
    # yet opened.
    silent = sum(
        account not in spoken and now - opened_at > SILENCE_MAX
        for account, opened_at in opened.items()
    )
    silent += sum(
        # A reading from the future was taken before the clock was set back.
        abs(now - row.observed_at) > SILENCE_MAX or row.value is None
        for row in rows
    )
    statuses = [Status(row.verdict) for row in rows] + [Status.UNKNOWN] * silent
    closest = max(rows, key=_closeness, default=None)
    values = [row.value for row in rows if row.value is not None]
    return Sum(
        quantity=quantity,
        value=math.fsum(values) if rows and not silent else None,
        balance=abs(closest.balance) if closest and closest.balance is not None else None,
        limit=closest.limit if closest else None,
        verdict=worst(statuses),
        accounts=len(rows) + sum(account not in spoken for account in opened),
        silent=silent,
    )


def _closeness(row: Observation) -> float:
    """Order by the part of the limit that is used; a violated or missing number comes last of
    all.
    """
    if row.balance is None or row.limit is None:
        return math.inf
    if row.limit == 0:
        return 0.0 if row.balance == 0 else math.inf
    return abs(row.balance) / row.limit
