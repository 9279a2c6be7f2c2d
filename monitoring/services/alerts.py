"""Opening, acknowledging and resolving alerts. Each change is published after its commit."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from monitoring.live import publish_on_commit
from monitoring.live_values import alert_key, alert_value
from monitoring.models import Alert
from monitoring.readings import finite
from monitoring.services.accounts import check_subject_url
from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, process
from tenants.journal import note as note_in_log
from tenants.models import User

NOTE_LENGTH_MAX = 500


class AlertUnknown(NotFound):
    """There is no such alert."""

    code = "alert_unknown"


class AlreadyAcknowledged(Conflict):
    """Somebody is on it."""

    code = "already_acknowledged"


class AlreadyResolved(Conflict):
    """It is over."""

    code = "already_resolved"


@transaction.atomic
def open_alert(
    *,
    severity: str,
    title: str,
    detail: str,
    quantity: str,
    value: float | None,
    limit: float | None,
    unit: str,
    dedupe_key: str,
    opened_at: datetime,
    account_id: UUID | None = None,
    subject_url: str = "",
) -> Alert:
    """Open an alert and return it; while one with the same ``dedupe_key`` is unresolved, return
    that one.

    Raises ``Invalid`` for an unknown severity, an empty title or key, or a foreign address.
    """
    if severity not in Alert.Severity.values:
        raise Invalid(f"{severity!r} is no severity. Choose one of {', '.join(Alert.Severity)}.")
    if not title or not dedupe_key:
        raise Invalid("An alert needs a title and a key that names the trouble.")
    check_subject_url(subject_url)
    alert, is_new = Alert.objects.get_or_create(
        dedupe_key=dedupe_key,
        resolved_at=None,
        defaults={
            "severity": severity,
            "title": title[:200],
            "detail": detail,
            "quantity": quantity,
            "value": finite(value),
            "limit": finite(limit),
            "unit": unit,
            "account_id": account_id,
            "subject_url": subject_url,
            "opened_at": opened_at,
        },
    )
    if is_new:
        note_in_log(
            who=process(),
            action="alert.opened",
            subject=_subject(alert),
            at=opened_at,
            after={
                "severity": severity,
                "detail": detail,
                "quantity": quantity,
                "value": value,
                "limit": limit,
                "unit": unit,
                "account": account_id,
            },
        )
        _publish(alert)
    return alert


@transaction.atomic
def acknowledge_alert(
    *, acting_user: User, alert_id: UUID, acknowledged_at: datetime, note: str = ""
) -> Alert:
    """Note that this person is on it.

    Raises ``AlertUnknown``, ``AlreadyAcknowledged``, ``AlreadyResolved`` and ``Invalid``. Locks
    the alert's row.
    """
    alert = _lock(alert_id)
    if alert.acknowledged_by is not None:
        raise AlreadyAcknowledged(f"{alert.acknowledged_by.email} acknowledged this alert already.")
    alert.acknowledged_at = max(acknowledged_at, alert.opened_at)
    alert.acknowledged_by = acting_user
    alert.acknowledged_note = _clean_note(note)
    alert.save(update_fields=["acknowledged_at", "acknowledged_by", "acknowledged_note"])
    note_in_log(
        who=acting_user,
        action="alert.acknowledged",
        subject=_subject(alert),
        at=acknowledged_at,
        why=alert.acknowledged_note,
    )
    _publish(alert)
    return alert


@transaction.atomic
def resolve_alert(
    *, acting_user: User, alert_id: UUID, resolved_at: datetime, note: str = ""
) -> Alert:
    """Note that this person saw the trouble end.

    Raises ``AlertUnknown``, ``AlreadyResolved`` and ``Invalid``. Locks the alert's row.
    """
    alert = _lock(alert_id)
    return _resolve(alert, resolved_at, _clean_note(note), acting_user)


@transaction.atomic
def clear_alert(*, dedupe_key: str, resolved_at: datetime, note: str) -> Alert | None:
    """Resolve the unresolved alert of a key because the platform saw the trouble end; None if
    there is none.
    """
    alert = (
        Alert.objects.select_for_update().filter(dedupe_key=dedupe_key, resolved_at=None).first()
    )
    return _resolve(alert, resolved_at, _clean_note(note), None) if alert else None


def _resolve(alert: Alert, resolved_at: datetime, note: str, who: User | None) -> Alert:
    alert.resolved_at = max(resolved_at, alert.opened_at)
    alert.resolved_by = who
    alert.resolved_note = note
    alert.save(update_fields=["resolved_at", "resolved_by", "resolved_note"])
    note_in_log(
        who=who or process(),
        action="alert.resolved",
        subject=_subject(alert),
        at=resolved_at,
        why=note,
    )
    _publish(alert)
    return alert


def _lock(alert_id: UUID) -> Alert:
    # Not the people's rows: a tenant may read but not lock them.
    alert = Alert.objects.select_for_update().filter(pk=alert_id).first()
    if alert is None:
        raise AlertUnknown(f"There is no alert {alert_id}.")
    if alert.resolved_at is not None:
        raise AlreadyResolved("This alert was resolved already.")
    return alert


def _clean_note(note: str) -> str:
    note = note.strip()
    if len(note) > NOTE_LENGTH_MAX:
        raise Invalid(f"A note has at most {NOTE_LENGTH_MAX} characters; this one has {len(note)}.")
    if "\x00" in note:
        raise Invalid("A note is text; this one holds a null character.")
    return note


def _subject(alert: Alert) -> Subject:
    return Subject("alert", str(alert.pk), alert.title)


def _publish(alert: Alert) -> None:
    publish_on_commit({alert_key(alert): alert_value(alert)})
