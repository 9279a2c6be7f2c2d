"""A log with entries in two tenants, its key, and its sequencer."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import transaction

from audit.sequencer import Sequencer
from audit.services import Subject, Who, record
from audit.signing import make_key, read_keys
from tenants.context import tenant_context
from tests.cast import NOON

WHO = Who("process", "tests")


def add_entries(schema: str, count: int, *, action: str = "test.done", **fields) -> None:
    """Add entries, each in a transaction of its own."""
    with tenant_context(schema):
        for number in range(count):
            with transaction.atomic():
                record(
                    who=WHO, action=action, subject=Subject("test", str(number)), at=NOON, **fields
                )


@pytest.fixture
def key_file(tmp_path, settings):
    settings.AII_LOG_KEY_FILE = str(tmp_path / "log-key.json")
    make_key("aii.test/log", datetime(2026, 1, 1, tzinfo=UTC))
    return tmp_path / "log-key.json"


@pytest.fixture
def sequencer(key_file):
    made = Sequencer(read_keys)
    yield made
    made.close()


@pytest.fixture
def superuser():
    """The cluster's superuser, who says that he means it."""
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET event_triggers = off")
        yield connection
