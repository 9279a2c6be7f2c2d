"""What the tests of the audit across tenants share: accounts with readings, and a whole round."""

from __future__ import annotations

import datetime

import pytest

from monitoring import services as monitoring
from monitoring.models import Account
from monitoring.readings import UNITS, QuantityReading
from monitoring.totals import services
from monitoring.totals.keyfile import load_key
from monitoring.totals.models import Publication
from tenants.context import tenant_context
from tests.cast import NOON

HOUR = datetime.timedelta(hours=1)
SECOND = datetime.timedelta(seconds=1)
LAWS = {"energy": "bounded", "momentum": "exact", "information": "exact"}
GOOD = {"energy": -5e33, "momentum": 1.25e20, "information": 4096.0}
LIMITS = {"energy": 1e25, "momentum": 0.0, "information": 0.0}


@pytest.fixture
def private(db):
    return load_key()


def open_account(reference: str = "7", at=NOON) -> Account:
    return monitoring.open_account(
        name="A run", kind="run", reference=reference, opened_at=at, subject_url="/runs/7/"
    )


def read(account: Account, at=NOON, **values: float | None) -> None:
    """One reading of each quantity; a name ending in _verdict or _limit changes those."""
    readings = []
    for name in UNITS:
        if name not in GOOD:
            continue
        value = values.get(name, GOOD[name])
        known = value is not None
        verdict = values.get(f"{name}_verdict", "BOUNDED" if name == "energy" else "CONSERVED")
        readings.append(
            QuantityReading(
                quantity=name,
                unit=UNITS[name],
                value=value,
                balance=0.0 if known else None,
                limit=values.get(f"{name}_limit", LIMITS[name]),
                law=LAWS[name],
                verdict=verdict if known else "UNKNOWN",
            )
        )
    monitoring.record_observation(
        account_id=account.pk, node="worker@test", observed_at=at, readings=readings
    )


def close(account: Account, at=NOON) -> None:
    monitoring.close_account(account_id=account.pk, closed_at=at, outcome="DONE")


def answer(schema: str, number: int, at=NOON):
    with tenant_context(schema):
        return services.post_totals(number=number, posted_at=at)


def run_round(private, at, schemas=("acme", "globex")) -> Publication:
    """A whole round at one time; those who are left out do not answer."""
    round_ = services.open_round(private=private, opened_at=at)
    for schema in schemas:
        answer(schema, round_.number, at)
    return services.publish_round(number=round_.number, private=private, published_at=at)
