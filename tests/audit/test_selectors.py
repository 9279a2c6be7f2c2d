"""What pages and bundles read, as the tenant's own role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection

from audit import leaves, merkle, selectors
from audit.checkpoint import parse_text, signed_text
from audit.sequencer import Sequencer
from audit.signing import read_keys
from tenants.context import tenant_context
from tests.audit.conftest import add_entries

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def three_heads(key_file):
    times = iter([NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=2)])
    sequencer = Sequencer(read_keys, clock=lambda: next(times))
    try:
        for count in (2, 300, 5):
            add_entries("acme", count)
            add_entries("globex", 1)
            sequencer.round()
    finally:
        sequencer.close()


def test_a_tenant_can_prove_an_entry_up_to_the_signed_head_of_all(three_heads):
    with tenant_context("acme"):
        placed = next(selectors.iterate_placed(123, 124))
        assert placed.index == 123
        data = leaves.entry_data("acme", placed.row)
        assert merkle.leaf_hash(data) == placed.hash
        head = selectors.find_head_covering(123)
        assert (head.size, head.made_at) == (302, NOON + timedelta(hours=1))
        proof = merkle.inclusion_proof(123, head.size, selectors.log_tree().node)
        tenant = read_keys().verify(head.note, "acme")[0]
        merkle.verify_inclusion(placed.hash, 123, head.size, proof, tenant.root)

        whole = parse_text(signed_text(selectors.find_newest_checkpoint()))
        leaf = merkle.leaf_hash(leaves.head_data(signed_text(head.note)))
        proof = merkle.inclusion_proof(head.global_index, whole.size, selectors.global_tree().node)
        merkle.verify_inclusion(leaf, head.global_index, whole.size, proof, whole.root)


def test_a_window_begins_and_ends_at_heads(three_heads):
    with tenant_context("acme"):
        assert selectors.find_head_at_or_before(NOON - timedelta(seconds=1)) is None
        assert selectors.find_head_at_or_before(NOON + timedelta(minutes=30)).size == 2
        assert selectors.find_head_at_or_after(NOON + timedelta(minutes=30)).size == 302
        assert selectors.find_head_at_or_after(NOON + timedelta(hours=3)) is None
        assert selectors.find_newest_head().size == 307
        entries = list(selectors.iterate_placed(2, 302, batch=64))
        assert [entry.index for entry in entries] == list(range(2, 302))
        assert selectors.find_place(entries[0].row[1]) == 2
        assert selectors.find_place(10**9) is None


def test_a_tenant_does_not_read_what_another_does(three_heads):
    with (
        tenant_context("acme"),
        connection.cursor() as cursor,
        pytest.raises(DatabaseError, match="permission denied"),
    ):
        cursor.execute("SELECT data FROM public.audit_global_leaf")
