"""Writers for ``benchmarks.audit``: entries by many connections, beside a serial hash chain.

The chain is the usual other way: each transaction locks the last row and hashes onto it. Both sides
get the same connections, the same single statement a transaction and, where a transaction works,
the same 10 ms in the server; the chain holds its lock meanwhile, as a row lock does.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from bisect import bisect_right
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg

SECONDS = 5.0
# Not counted: connections, plans, the sequencer's first round.
WARM_UP_S = 0.5
PROCESSES = 4
WORK_S = 0.010
PARTS = (b"\0" * 120, b"\0" * 200, sha256(b"a").digest(), sha256(b"d").digest())
_COLUMNS = (
    "(id, at, kind, action, who_kind, who_id, subject_type, subject_id, actor, details,"
    " actor_digest, details_digest)"
)
_VALUES = (
    "gen_random_uuid(), now(), 'entry', 'bench.done', 'process', 'bench', 'run', 'r1', %b, %b, %b,"
    " %b"
)
SINGLE = f"INSERT INTO acme.audit_entry {_COLUMNS} VALUES ({_VALUES}) RETURNING number"
BATCHED = f"INSERT INTO acme.audit_entry {_COLUMNS} SELECT {_VALUES} FROM generate_series(1, 100)"
# A transaction that works for 10 ms after its entry, or its link, as one statement.
WORKING = "SELECT public.bench_entry(%b, %b, %b, %b)"
CHAINED = "SELECT public.bench_link()"
_SET_UP = f"""
CREATE TABLE public.bench_chain (id bigint, hash bytea);
INSERT INTO public.bench_chain VALUES (0, sha256(''));
CREATE TABLE public.bench_work (id bigserial PRIMARY KEY, words text);
GRANT ALL ON public.bench_chain, public.bench_work TO PUBLIC;
GRANT ALL ON SEQUENCE public.bench_work_id_seq TO PUBLIC;
CREATE FUNCTION public.bench_entry(bytea, bytea, bytea, bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO acme.audit_entry {_COLUMNS}
        VALUES (gen_random_uuid(), now(), 'entry', 'bench.done', 'process', 'bench', 'run', 'r1',
            $1, $2, $3, $4);
    PERFORM pg_sleep({WORK_S});
END $$;
CREATE FUNCTION public.bench_link() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE public.bench_chain SET id = id + 1, hash = sha256(hash || 'entry');
    PERFORM pg_sleep({WORK_S});
END $$;
"""


@dataclass(frozen=True)
class Load:
    """What writers do, and how many of them."""

    statement: str
    connections: int
    entries_each: int = 1

    @property
    def is_chain(self) -> bool:
        """Whether links are counted in place of entries of the log."""
        return self.statement == CHAINED


def set_up(superuser_url: str) -> None:
    """Make what the log is compared with, and the functions of a transaction that works."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(_SET_UP)


def run(load: Load) -> tuple[float, list[float]]:
    """Return entries a second and, where numbers came back, seconds from commit to signed head.

    For the log an entry counts when it is placed and signed: the time runs until the last one is.
    """
    from audit.sequencing import Sequencing

    context = multiprocessing.get_context("fork")
    results = context.Queue()
    barrier = context.Barrier(PROCESSES + 1)
    before = count_leaves()
    each = load.connections // PROCESSES
    processes = [
        context.Process(target=_write, args=(load, each, barrier, results))
        for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    # After the forks: a child has no use for the thread.
    sequencing, stopped = Sequencing(), threading.Event()
    thread = threading.Thread(target=sequencing.run, args=[stopped])
    thread.start()
    barrier.wait()
    begin_s = time.time() + WARM_UP_S
    answers = [results.get() for _ in processes]
    for process in processes:
        process.join()
    counted, warming = (sum(answer[i] for answer in answers) for i in (0, 1))
    while not load.is_chain and count_leaves() - before < counted + warming:
        time.sleep(0.005)
    took_s = SECONDS if load.is_chain else time.time() - begin_s
    stopped.set()
    thread.join()
    return counted / took_s, _head_latencies([pair for answer in answers for pair in answer[2]])


def _write(load: Load, connections: int, barrier: Any, results: Any) -> None:
    ready = threading.Barrier(connections + 1)
    done: list[tuple[int, int, list[tuple[int, float]]]] = []
    threads = [
        threading.Thread(target=_write_one, args=(load, ready, done)) for _ in range(connections)
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    barrier.wait()
    ready.wait()
    for thread in threads:
        thread.join()
    results.put(
        (
            sum(each[0] for each in done),
            sum(each[1] for each in done),
            [pair for each in done for pair in each[2]],
        )
    )


def _write_one(load: Load, ready: threading.Barrier, done: list[Any]) -> None:
    """Send the statement until the time is over; each is a transaction of its own."""
    counted = warming = 0
    pairs: list[tuple[int, float]] = []
    parameters = [] if load.is_chain else list(PARTS)
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        connection.cursor(binary=True) as cursor,
    ):
        cursor.execute("SET ROLE t_acme")
        ready.wait()
        ready.wait()
        begin_s = time.time() + WARM_UP_S
        while (now_s := time.time()) < begin_s + SECONDS:
            cursor.execute(load.statement, parameters, prepare=True)
            if now_s < begin_s:
                warming += load.entries_each
                continue
            counted += load.entries_each
            if load.statement == SINGLE and counted % 20 == 0:
                pairs.append((cursor.fetchone()[0], time.time()))  # type: ignore[index]
    done.append((counted, warming, pairs))


def _head_latencies(pairs: list[tuple[int, float]]) -> list[float]:
    """Return the seconds from each commit to the time of the head that first covered it."""
    from audit.database import connect

    with connect("bench") as connection:
        placed = dict(
            connection.execute(
                "SELECT number, index FROM acme.audit_leaf WHERE number = ANY(%s)",
                [[number for number, _ in pairs]],
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


def count_leaves(schema: str = "acme") -> int:
    """Return how many entries of a tenant have their place."""
    from audit.database import connect

    with connect("bench") as connection:
        found = connection.execute(f"SELECT max(index) FROM {schema}.audit_leaf").fetchone()
    return 0 if found is None or found[0] is None else found[0] + 1
