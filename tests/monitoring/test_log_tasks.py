"""The log is anchored outside and verified as a whole; what is wrong becomes an alert."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from audit import anchors
from audit.anchors import anchored_heads, anchors_path, kept_heads
from audit.database import connect
from audit.models import Entry
from audit.sequencing import Sequencing
from audit.signing import read_keys
from monitoring.models import Alert
from monitoring.tasks import anchor_log, verify_log
from tenants.context import tenant_context
from tests.audit.conftest import add_entries, key_file, sequencer  # noqa: F401  (fixtures)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def superuser():
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def test_a_log_that_verifies_leaves_an_entry_and_one_that_does_not_a_critical_alert(
    sequencer,  # noqa: F811
    superuser,
):
    add_entries("acme", 3)
    sequencer.round()
    verify_log(tenant_schema="acme")
    with tenant_context("acme"):
        assert Entry.objects.filter(action="log.verified").count() == 1
        assert not Alert.objects.exists()

    # Tests that were rolled back have counted, too.
    (number,) = superuser.execute("SELECT number FROM acme.audit_leaf WHERE index = 1").fetchone()
    superuser.execute(
        "UPDATE acme.audit_entry SET action = 'other.done' WHERE number = %s", [number]
    )
    verify_log(tenant_schema="acme")
    with tenant_context("acme"):
        alert = Alert.objects.get()
        assert alert.severity == "critical"
        assert alert.detail == f"Entry {number} at place 1 was changed."
        assert Entry.objects.filter(action="log.not_verified").count() == 1
    with tenant_context("globex"):
        assert not Alert.objects.exists()


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it was sent; answers what the server says."""

    def do_POST(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.headers["Content-Type"], content))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"kept")

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def hook():
    with http.server.HTTPServer(("127.0.0.1", 0), Hook) as server:
        server.got, server.status = [], 200
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_the_newest_head_is_anchored_once_in_every_way(
    sequencer,  # noqa: F811
    superuser,
    hook,
    settings,
):
    settings.AII_LOG_ANCHOR_URL = f"http://127.0.0.1:{hook.server_port}/"
    anchor_log()
    assert not anchors_path().exists()
    add_entries("acme", 1)
    sequencer.round()
    anchor_log()
    anchor_log()
    (note,) = anchored_heads()
    assert read_keys().verify(note)[0].size == 1
    assert kept_heads() == [note]
    ((kind, content),) = hook.got
    assert kind == "application/json" and json.loads(content)["note"] == note
    rows = superuser.execute("SELECT size, means, token FROM audit_anchor ORDER BY number")
    assert [(row[0], row[1]) for row in rows] == [(1, "file"), (1, "http")]


def test_a_way_that_fails_is_said_and_keeps_none_of_the_others_away(
    sequencer,  # noqa: F811
    superuser,
    hook,
    settings,
    caplog,
):
    hook.status = 500
    settings.AII_LOG_ANCHOR_URL = f"http://127.0.0.1:{hook.server_port}/"
    # No authority answers like this.
    settings.AII_LOG_TSA_URL = "file:///etc/passwd"
    add_entries("acme", 1)
    sequencer.round()
    anchor_log()
    assert len(anchored_heads()) == 1
    assert "was not anchored (http)" in caplog.text
    assert "was not anchored (rfc3161): ValueError" in caplog.text
    rows = superuser.execute("SELECT means FROM audit_anchor").fetchall()
    assert rows == [("file",)]
    # An hour later, whether or not anything has happened since.
    hook.status = 200
    anchor_log()
    rows = superuser.execute("SELECT means FROM audit_anchor ORDER BY number").fetchall()
    assert rows == [("file",), ("http",)]
    assert len(anchored_heads()) == 1


def test_a_head_that_is_not_anchored_in_time_is_a_trouble_of_the_sequencer(
    sequencer,  # noqa: F811
    hook,
    settings,
    monkeypatch,
):
    hook.status = 500
    settings.AII_LOG_ANCHOR_URL = f"http://127.0.0.1:{hook.server_port}/"
    add_entries("acme", 1)
    sequencer.round()
    sequencer.close()
    with connect("tests") as connection:
        now = datetime.now(UTC)
        assert anchors.late_ways(connection, now) == []
        late = now + anchors.LATE + timedelta(seconds=1)
        assert anchors.late_ways(connection, late) == ["file", "http"]
        anchor_log()
        assert anchors.late_ways(connection, late) == ["http"]
    monkeypatch.setattr(anchors, "LATE", timedelta(0))
    assert "anchored for 0 hours (http)" in troubles_until(lambda said: said)
    monkeypatch.setattr(anchors, "LATE", timedelta(hours=2))
    assert troubles_until(lambda said: not said) == ""


def troubles_until(is_enough):
    """Run a sequencer until it works and its trouble is as wanted; return what it says."""
    sequencing, stopped = Sequencing(), threading.Event()
    thread = threading.Thread(target=sequencing.run, args=[stopped])
    thread.start()
    try:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            status = sequencing.status
            if status.is_working and is_enough(status.trouble):
                return status.trouble
            time.sleep(0.02)
        raise AssertionError(sequencing.status)
    finally:
        stopped.set()
        thread.join()
