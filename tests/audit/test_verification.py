"""Whatever is changed in the database, even by its superuser, recomputation finds it."""

from __future__ import annotations

import json
import os
import random
from datetime import UTC, datetime, timedelta
from io import StringIO

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.management import call_command

from audit import leaves, merkle
from audit.anchors import keep_head, kept_heads
from audit.checkpoint import Checkpoint, sign, signed_text
from audit.sequencer import Sequencer
from audit.signing import read_keys, rotate_key
from audit.verification import Report, verify
from tests.audit.conftest import add_entries

pytestmark = pytest.mark.django_db(transaction=True)
TEXT_COLUMNS = ["kind", "action", "who_kind", "who_id", "subject_type", "subject_id"]
BYTES_COLUMNS = ["actor", "details", "actor_digest", "details_digest"]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def log(key_file):
    """Two tenants' logs with several heads, a full tile, and the newest head kept outside."""
    times = iter(START + timedelta(minutes=number) for number in range(99))
    sequencer = Sequencer(read_keys, clock=lambda: next(times))
    try:
        for count in (260, 3, 5):
            add_entries("acme", count)
            add_entries("globex", 2)
            keep_head(sequencer.round().checkpoint)
    finally:
        sequencer.close()


@pytest.fixture
def attacker(log):
    with psycopg.connect(os.environ["AII_TEST_SUPERUSER_URL"], autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET event_triggers = off")
        yield connection


def check(connection) -> Report:
    with connection.transaction():
        return verify(connection, read_keys(), kept=kept_heads())


def ids(connection, table: str, key: str) -> list:
    return [
        row[0] for row in connection.execute(f"SELECT {key} FROM {table} ORDER BY 1").fetchall()
    ]


class Mutations:
    """Changes of the past. Each returns the place of the entry that it touched, if any."""

    def __init__(self, connection, dice: random.Random) -> None:
        self.db, self.dice = connection, dice

    def place_of(self, number: int) -> int:
        query = "SELECT index FROM acme.audit_leaf WHERE number = %s"
        return self.db.execute(query, [number]).fetchone()[0]

    def some(self, table: str, key: str):
        return self.dice.choice(ids(self.db, table, key))

    def edit_entry(self) -> int:
        number = self.some("acme.audit_entry", "number")
        column = self.dice.choice([*TEXT_COLUMNS, *BYTES_COLUMNS, "id"])
        if column in BYTES_COLUMNS:
            # Flip one bit anywhere.
            bit = self.dice.randrange(128)
            change = f"set_bit({column}, {bit}, 1 - get_bit({column}, {bit}))"
        else:
            change = "gen_random_uuid()" if column == "id" else f"{column} || 'x'"
        self.db.execute(
            f"UPDATE acme.audit_entry SET {column} = {change} WHERE number = %s", [number]
        )
        return self.place_of(number)

    def set_the_clock_back(self) -> int:
        number = self.some("acme.audit_entry", "number")
        column = self.dice.choice(["at", "inserted_at"])
        self.db.execute(
            f"UPDATE acme.audit_entry SET {column} = {column} - interval '1 second'"
            " WHERE number = %s",
            [number],
        )
        return self.place_of(number)

    def set_the_clock_of_a_head_back(self) -> None:
        table = self.dice.choice(["acme.audit_head", "public.audit_checkpoint"])
        self.db.execute(
            f"UPDATE {table} SET made_at = made_at - interval '1 hour' WHERE size = %s",
            [self.some(table, "size")],
        )

    def delete_entry(self) -> int:
        number = self.some("acme.audit_entry", "number")
        place = self.place_of(number)
        self.db.execute("DELETE FROM acme.audit_entry WHERE number = %s", [number])
        return place

    def delete_entry_and_leaf(self) -> int:
        place = self.delete_entry()
        self.db.execute("DELETE FROM acme.audit_leaf WHERE index = %s", [place])
        return place

    def delete_a_row_of_the_trees(self) -> None:
        table, key = self.dice.choice(
            [
                ("acme.audit_leaf", "index"),
                ("acme.audit_head", "size"),
                ("acme.audit_tile", "index"),
                ("public.audit_global_leaf", "index"),
                ("public.audit_checkpoint", "size"),
            ]
        )
        self.db.execute(f"DELETE FROM {table} WHERE {key} = %s", [self.some(table, key)])

    def edit_a_row_of_the_trees(self) -> None:
        table, key, change = self.dice.choice(
            [
                ("acme.audit_leaf", "index", "hash = sha256(hash)"),
                ("acme.audit_leaf", "index", "number = number + 100000"),
                ("acme.audit_head", "size", "root = sha256(root)"),
                ("acme.audit_head", "size", "note = replace(note, 'time 2026', 'time 2025')"),
                ("acme.audit_head", "size", "global_index = global_index + 1"),
                ("acme.audit_tile", "index", "hashes = set_bit(hashes, 5, 1 - get_bit(hashes, 5))"),
                ("public.audit_global_leaf", "index", "data = data || 'x'"),
                ("public.audit_global_leaf", "index", "tenant = 'other'"),
                ("public.audit_checkpoint", "size", "root = sha256(root)"),
            ]
        )
        self.db.execute(f"UPDATE {table} SET {change} WHERE {key} = %s", [self.some(table, key)])

    def reorder(self) -> int:
        """Swap two entries' places, leaf hashes included."""
        one, other = self.dice.sample(ids(self.db, "acme.audit_leaf", "index"), 2)
        self.db.execute(
            "UPDATE acme.audit_leaf SET index = -1 - index WHERE index IN (%s, %s)", [one, other]
        )
        self.db.execute(
            "UPDATE acme.audit_leaf SET index = %s + %s + 1 + index WHERE index < 0", [one, other]
        )
        return min(one, other)

    def insert_into_the_past(self) -> None:
        number = self.some("acme.audit_entry", "number")
        columns = "xact, inserted_at, id, at, kind, action, who_kind, who_id, subject_type,"
        columns += " subject_id, actor, details, actor_digest, details_digest"
        low = self.db.execute(
            "SELECT least(%s, max(number) - 1) FROM acme.audit_entry", [number]
        ).fetchone()[0]
        self.db.execute(
            f"INSERT INTO acme.audit_entry (number, {columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT 0, {columns} FROM acme.audit_entry WHERE number = %s",
            [low],
        )

    def cut_off_the_end(self) -> None:
        """Back to an earlier head everywhere in the database, as if nothing had come after."""
        (index,) = self.db.execute(
            "SELECT global_index FROM acme.audit_head ORDER BY size OFFSET %s LIMIT 1",
            [self.dice.randrange(2)],
        ).fetchone()
        whole = self.db.execute(
            "SELECT max(size) FROM public.audit_checkpoint WHERE size <= %s", [index + 2]
        ).fetchone()[0]
        for schema in ("acme", "globex"):
            kept = self.db.execute(
                f"SELECT max(size) FROM {schema}.audit_head WHERE global_index < %s", [whole]
            ).fetchone()[0]
            self.db.execute(
                f"DELETE FROM {schema}.audit_entry e USING {schema}.audit_leaf l"
                " WHERE l.number = e.number AND l.index >= %s",
                [kept],
            )
            self.db.execute(f"DELETE FROM {schema}.audit_leaf WHERE index >= %s", [kept])
            self.db.execute(f"DELETE FROM {schema}.audit_head WHERE size > %s", [kept])
        self.db.execute("DELETE FROM public.audit_global_leaf WHERE index >= %s", [whole])
        self.db.execute("DELETE FROM public.audit_checkpoint WHERE size > %s", [whole])

    def sign_again_with_another_key(self) -> None:
        """Change an entry and make every leaf, tile and head anew, signed by a key of one's own."""
        self.edit_entry()
        forge(self.db, Ed25519PrivateKey.generate())


def forge(db, key: Ed25519PrivateKey) -> None:
    rows = db.execute(
        f"SELECT {leaves.ENTRY_COLUMNS_SQL} FROM acme.audit_entry ORDER BY xact, number"
    ).fetchall()
    hashes = [leaves.entry_hash("acme", row) for row in rows]
    for index, leaf in enumerate(hashes):
        db.execute("UPDATE acme.audit_leaf SET hash = %s WHERE index = %s", [leaf, index])
    db.execute(
        "UPDATE acme.audit_tile SET root = %s, hashes = %s",
        [merkle.root_of(hashes[:256]), b"".join(hashes[:256])],
    )
    for size, time, place in db.execute(
        "SELECT size, to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
        " global_index FROM acme.audit_head"
    ).fetchall():
        root = merkle.root_of(hashes[:size])
        note = sign(Checkpoint("aii.test/log/acme", size, root, (f"time {time}",)), key)
        db.execute(
            "UPDATE acme.audit_head SET root = %s, note = %s WHERE size = %s", [root, note, size]
        )
        text = signed_text(note)
        leaf = merkle.leaf_hash(leaves.head_data(text))
        db.execute(
            "UPDATE audit_global_leaf SET data = %s, hash = %s WHERE index = %s",
            [text, leaf, place],
        )
    every = [row[0] for row in db.execute("SELECT hash FROM audit_global_leaf ORDER BY index")]
    for size, time in db.execute(
        "SELECT size, to_char(made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        " FROM audit_checkpoint"
    ).fetchall():
        root = merkle.root_of(every[:size])
        note = sign(Checkpoint("aii.test/log", size, root, (f"time {time}",)), key)
        db.execute(
            "UPDATE audit_checkpoint SET root = %s, note = %s WHERE size = %s", [root, note, size]
        )


KINDS = [
    name
    for name in vars(Mutations)
    if not name.startswith("_") and name not in ("some", "place_of")
]


def mutate(attacker, seed: int) -> None:
    """Make one random change, verify, and take the change back."""
    kind = KINDS[seed % len(KINDS)]
    with attacker.transaction(force_rollback=True):
        place = getattr(Mutations(attacker, random.Random(seed)), kind)()
        report = check(attacker)
        assert not report.is_good, f"{kind} with seed {seed} was not found"
        acme = next(log for log in report.logs if log.log == "acme")
        if place is not None:
            assert acme.fault is not None and acme.fault.index == place, (kind, seed, acme.fault)


def test_nothing_is_wrong_with_what_nobody_changed(attacker):
    report = check(attacker)
    assert report.is_good, report
    assert [(log.log, log.entries) for log in report.logs if log.entries] == [
        ("acme", 268),
        ("globex", 6),
        ("global", 6),
    ]


@pytest.mark.timeout(100)
def test_random_changes_are_all_found_and_edits_located(attacker):
    for seed in range(2 * len(KINDS)):
        mutate(attacker, seed)
    assert check(attacker).is_good


@pytest.mark.slow
def test_a_thousand_random_changes_are_all_found_and_edits_located(attacker):
    for seed in range(1000, 2000):
        mutate(attacker, seed)
    assert check(attacker).is_good


def test_a_retired_key_signs_nothing_new(attacker, key_file):
    old = read_keys().private
    rotate_key(START + timedelta(minutes=1, seconds=30))
    # The third head was made after the key was retired.
    assert not check(attacker).is_good
    assert old is not None


def test_the_command_says_verified_or_names_the_first_bad_entry(attacker):
    out = StringIO()
    call_command("audit_verify", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert said["verified"] and said["entries"] == 280

    entry_id, number = attacker.execute(
        "SELECT e.id::text, e.number FROM acme.audit_entry e JOIN acme.audit_leaf l USING (number)"
        " WHERE l.index = 7"
    ).fetchone()
    attacker.execute("UPDATE acme.audit_entry SET action = 'x.y' WHERE number = %s", [number])
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", "--tenant", "acme", "--json", stdout=out)
    assert ended.value.code == 3
    fault = next(log["fault"] for log in json.loads(out.getvalue())["logs"] if log["log"] == "acme")
    assert (fault["index"], fault["entry_id"]) == (7, entry_id)
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("audit_verify", stdout=out)
    assert f"acme: NOT VERIFIED. Entry {number} at place 7 was changed." in out.getvalue()
    assert "globex: VERIFIED, 6 leaves, 3 heads" in out.getvalue()


@pytest.mark.parametrize("options", [["--tenant", "nobody"], ["--keys", "/nowhere"]])
def test_the_command_refuses_bad_input(log, options):
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", *options, stderr=StringIO())
    assert ended.value.code == 2
