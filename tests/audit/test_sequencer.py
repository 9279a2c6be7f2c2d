"""Every committed entry gets one place, in an order that nothing can come before."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from audit import merkle
from audit.checkpoint import parse_text, signed_text
from audit.sequencer import LogBroken, OtherSequencer, Sequencer
from audit.signing import read_keys, rotate_key
from audit.trees import StoredTree, Tables
from tests.audit.conftest import add_entries
from tests.audit.test_fences import PAST

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reader():
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as connection:
        yield connection


def placed(reader, schema="acme"):
    return reader.execute(
        f"SELECT l.index, e.number, e.xact = l.xact FROM {schema}.audit_leaf l"
        f" JOIN {schema}.audit_entry e USING (number) ORDER BY l.index"
    ).fetchall()


def test_entries_of_two_tenants_get_their_places_and_one_signed_head(sequencer, reader):
    add_entries("acme", 3)
    add_entries("globex", 2)

    done = sequencer.round()

    assert (done.placed, done.heads) == (5, 2)
    assert [row[0] for row in placed(reader)] == [0, 1, 2]
    assert all(row[2] for row in placed(reader))
    assert [row[0] for row in placed(reader, "globex")] == [0, 1]
    checkpoint, made_at = read_keys().verify(done.checkpoint)
    assert checkpoint.origin == "aii.test/log" and checkpoint.size == 2
    for schema, size in (("acme", 3), ("globex", 2)):
        head, note, index = reader.execute(
            f"SELECT size, note, global_index FROM {schema}.audit_head"
        ).fetchone()
        tenant, head_at = read_keys().verify(note, schema)
        assert head == tenant.size == size and head_at == made_at
        leaf = merkle.leaf_hash(b"aii/head/1\n" + signed_text(note).encode())
        tree = StoredTree(
            lambda q, p: reader.execute(q, p).fetchall(),
            Tables("public.audit_global_leaf", "public.audit_global_tile"),
        )
        proof = merkle.inclusion_proof(index, 2, tree.node)
        merkle.verify_inclusion(leaf, index, 2, proof, checkpoint.root)
    assert sequencer.round().placed == 0


def test_a_transaction_that_commits_late_comes_after_nothing_that_has_its_place(sequencer, reader):
    url = os.environ["AII_TEST_SUPERUSER_URL"]
    insert = PAST.replace("INTO audit_entry", "INTO acme.audit_entry")
    with psycopg.connect(url) as early, psycopg.connect(url) as late:
        early.execute(insert)
        late.execute(insert)
        late.commit()
        waiting = sequencer.round()
        # Committed, and not placed: an older transaction is still open.
        assert waiting.placed == 0 and waiting.waiting_s > 0
        early.execute(insert)
        early.commit()
    assert sequencer.round().placed == 3
    order = reader.execute(
        "SELECT array_agg(index ORDER BY xact, number) FROM acme.audit_leaf"
    ).fetchone()[0]
    assert order == [0, 1, 2]


def test_a_transaction_that_rolls_back_leaves_a_gap_in_numbers_and_none_in_places(
    sequencer, reader
):
    insert = PAST.replace("INTO audit_entry", "INTO acme.audit_entry")
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"]) as writer:
        writer.execute(insert)
        writer.rollback()
    add_entries("acme", 2)
    sequencer.round()
    assert [row[:2] for row in placed(reader)] == [(0, 2), (1, 3)]


def test_a_restarted_sequencer_goes_on_where_the_last_one_stopped(sequencer, reader, key_file):
    add_entries("acme", 300)
    assert sequencer.round().placed == 300
    sequencer.close()
    add_entries("acme", 5)
    again = Sequencer(read_keys)
    try:
        assert again.round().placed == 5
    finally:
        again.close()
    hashes = [row[0] for row in reader.execute("SELECT hash FROM acme.audit_leaf ORDER BY index")]
    assert len(hashes) == 305
    note = reader.execute("SELECT note FROM acme.audit_head ORDER BY size DESC").fetchone()[0]
    assert parse_text(signed_text(note)).root == merkle.root_of(hashes)
    assert reader.execute("SELECT count(*) FROM acme.audit_tile").fetchone()[0] == 1


def test_many_entries_take_more_than_one_round(key_file):
    add_entries("acme", 5)
    sequencer = Sequencer(read_keys, batch=3)
    try:
        first, second = sequencer.round(), sequencer.round()
    finally:
        sequencer.close()
    assert (first.placed, first.is_behind) == (3, True)
    assert (second.placed, second.is_behind) == (2, False)


def test_one_sequencer_at_a_time(sequencer):
    with pytest.raises(OtherSequencer):
        Sequencer(read_keys)


def test_time_in_the_log_never_goes_back(key_file, reader):
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    times = iter([noon, noon - timedelta(hours=1), noon + timedelta(seconds=1)])
    sequencer = Sequencer(read_keys, clock=lambda: next(times))
    try:
        for _ in range(3):
            add_entries("acme", 1)
            sequencer.round()
    finally:
        sequencer.close()
    made = reader.execute("SELECT made_at FROM acme.audit_head ORDER BY size").fetchall()
    tick = timedelta(microseconds=1)
    assert [row[0] for row in made] == [noon, noon + tick, noon + timedelta(seconds=1)]


def test_heads_after_a_rotation_are_signed_by_the_new_key_and_old_ones_stay_good(sequencer, reader):
    add_entries("acme", 1)
    before = sequencer.round().checkpoint
    rotate_key(datetime.now(UTC))
    add_entries("acme", 1)
    after = sequencer.round().checkpoint
    keys = read_keys()
    assert len(keys.keys) == 2
    assert keys.verify(before)[0].size == 1 and keys.verify(after)[0].size == 2


def test_nothing_is_added_to_a_tree_that_somebody_changed(sequencer, superuser):
    add_entries("acme", 3)
    sequencer.round()
    sequencer.close()
    superuser.execute("UPDATE acme.audit_leaf SET hash = sha256('') WHERE index = 2")
    with pytest.raises(LogBroken, match="acme"):
        Sequencer(read_keys)
