"""Recording what accounts read, and telling pages about a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from monitoring.live import publish_if_possible, publish_on_commit
from monitoring.models import Account, Node, Observation, Verdict
from monitoring.quantities import quantity_changes
from monitoring.readings import BadReading, QuantityReading, check_reading, finite
from monitoring.services.accounts import lock_open_account
from monitoring.services.alerts import open_alert
from monitoring.wording import number
from tenants.context import current_schema
from tenants.journal import Subject, note, process


@transaction.atomic
def record_observation(
    *,
    account_id: UUID,
    node: str,
    observed_at: datetime,
    readings: list[QuantityReading],
    latency_ms: float | None = None,
    load: float | None = None,
) -> list[Observation]:
    """Record what an account holds, one row a quantity; a VIOLATED reading opens a critical alert
    with it.

    Raises ``BadReading``, ``AccountUnknown`` and ``AccountClosed``, and then nothing is written.
    Locks the account's row. The global sums are published each second by the collector, but those
    that a violation changes at once, together with its alert.
    """
    if not readings:
        raise BadReading("An observation needs at least one reading.")
    for reading in readings:
        check_reading(reading)
    account = lock_open_account(account_id)
    reporter = _see_node(node, observed_at)
    rows = Observation.objects.bulk_create(
        Observation(
            observed_at=observed_at,
            node=reporter,
            account=account,
            quantity=reading.quantity,
            unit=reading.unit,
            value=finite(reading.value),
            balance=finite(reading.balance),
            limit=finite(reading.limit),
            law=reading.law,
            verdict=reading.verdict,
            latency_ms=finite(latency_ms),
            load=finite(load),
        )
        for reading in readings
    )
    violations = [row for row in rows if row.verdict == Verdict.VIOLATED]
    for row in violations:
        note(
            who=process(node),
            action="law.violated",
            subject=Subject("account", str(account.pk), account.name),
            at=observed_at,
            after={
                "quantity": row.quantity,
                "unit": row.unit,
                "value": row.value,
                "balance": row.balance,
                "limit": row.limit,
                "law": row.law,
            },
        )
        _open_violation(account, row)
    if violations:
        publish_on_commit(quantity_changes(observed_at))
    return rows


def publish_run(*, run_id: UUID | str, fields: dict[str, Any] | None) -> None:
    """Tell pages about a run at once, in no transaction; None removes it. Does nothing while Redis
    is away.
    """
    publish_if_possible(current_schema(), {f"run.{run_id}": fields})


def _see_node(name: str, seen_at: datetime) -> Node:
    if not name:
        raise BadReading("An observation needs the name of the node that made it.")
    node, _ = Node.objects.get_or_create(
        name=name[:100],
        defaults={
            "kind": Node.Kind.WORKER,
            "first_seen_at": seen_at,
            "last_seen_at": seen_at,
        },
    )
    return node


def _open_violation(account: Account, row: Observation) -> None:
    name = row.quantity.replace("_", " ").capitalize()
    if row.balance is None or row.limit is None:
        detail = f"The reading of {account.name} is not a finite number."
    else:
        detail = (
            f"Off by {number(abs(row.balance), 3)} {row.unit}; "
            f"the {row.law} law allows {number(row.limit, 3)} {row.unit}."
        )
    open_alert(
        severity="critical",
        title=f"{name} is not conserved in {account.name}",
        detail=detail,
        quantity=row.quantity,
        value=None if row.balance is None else abs(row.balance),
        limit=row.limit,
        unit=row.unit,
        account_id=account.pk,
        subject_url=account.subject_url,
        dedupe_key=f"violation:{account.pk}:{row.quantity}",
        opened_at=row.observed_at,
    )
