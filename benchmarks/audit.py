"""The audit log against its targets T1 to T7, each beside what it is compared with.

On a database of its own (embedded, durable: each commit is flushed), made and thrown away here.
``_audit_load`` says how entries are written and what a serial chain does. T4's thousand random
changes are a test (``make test-slow``). Of T7 the five-page report waits for the room that writes
reports; its exports and the offline verification are here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg

from benchmarks import _audit_load, totals
from benchmarks._audit_load import BATCHED, CHAINED, SECONDS, SINGLE, WARM_UP_S, WORKING, Load
from benchmarks._report import Row, percentile, publish

WRITERS = 16
MANY = 128
REQUESTS = 2000
EXPORTED = 100_000
SUBJECTS = 1000
ERASED = SUBJECTS // 100
ROOT = Path(__file__).resolve().parent.parent
CONTROL = "control-marker-in-plain"


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="aii-bench-"))
    home.chmod(0o711)
    from aii_site import embedded

    try:
        with embedded.Services(home / "home") as services:
            os.environ.update(services.environment)
            os.environ["AII_PROCESS"] = "command"
            os.environ["DJANGO_SETTINGS_MODULE"] = "aii_site.settings.test"
            measure(services.superuser_url, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(superuser_url: str, folder: Path) -> None:
    import django
    from django.core.management import call_command

    django.setup()
    from tests import template

    template.main()
    call_command("migrate")
    _audit_load.set_up(superuser_url)
    rows = [*writing(), *a_request(), verifying()]
    rows += [*erasing(superuser_url, folder), *exporting(folder), *totals.rows(totals.measure())]
    publish(
        "audit",
        rows,
        [
            f"pgbench of {SECONDS} s, after {WARM_UP_S} s that do not count, on the sequencer's"
            f" machine: {WRITERS} connections for T1, {MANY} for T2 and its chain.",
            "T2's peer: a SHA-256 chain under a row lock; transactions of both work for 10 ms.",
            "T2, a request: BEGIN, a write, COMMIT, in turns with and without the entry.",
            f"T5: {ERASED} of {SUBJECTS} people; every file of the database, its write-ahead log,"
            " the bundle and the exports are searched for their words.",
            "T7's five-page report is not here: nothing writes reports yet.",
        ],
    )


def writing() -> list[Row]:
    single = _audit_load.run(Load(SINGLE, WRITERS))
    latencies = _audit_load.head_latencies()
    batched = _audit_load.run(Load(BATCHED, 4, entries_each=100))
    chain = _audit_load.run(Load(CHAINED, MANY))
    working = _audit_load.run(Load(WORKING, MANY))
    return [
        _more("T1 one entry a transaction, signed", single, goal=5000),
        _more("T1 100 a transaction, signed", batched, goal=20_000),
        _more("T2 in 10 ms transactions (peer: chain)", working, peer=chain, goal=50 * chain),
        Row("T3 insertion to signed head, p99", percentile(latencies, 0.99), "s", goal=1.0),
    ]


def _more(name: str, figure: float, *, goal: float, peer: float | None = None) -> Row:
    return Row(name, figure, "entries/s", peer=peer, goal=goal, more_is_better=True)


def a_request() -> list[Row]:
    """Time a small business transaction with its entry and without, in turns."""
    from django.db import connection, transaction

    from audit.services import Origin, Subject, Who, record
    from tenants.context import tenant_context

    who = Who("person", "6f1d3c0e-0000-4000-8000-000000000001", "ada@acme.example")
    taken: dict[bool, list[float]] = {True: [], False: []}
    with tenant_context("acme"):
        for number in range(2 * REQUESTS + 100):
            is_recorded = number % 2 == 0
            begun_s = time.perf_counter()
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO public.bench_work (words) VALUES (%s)", ["done"])
                if is_recorded:
                    record(
                        who=who,
                        action="bench.done",
                        subject=Subject("run", str(number), "run"),
                        at=datetime.now(UTC),
                        after={"steps": number, "scenario": "kepler"},
                        origin=Origin("198.51.100.7", "Mozilla/5.0", "0123456789abcdef"),
                    )
            if number >= 100:
                taken[is_recorded].append((time.perf_counter() - begun_s) * 1000)
    with_ms, without_ms = (percentile(taken[each], 0.95) for each in (True, False))
    return [
        Row("T2 what an entry adds to a request, p95", with_ms - without_ms, "ms", goal=1.0),
        Row("T2 the request with it, p95 (peer: without)", with_ms, "ms", peer=without_ms),
    ]


def verifying() -> Row:
    """Recompute all entries from their payloads."""
    from audit.anchors import kept_heads
    from audit.database import connect
    from audit.signing import read_keys
    from audit.verification import verify

    place_all()
    kept = kept_heads()
    with connect("bench") as connection, connection.transaction():
        report = verify(connection, read_keys(), tenant="acme", kept=kept)
    if not report.is_good:
        sys.exit(f"the log does not verify: {report}")
    count = sum(log.entries for log in report.logs)
    return _more(f"T4 {count:,} recomputed from payloads", count / report.seconds, goal=50_000)


def place_all() -> None:
    """Give every entry its place, and sign."""
    from audit.anchors import keep_head
    from audit.sequencer import Sequencer
    from audit.signing import read_keys

    sequencer = Sequencer(read_keys)
    try:
        done = sequencer.round()
        while done.placed or done.is_behind:
            keep_head(done.checkpoint)
            done = sequencer.round()
    finally:
        sequencer.close()


def person(number: int) -> str:
    return str(UUID(int=number + 1, version=4))


def word(number: int) -> str:
    """Return words that stand nowhere but in the content about a person."""
    return f"marker-of-{number:06d}-in-the-content"


def record_people() -> None:
    """Add the entries of a thousand people to the second tenant's log."""
    from django.db import transaction

    from audit.services import Subject, Who, record
    from tenants.context import tenant_context

    with tenant_context("globex"):
        for first in range(0, EXPORTED, 1000):
            with transaction.atomic():
                for number in range(first, first + 1000):
                    about = number % SUBJECTS
                    record(
                        who=Who("person", person(about), f"{word(about)}@people.example"),
                        action="bench.done",
                        subject=Subject("run", str(number), "a run"),
                        at=datetime.now(UTC),
                        after={"steps": number, "words": "what it is about"},
                    )
    place_all()


def erasing(superuser_url: str, folder: Path) -> list[Row]:
    """Erase one person in a hundred; every earlier proof has to verify, and no word to be found."""
    from audit.encryption import keys
    from tenants.encryption import erase_subject

    record_people()
    before = write_bundle(folder / "before.json")
    begun_s = time.perf_counter()
    for number in range(ERASED):
        erase_subject(
            f"person:{person(number)}",
            schemas=["globex"],
            erased_by="bench",
            reason="Article 17",
            erased_at=datetime.now(UTC),
        )
    took_s = time.perf_counter() - begun_s
    keys.forget_everything()
    place_all()
    after = write_bundle(folder / "after.json")
    broken = sum(
        verify_offline(*arguments).returncode != 0
        for arguments in ((before,), (after,), (after, "--earlier", str(before)))
    )
    paths = [
        *files_of(superuser_url),
        after,
        *(export(form, folder)[0] for form in ("csv", "json")),
    ]
    texts = [read(path) for path in paths]
    left = sum(word(number).encode() in text for text in texts for number in range(ERASED))
    if not any(CONTROL.encode() in text for text in texts):
        sys.exit("the search does not find what lies there in plain")
    if word(ERASED).encode() not in after.read_bytes():
        sys.exit("the search does not find those who were not erased")
    return [
        Row("T5 proofs that fail after 1 % of subjects is erased", broken, "of 3", goal=0),
        Row(f"T5 words of theirs found in {len(paths)} files", left, "places", goal=0),
        Row("T5 to erase one subject", took_s / ERASED, "s"),
    ]


def files_of(superuser_url: str) -> list[Path]:
    """Return the database's files and its write-ahead log, one plain word in them."""
    with psycopg.connect(superuser_url, autocommit=True) as superuser:
        superuser.execute("INSERT INTO public.bench_work (words) VALUES (%s)", [CONTROL])
        superuser.execute("CHECKPOINT")
        row = superuser.execute(
            "SELECT current_setting('data_directory'), oid FROM pg_database"
            " WHERE datname = current_database()"
        ).fetchone()
    assert row is not None
    data = Path(row[0])
    folders = [data / "base" / str(row[1]), data / "pg_wal"]
    return [path for each in folders for path in each.rglob("*") if path.is_file()]


def read(path: Path) -> bytes:
    """Return a file's bytes; the server takes some of its own away meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def write_bundle(path: Path) -> Path:
    from audit.bundles import find_window
    from audit.bundles import write_bundle as write
    from audit.signing import read_keys
    from tenants.context import tenant_context

    with tenant_context("globex"), path.open("w", encoding="utf-8") as file:
        write(file, read_keys(), find_window(None, datetime.now(UTC)))
    return path


def verify_offline(bundle: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Verify as somebody does who has the bundle, the key and Python, and nothing else."""
    from audit.signing import read_keys

    key = read_keys().describe()["keys"][0]["verifier_key"]
    file = ROOT / "audit" / "verify_bundle.py"
    command = [sys.executable, "-I", "-S", str(file), str(bundle), "--key", key, *options]
    return subprocess.run(command, check=False, capture_output=True)


def export(form: str, folder: Path) -> tuple[Path, float]:
    """Export the entries as the explorer does; return the file and how long it took."""
    from tenants.audit_pages.forms import EntryFilter
    from tenants.audit_pages.services import export_entries
    from tenants.context import tenant_context
    from tenants.models import User

    with tenant_context("globex"):
        asked = EntryFilter({"action": "bench.done"})
        assert asked.is_valid(), asked.errors
        auditor = User.objects.get(email="operator@globex.example")
        begun_s = time.perf_counter()
        with export_entries(
            acting_user=auditor, asked=asked, form=form, exported_at=datetime.now(UTC)
        ) as file:
            path = folder / f"export.{form}"
            path.write_bytes(file.read())
    return path, time.perf_counter() - begun_s


def exporting(folder: Path) -> list[Row]:
    """Take a hundred thousand entries away, in each form, and verify their bundle offline."""
    rows = []
    for form in ("csv", "json"):
        _, took_s = export(form, folder)
        rows.append(Row(f"T7 export {EXPORTED:,} entries, {form}", took_s, "s", goal=10))
    begun_s = time.perf_counter()
    bundle = write_bundle(folder / "bundle.json")
    rows.append(Row("T7 write their bundle", time.perf_counter() - begun_s, "s"))
    begun_s = time.perf_counter()
    done = verify_offline(bundle)
    if done.returncode:
        sys.exit(f"the bundle does not verify: {done.stdout!r} {done.stderr!r}")
    rows.append(Row("T7 verify it offline", time.perf_counter() - begun_s, "s", goal=5))
    return rows


if __name__ == "__main__":
    main()
