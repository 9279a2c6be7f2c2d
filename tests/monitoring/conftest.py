"""What the monitoring tests share: times, readings and an open account."""

from __future__ import annotations

import datetime

import pytest

from monitoring import services
from monitoring.readings import UNITS, QuantityReading

NOON = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


def after(seconds: float) -> datetime.datetime:
    return NOON + datetime.timedelta(seconds=seconds)


def reading(quantity="energy", value=1.0, balance=1e-9, limit=1e-8, **changes) -> QuantityReading:
    fields = {"law": "bounded", "verdict": "BOUNDED", "unit": UNITS[quantity], **changes}
    return QuantityReading(quantity=quantity, value=value, balance=balance, limit=limit, **fields)


@pytest.fixture
def account(in_acme):
    return services.open_account(
        name="Solar System",
        kind="run",
        reference="7",
        opened_at=NOON,
        subject_url="/runs/7/",
    )


@pytest.fixture
def alert(in_acme):
    return open_alert()


def open_alert(**changes):
    fields = {
        "severity": "critical",
        "title": "Energy is not conserved",
        "detail": "Off by 2 J.",
        "quantity": "energy",
        "value": 2.0,
        "limit": 1.0,
        "unit": "J",
        "dedupe_key": "violation:1:energy",
        "opened_at": NOON,
        **changes,
    }
    return services.open_alert(**fields)


def observe(account, *readings, at=NOON, **changes):
    fields = {"node": "worker@test", "observed_at": at, **changes}
    return services.record_observation(account_id=account.pk, readings=list(readings), **fields)
