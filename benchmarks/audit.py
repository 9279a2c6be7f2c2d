"""The audit log: how many entries a second, how soon they are signed, how quick all is recomputed.

On a database of its own (embedded, durable: each commit is flushed). Writers are processes that
insert what ``audit.services.record`` inserts; the sequencer is the platform's. The serial chain is
the usual other way: each transaction locks the last row, hashes onto it and holds the lock while it
does its other work (10 ms, as a business transaction may). The thousand random changes of T4 are a
test (``make test-slow``).
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from bisect import bisect_right
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from benchmarks._report import Row, percentile, publish

SECONDS = 4.0
WRITERS = 16
BATCHED_WRITERS = 4
WORK_S = 0.010
PARTS = (b"\0" * 120, b"\0" * 200, sha256(b"a").digest(), sha256(b"d").digest())


def main() -> None:
    home = Path(tempfile.mkdtemp(prefix="aii-bench-"))
    home.chmod(0o711)
    from aii_site import embedded

    try:
        with embedded.Services(home / "home") as services:
            os.environ.update(services.environment)
            os.environ["AII_PROCESS"] = "command"
            os.environ["DJANGO_SETTINGS_MODULE"] = "aii_site.settings.test"
            measure(services.superuser_url)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def measure(superuser_url: str) -> None:
    import django
    import psycopg
    from django.core.management import call_command

    django.setup()
    from tests import template

    template.main()
    call_command("migrate")
    rates, latencies = {}, {}
    for name, per_transaction, writers in (
        ("single", 1, WRITERS),
        ("batched", 100, BATCHED_WRITERS),
    ):
        rates[name], latencies[name] = run_writers(writers, per_transaction)
    chain = run_chain(superuser_url)
    with_work, _ = run_writers(WRITERS, 1, work_s=WORK_S)
    added_ms = measure_record()
    verified_per_s = verify_all(psycopg)
    publish(
        "audit",
        [
            Row(
                "T1 one entry a transaction, signed",
                rates["single"],
                "entries/s",
                goal=5000,
                more_is_better=True,
            ),
            Row(
                "T1 100 a transaction, signed",
                rates["batched"],
                "entries/s",
                goal=20_000,
                more_is_better=True,
            ),
            Row(
                "T2 in 10 ms transactions, beside a serial chain",
                with_work,
                "entries/s",
                peer=chain,
                goal=50 * chain,
                more_is_better=True,
            ),
            Row("T2 an entry added to a request, p95", percentile(added_ms, 0.95), "ms", goal=1.0),
            Row(
                "T3 commit to signed head, p99",
                percentile(latencies["single"], 0.99),
                "s",
                goal=1.0,
            ),
            Row(
                "T4 recomputed from payloads",
                verified_per_s,
                "entries/s",
                goal=50_000,
                more_is_better=True,
            ),
        ],
        [
            f"{WRITERS} writers of {SECONDS:.0f} s on the sequencer's machine, with fsync;",
            "T2's peer: SHA-256 chain under a row lock, the same 16 writers, 10 ms of work inside.",
        ],
    )


def run_writers(
    writers: int, per_transaction: int, work_s: float = 0.0
) -> tuple[float, list[float]]:
    """Return entries a second, committed, placed and signed, and seconds from commit to head."""
    from audit.sequencing import Sequencing

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    sequencing, stopped = Sequencing(), threading.Event()
    thread = threading.Thread(target=sequencing.run, args=[stopped])
    before = count_leaves()
    barrier = context.Barrier(writers + 1)
    processes = [
        context.Process(target=write, args=(barrier, per_transaction, work_s, results))
        for _ in range(writers)
    ]
    for process in processes:
        process.start()
    # After the forks: a child has no use for the thread.
    thread.start()
    barrier.wait()
    begin_s = time.time()
    commits = [results.get() for _ in processes]
    for process in processes:
        process.join()
    total = sum(count for count, _ in commits)
    while count_leaves() - before < total:
        time.sleep(0.02)
    took_s = time.time() - begin_s
    stopped.set()
    thread.join()
    return total / took_s, head_latencies([pair for _, pairs in commits for pair in pairs])


def write(barrier, per_transaction: int, work_s: float, results) -> None:
    """Insert entries until the time is over; every 20th transaction is remembered."""
    import psycopg

    insert = (
        "INSERT INTO acme.audit_entry (id, at, kind, action, who_kind, who_id, subject_type,"
        " subject_id, actor, details, actor_digest, details_digest)"
        " SELECT gen_random_uuid(), now(), 'entry', 'bench.done', 'process', 'bench', 'run', 'r1',"
        " %s, %s, %s, %s"
        " FROM generate_series(1, %s)"
    )
    pairs, count = [], 0
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET ROLE t_acme")
        barrier.wait()
        begin_s = time.time()
        while time.time() < begin_s + SECONDS:
            with connection.transaction():
                connection.execute(insert, [*PARTS, per_transaction])
                if work_s:
                    time.sleep(work_s)
                sampled = count % (20 * per_transaction) == 0
                if sampled:
                    number = connection.execute(
                        "SELECT max(number) FROM acme.audit_entry"
                        " WHERE xact = pg_current_xact_id_if_assigned()"
                    ).fetchone()[0]
            if sampled:
                pairs.append((number, time.time()))
            count += per_transaction
    results.put((count, pairs))


def head_latencies(pairs: list[tuple[int, float]]) -> list[float]:
    """Return the seconds from each commit to the time of the head that first covered it."""
    from audit.database import connect

    with connect("bench") as connection:
        placed = dict(
            connection.execute(
                "SELECT number, index FROM acme.audit_leaf WHERE number = ANY(%s)",
                [[n for n, _ in pairs]],
            ).fetchall()
        )
        heads = connection.execute(
            "SELECT size, made_at FROM acme.audit_head ORDER BY size"
        ).fetchall()
    sizes = [size for size, _ in heads]
    return [
        max(0.0, heads[bisect_right(sizes, placed[number])][1].timestamp() - at)
        for number, at in pairs
    ]


def count_leaves() -> int:
    from audit.database import connect

    with connect("bench") as connection:
        found = connection.execute("SELECT max(index) FROM acme.audit_leaf").fetchone()[0]
    return 0 if found is None else found + 1


def run_chain(superuser_url: str) -> float:
    """Return how many links a second a serial hash chain makes with the same writers."""
    import psycopg

    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.bench_chain (id bigint, hash bytea)")
        connection.execute("INSERT INTO public.bench_chain VALUES (0, sha256(''))")
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    barrier = context.Barrier(WRITERS + 1)
    processes = [
        context.Process(target=link, args=(superuser_url, barrier, results)) for _ in range(WRITERS)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    total = sum(results.get() for _ in processes)
    for process in processes:
        process.join()
    return total / SECONDS


def link(url: str, barrier, results) -> None:
    import psycopg

    count = 0
    with psycopg.connect(url, autocommit=True) as connection:
        barrier.wait()
        begin_s = time.time()
        while time.time() < begin_s + SECONDS:
            with connection.transaction():
                connection.execute(
                    "UPDATE public.bench_chain SET id = id + 1, hash = sha256(hash || 'entry')"
                )
                time.sleep(WORK_S)
            count += 1
    results.put(count)


def measure_record() -> list[float]:
    """Return the milliseconds that ``record`` takes inside a transaction."""
    from django.db import transaction

    from audit.services import Subject, Who, record
    from tenants.context import tenant_context

    taken = []
    with tenant_context("acme"):
        for number in range(2000):
            with transaction.atomic():
                begun_s = time.perf_counter()
                record(
                    who=Who("person", "6f1d3c0e-0000-4000-8000-000000000001", "ada@acme.example"),
                    action="bench.done",
                    subject=Subject("run", str(number)),
                    at=datetime.now(UTC),
                    after={"steps": number, "scenario": "kepler"},
                )
                taken.append((time.perf_counter() - begun_s) * 1000)
    return taken


def verify_all(psycopg) -> float:
    """Return how many entries a second are recomputed from their payloads."""
    from audit.anchors import kept_heads
    from audit.database import connect
    from audit.signing import read_keys
    from audit.verification import verify

    kept = kept_heads()
    with connect("bench") as connection, connection.transaction():
        report = verify(connection, read_keys(), tenant="acme", kept=kept)
    if not report.is_good:
        sys.exit(f"the log does not verify: {report}")
    return sum(log.entries for log in report.logs) / report.seconds


if __name__ == "__main__":
    main()
