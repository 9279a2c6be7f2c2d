"""A sequencer that is killed at any of its points loses nothing and places nothing twice."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import psycopg
import pytest

from audit import merkle, sequencer, sequencing
from audit.checkpoint import parse_text, signed_text
from audit.sequencing import Sequencing
from audit.signing import read_keys
from tests.audit.conftest import add_entries

pytestmark = pytest.mark.django_db(transaction=True)
POINTS = ["read", "leaves", "head", "placed", "signed", "committed", "kept"]


def kill_at(point: str) -> int:
    """Run a sequencer in a process of its own that is killed at a point; return how it ended."""
    child = os.fork()
    if child == 0:

        def kill(passed: str) -> None:
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            Sequencing(at_point=kill).run(threading.Event())
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_these_are_all_points():
    source = Path(sequencer.__file__).read_text() + Path(sequencing.__file__).read_text()
    assert set(re.findall(r'_at_point\("(\w+)"\)', source)) == set(POINTS)


@pytest.mark.timeout(60)
def test_killed_at_each_point_it_loses_and_doubles_nothing(key_file, tmp_path):
    for point in POINTS:
        add_entries("acme", 3)
        add_entries("globex", 2)
        assert kill_at(point) == -signal.SIGKILL, point
    last = sequencer.Sequencer(read_keys)
    try:
        last.round()
    finally:
        last.close()
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as reader:
        for schema, count in (("acme", 3 * len(POINTS)), ("globex", 2 * len(POINTS))):
            leaves = reader.execute(
                f"SELECT index, number, hash FROM {schema}.audit_leaf ORDER BY index"
            ).fetchall()
            numbers = reader.execute(
                f"SELECT number FROM {schema}.audit_entry ORDER BY xact, number"
            ).fetchall()
            assert [row[0] for row in leaves] == list(range(count))
            assert [row[1] for row in leaves] == [row[0] for row in numbers]
            for size, note in reader.execute(f"SELECT size, note FROM {schema}.audit_head"):
                head = read_keys().verify(note, schema)[0]
                assert head.root == merkle.root_of(row[2] for row in leaves[:size])
        heads = reader.execute("SELECT hash FROM audit_global_leaf ORDER BY index").fetchall()
        for size, note in reader.execute("SELECT size, note FROM audit_checkpoint"):
            root = parse_text(signed_text(note)).root
            assert root == merkle.root_of(row[0] for row in heads[:size])
        # What lies outside the database is never ahead of it.
        kept = parse_text(signed_text((tmp_path / "log-head.note").read_text()))
        assert kept.root == merkle.root_of(row[0] for row in heads[: kept.size])
