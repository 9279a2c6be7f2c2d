"""Keys as operators handle them: listing, rotating, erasing, replaying after a restore."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from aii_site.embedded import bin_dir
from audit.encryption import erasures, keyring, keys, rotation, services
from audit.encryption.models import DataKey
from tenants import encryption
from tenants.context import public_context, tenant_context
from tests.cast import NOON
from tests.tenants.test_commands import Done, manage

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

ROOT = Path(__file__).resolve().parent.parent.parent
ADA, BOB = "person:ada", "person:bob"
PLACE = "notes|text"


@pytest.fixture(autouse=True)
def _keys_of_this_test(tmp_path, monkeypatch, settings):
    """A key file and a list of erasures of one's own."""
    keyring.FileSource(tmp_path / "kek").write(keyring.new_key_text())
    monkeypatch.setenv("AII_KEK_FILE", str(tmp_path / "kek"))
    settings.AII_ERASURE_LIST = tmp_path / "erasures.jsonl"
    monkeypatch.setenv("AII_ERASURE_LIST", str(settings.AII_ERASURE_LIST))
    keys.forget_everything()
    yield
    with public_context(), psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
        owner.execute("TRUNCATE public.encryption_datakey")
    keys.forget_everything()


def seal(schema: str, subject: str = ADA, text: bytes = b"hello") -> bytes:
    with encryption.entered(schema):
        return services.seal(subject, text, context=PLACE)


def open_again(schema: str, sealed: bytes) -> bytes | None:
    with encryption.entered(schema):
        return services.open_sealed(sealed, context=PLACE)


def answer_of(done: Done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def let_old_keks_settle() -> None:
    """Make the key file look as old as it has to be."""
    path = Path(os.environ["AII_KEK_FILE"])
    past_s = time.time() - rotation.SETTLE_S - 1
    os.utime(path, (past_s, past_s))


class TestRotation:
    def test_a_new_kek_wraps_everything_and_the_old_one_goes(self, acme):
        sealed = {schema: seal(schema) for schema in ("acme", "globex", "public")}
        old = answer_of(manage("encryption_keys", "--json"))["keks"][0]["id"]

        turned = answer_of(manage("rotate_keys", "--new-kek", "--json"))
        assert turned["new"] == turned["current"] != old
        assert (turned["rewrapped"], turned["to_rewrap"], turned["dropped"]) == (3, 0, [])
        early = manage("rotate_keys", "--drop-old", "--json")
        assert (early.returncode, early.stdout) == (2, "")
        assert "ago" in early.stderr

        let_old_keks_settle()
        assert answer_of(manage("rotate_keys", "--drop-old", "--json"))["dropped"] == [old]
        keys.forget_everything()
        listed = answer_of(manage("encryption_keys", "--json"))
        assert [(kek["id"], kek["data_keys"]) for kek in listed["keks"]] == [(turned["new"], 3)]
        for schema, text in sealed.items():
            assert open_again(schema, text) == b"hello"

    def test_a_kek_that_still_wraps_something_is_not_dropped(self, acme):
        seal("acme")
        old = keys.keyring().get().current.id
        rotation.add_kek()
        let_old_keks_settle()
        assert encryption.drop_old_keks() == []
        assert old in keys.keyring().get().ids

    def test_keys_from_elsewhere_are_not_changed_here(self, monkeypatch, acme):
        monkeypatch.delenv("AII_KEK_FILE")
        monkeypatch.setenv("AII_KEK", keyring.new_key_text())
        keys.forget_everything()
        done = manage("rotate_keys", "--new-kek", "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert "where they are kept" in done.stderr

    def test_a_kek_that_is_needed_and_missing_is_named(self, monkeypatch, acme):
        seal("acme")
        monkeypatch.delenv("AII_KEK_FILE")
        monkeypatch.setenv("AII_KEK", keyring.new_key_text())
        keys.forget_everything()
        done = manage("encryption_keys", "--json")
        assert done.returncode == 3
        lost = [kek["id"] for kek in json.loads(done.stdout)["keks"] if not kek["is_configured"]]
        assert lost and lost[0] in done.stderr
        turned = manage("rotate_keys", "--json")
        assert (turned.returncode, turned.stdout) == (2, "")

    def test_killed_in_the_middle_it_goes_on_and_loses_nothing(self, acme):
        """SIGKILL between two batches of a process of its own."""
        subjects = [f"person:{number}" for number in range(300)]
        sealed = [seal("acme", subject, subject.encode()) for subject in subjects]
        new = rotation.add_kek()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "rotate_keys", "--batch", "1", "--json"],
            cwd=ROOT,
            env={**os.environ, "AII_PROCESS": "command"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(20):  # Twenty batches are done.
            assert process.stderr.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
        with tenant_context("acme"):
            done = DataKey.objects.filter(kek_id=new).count()
        assert 20 <= done < 300
        rest = answer_of(manage("rotate_keys", "--json"))
        assert (rest["rewrapped"], rest["to_rewrap"]) == (300 - done, 0)
        keys.forget_everything()
        assert [open_again("acme", text) for text in sealed] == [s.encode() for s in subjects]


class TestErasing:
    def test_destroys_in_every_tenant_notes_it_and_lists_it(self, acme):
        sealed = {schema: seal(schema) for schema in ("acme", "globex", "public")}
        other = seal("acme", BOB)
        done = answer_of(manage("erase_subject", ADA, "--reason", "Article 17", "--yes", "--json"))
        assert set(done["schemas"]) == set(sealed)
        assert done["listed"] == 3
        assert all(outcome["is_compacted"] for outcome in done["schemas"].values())
        assert [open_again(schema, text) for schema, text in sealed.items()] == [None] * 3
        assert open_again("acme", other) == b"hello"
        listed = erasures.read_list(settings.AII_ERASURE_LIST)
        assert {(e.schema, e.subject) for e in listed} == {(schema, ADA) for schema in sealed}
        assert settings.AII_ERASURE_LIST.stat().st_mode & 0o777 == 0o600
        with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:
            noted = owner.execute(
                "SELECT count(*) FROM acme.audit_entry WHERE action = 'subject.erased'"
            ).fetchone()
        assert noted == (1,)

    def test_again_changes_nothing(self, acme):
        seal("acme")
        first = answer_of(manage("erase_subject", ADA, "--reason", "x", "--yes", "--json"))
        again = answer_of(manage("erase_subject", ADA, "--reason", "y", "--yes", "--json"))
        assert again["schemas"]["acme"]["was_destroyed_before"]
        assert again["listed"] == 0
        assert again["schemas"]["acme"]["destroyed_at"] == first["schemas"]["acme"]["destroyed_at"]

    def test_one_tenant_alone(self, acme):
        mine, theirs = seal("acme"), seal("globex")
        answer_of(
            manage("erase_subject", ADA, "--reason", "x", "--tenant", "acme", "--yes", "--json")
        )
        assert open_again("acme", mine) is None
        assert open_again("globex", theirs) == b"hello"

    @pytest.mark.parametrize(
        "arguments",
        [
            ["person:nobody", "--reason", "x", "--yes"],
            ["ada@acme.example", "--reason", "x", "--yes"],
            [ADA, "--reason", " ", "--yes"],
            [ADA, "--reason", "x" * 501, "--yes"],
            [ADA, "--reason", "x", "--yes", "--tenant", "nobody"],
            [ADA, "--reason", "x", "--yes", "--tenant", "globex"],
        ],
    )
    def test_says_in_one_sentence_why_not_and_destroys_nothing(self, acme, arguments):
        sealed = seal("acme")
        done = manage("erase_subject", *arguments, "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.strip().endswith((".", ">", "signs"))
        assert open_again("acme", sealed) == b"hello"
        assert not settings.AII_ERASURE_LIST.exists()

    @pytest.mark.parametrize(("typed", "code"), [("", 2), ("person:bob", 2), (ADA, 0)])
    def test_asks_before_it_destroys(self, acme, monkeypatch, typed, code):
        sealed = seal("acme")
        monkeypatch.setattr("builtins.input", lambda: typed)
        assert manage("erase_subject", ADA, "--reason", "x", "--json").returncode == code
        assert (open_again("acme", sealed) is None) == (code == 0)


LINE = erasures.Erasure("acme", ADA, DataKey().pk, 1, NOON, "tests")


class TestList:
    def test_a_line_that_was_not_finished_is_left_out_and_mended(self, tmp_path):
        path = tmp_path / "list"
        other = erasures.Erasure(**{**LINE.__dict__, "key": DataKey().pk})
        assert erasures.write_missing(path, [LINE]) == 1
        path.write_bytes(path.read_bytes() + b'{"v": 1, "sch')
        assert erasures.read_list(path) == [LINE]
        assert erasures.write_missing(path, [LINE, other]) == 1
        assert erasures.read_list(path) == [LINE, other]

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "[]",
            "{}",
            "{" * 1500,
            LINE.as_line().replace('"v": 1', '"v": 2'),
            LINE.as_line().replace('"acme"', '"acme; DROP"'),
            LINE.as_line().replace(ADA, "ada@acme.example"),
            LINE.as_line().replace('"generation": 1', '"generation": true'),
            LINE.as_line().replace("+00:00", ""),
            LINE.as_line().replace('"by"', '"extra": 1, "by"'),
            LINE.as_line().replace("tests", "x" * 3000),
        ],
    )
    def test_a_line_that_is_none_is_refused_with_its_number(self, tmp_path, acme, line):
        path = tmp_path / "list"
        path.write_text(LINE.as_line() + line.strip() + "\n")
        done = manage("replay_erasures", "--list", str(path), "--yes", "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert "Line 2" in done.stderr

    def test_what_a_crash_left_out_is_added_from_the_tombstones(self, acme):
        seal("acme")
        answer_of(manage("erase_subject", ADA, "--reason", "x", "--yes", "--json"))
        settings.AII_ERASURE_LIST.unlink()
        assert answer_of(manage("encryption_keys", "--json"))["erasures"]["missing"] == 1
        again = answer_of(manage("erase_subject", ADA, "--reason", "x", "--yes", "--json"))
        assert again["listed"] == 1
        assert answer_of(manage("encryption_keys", "--json"))["erasures"]["missing"] == 0


@pytest.mark.skipif("AII_TEST_OWN_SERVERS" in os.environ, reason="needs the server's superuser")
class TestRestore:
    """A real dump, an erasure after it, a real restore into another database, and the replay."""

    @pytest.fixture
    def superuser(self) -> str:
        secrets = json.loads((settings.AII_HOME / "secrets.json").read_text())
        parts = urlsplit(os.environ["DATABASE_OWNER_URL"])
        netloc = f"postgres:{secrets['postgres_password']}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=netloc))

    @pytest.fixture
    def restore(self, superuser, tmp_path):
        """Return two functions: take a dump, and restore it under another name."""
        dump, name = tmp_path / "dump", "aii_restored"

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(bin_dir() / program), *arguments], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr

        def take() -> None:
            run("pg_dump", "--format=custom", f"--file={dump}", superuser)

        def put_back() -> dict[str, str]:
            with psycopg.connect(superuser, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER aii_owner").format(sql.Identifier(name))
                )
                connection.execute(f"GRANT CONNECT ON DATABASE {name} TO aii_app")
            there = urlunsplit(urlsplit(superuser)._replace(path=f"/{name}"))
            run("pg_restore", f"--dbname={there}", str(dump))
            return {
                variable: urlunsplit(urlsplit(os.environ[variable])._replace(path=f"/{name}"))
                for variable in ("DATABASE_URL", "DATABASE_OWNER_URL")
            }

        yield take, put_back
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def in_restored(self, urls: dict[str, str], *arguments: str) -> Done:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **urls, "AII_PROCESS": "command"},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    # Seven processes one after another: 20 s alone, 95 s on a machine with a load of 20.
    @pytest.mark.timeout(400)
    def test_an_erasure_after_the_dump_is_done_again(self, acme, restore):
        take, put_back = restore
        sealed, other = seal("acme"), seal("acme", BOB)
        take()
        answer_of(manage("erase_subject", ADA, "--reason", "Article 17", "--yes", "--json"))
        urls = put_back()
        probe = (
            "import sys, django; django.setup()\n"
            "from audit.encryption.services import open_sealed\n"
            "from tenants.context import tenant_context\n"
            "with tenant_context('acme'):\n"
            "    for each in sys.argv[1:]:\n"
            "        print(open_sealed(bytes.fromhex(each), context='notes|text'))\n"
        )

        def opened() -> list[str]:
            done = self.in_restored(urls, "-c", probe, sealed.hex(), other.hex())
            assert done.returncode == 0, done.stderr
            return done.stdout.split()

        # The backup brings the erased content back: this is what the list is for.
        assert opened() == ["b'hello'", "b'hello'"]
        refused = self.in_restored(urls, "manage.py", "replay_erasures", "--json")
        assert refused.returncode == 2
        assert opened() == ["b'hello'", "b'hello'"]
        done = self.in_restored(urls, "manage.py", "replay_erasures", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        replayed = json.loads(done.stdout)
        assert (replayed["destroyed"], replayed["known"]) == (1, 0)
        assert opened() == ["None", "b'hello'"]
        again = self.in_restored(urls, "manage.py", "replay_erasures", "--yes", "--json")
        assert json.loads(again.stdout)["known"] == 1


class TestReplay:
    def replay(self, *lines: erasures.Erasure) -> Done:
        settings.AII_ERASURE_LIST.write_text("".join(line.as_line() for line in lines))
        return manage("replay_erasures", "--yes", "--json")

    def test_a_subject_without_a_key_gets_a_tombstone(self, acme):
        assert answer_of(self.replay(LINE))["tombstones_made"] == 1
        with pytest.raises(services.SubjectErased):
            seal("acme")

    def test_a_tenant_that_is_not_here_is_counted(self, acme):
        elsewhere = erasures.Erasure(**{**LINE.__dict__, "schema": "initech"})
        answer = answer_of(self.replay(elsewhere))
        assert (answer["elsewhere"], answer["destroyed"]) == (1, 0)

    def test_a_key_made_since_the_restore_is_left_for_a_person_to_decide(self, acme):
        sealed = seal("acme")
        done = self.replay(LINE)
        assert done.returncode == 3
        assert json.loads(done.stdout)["clashes"] == [ADA]
        assert open_again("acme", sealed) == b"hello"
