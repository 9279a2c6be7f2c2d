"""Writers for ``benchmarks.audit``: entries by many connections, beside a serial hash chain.

PostgreSQL's own pgbench writes, so that the load costs little of the processors it shares with the
log. The chain is the usual other way: each transaction locks the last row and hashes onto it. Both
sides get the same connections, one statement a transaction and, where a transaction works, the same
10 ms in the server; the chain holds its lock meanwhile, as a row lock does.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from hashlib import sha256

import psycopg

SECONDS = 8
# Not counted: each new connection reads the catalogue and plans, for milliseconds.
WARM_UP_S = 3
PARTS = (b"\0" * 120, b"\0" * 200, sha256(b"a").digest(), sha256(b"d").digest())
_COLUMNS = (
    "(id, at, kind, action, who_kind, who_id, subject_type, subject_id, actor, details,"
    " actor_digest, details_digest)"
)
_VALUES = "gen_random_uuid(), now(), 'entry', 'bench.done', 'process', 'bench', 'run', 'r1', " + (
    ", ".join(rf"'\x{part.hex()}'::bytea" for part in PARTS)
)
SINGLE = f"INSERT INTO acme.audit_entry {_COLUMNS} VALUES ({_VALUES});"
BATCHED = f"INSERT INTO acme.audit_entry {_COLUMNS} SELECT {_VALUES} FROM generate_series(1, 100);"
# A transaction that works for 10 ms after its entry, or its link, as one statement.
WORKING = "SELECT public.bench_entry();"
CHAINED = "SELECT public.bench_link();"
_SET_UP = f"""
CREATE TABLE public.bench_chain (id bigint, hash bytea);
INSERT INTO public.bench_chain VALUES (0, sha256(''));
CREATE TABLE public.bench_work (id bigserial PRIMARY KEY, words text);
GRANT ALL ON public.bench_chain, public.bench_work TO PUBLIC;
GRANT ALL ON SEQUENCE public.bench_work_id_seq TO PUBLIC;
CREATE FUNCTION public.bench_entry() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    {SINGLE}
    PERFORM pg_sleep(0.010);
END $$;
CREATE FUNCTION public.bench_link() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.bench_chain SET id = id + 1, hash = sha256(hash || 'entry');
    PERFORM pg_sleep(0.010);
END $$;
"""


@dataclass(frozen=True)
class Load:
    """What writers do, and how many of them."""

    script: str
    connections: int
    entries_each: int = 1


def set_up(superuser_url: str) -> None:
    """Make what the log is compared with."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(_SET_UP)


def run(load: Load) -> float:
    """Return entries, or links of the chain, a second.

    An entry counts when it is placed and signed: the time runs until the last one is.
    """
    from audit.sequencing import Sequencing

    count = count_links if load.script == CHAINED else count_leaves
    before = count()
    sequencing, stopped = Sequencing(), threading.Event()
    thread = threading.Thread(target=sequencing.run, args=[stopped])
    thread.start()
    try:
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(load.script)
            file.flush()
            writers = _start_writers(load, file.name)
            time.sleep(WARM_UP_S)
            begun_s, warm = time.perf_counter(), count()
            written = _transactions(writers) * load.entries_each
        while count() - before < written:
            time.sleep(0.005)
        return (before + written - warm) / (time.perf_counter() - begun_s)
    finally:
        stopped.set()
        thread.join()


def _start_writers(load: Load, script: str) -> subprocess.Popen[str]:
    from aii_site.embedded.postgresql import bin_dir

    count, time_s = f"--client={load.connections}", f"--time={WARM_UP_S + SECONDS}"
    return subprocess.Popen(
        [
            bin_dir() / "pgbench",
            *("--no-vacuum", "--protocol=prepared", "--jobs=2", count, time_s, "--file", script),
            os.environ["DATABASE_URL"],
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PGOPTIONS": "-c role=t_acme"},
    )


def _transactions(writers: subprocess.Popen[str]) -> int:
    """Wait for the end; return how many transactions there were."""
    said, errors = writers.communicate()
    found = re.search(r"transactions actually processed: (\d+)", said)
    failed = re.search(r"failed transactions: (\d+)", said)
    if not found or not failed or int(failed[1]):
        raise RuntimeError(f"pgbench did not write: {said} {errors}")
    return int(found[1])


def head_latencies() -> list[float]:
    """Return the seconds from each entry's insertion to the first signed head that covers it."""
    from audit.database import connect

    with connect("bench") as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM made_at - inserted_at)::float8 FROM acme.audit_entry"
            " JOIN acme.audit_leaf USING (number) CROSS JOIN LATERAL (SELECT made_at"
            " FROM acme.audit_head WHERE size > index ORDER BY size LIMIT 1) AS head"
        ).fetchall()
    return [row[0] for row in rows]


def count_leaves(schema: str = "acme") -> int:
    """Return how many entries of a tenant have their place."""
    from audit.database import connect

    with connect("bench") as connection:
        found = connection.execute(f"SELECT max(index) FROM {schema}.audit_leaf").fetchone()
    return 0 if found is None or found[0] is None else found[0] + 1


def count_links() -> int:
    """Return how many links the chain has."""
    from audit.database import connect

    with connect("bench") as connection:
        found = connection.execute("SELECT id FROM public.bench_chain").fetchone()
    assert found is not None
    links: int = found[0]
    return links
