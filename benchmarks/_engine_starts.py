"""What the engine does beside computing: one digest however it runs, and first calls."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from llvmlite.binding import get_host_cpu_features

from benchmarks._report import Row

HERE = Path(__file__).resolve().parent


def one_digest() -> tuple[list[Row], list[str]]:
    """The digest of a run over threads, order of the input, and instruction sets."""
    digests: dict[str, str] = {}
    native = "AVX-512" if get_host_cpu_features()["avx512f"] else "native"
    for title, processor in ((native, ""), ("AVX2", "haswell"), ("SSE4.2", "nehalem")):
        # Without its features, too, the other code would use this processor's.
        other = {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": ""} if processor else {}
        for threads, permuted in product((1, 2), (0, 1)):
            digest = subprocess.run(
                [sys.executable, "-m", "benchmarks._digest", str(threads), str(permuted)],
                env={**os.environ, **other},
                cwd=HERE.parent,
                check=True,
                capture_output=True,
                text=True,
            ).stdout.strip()
            digests[f"{title}, {threads} threads{', permuted' if permuted else ''}"] = digest
    found = sorted(set(digests.values()))
    return [Row(f"digests of {len(digests)} ways to run it", len(found), "", goal=1)], [
        f"One run: {', '.join(digests)}: {' '.join(digest[:16] for digest in found)}."
    ]


def first_call() -> tuple[list[Row], list[str]]:
    """What a user waits for the first time, and the second."""
    rows = []
    code = (
        "import time; t = time.perf_counter()\n"
        "from simulation import engine\n"
        "engine.advance(engine.prepare('plummer', bodies=4096, {options}), 1)\n"
        "print(time.perf_counter() - t)"
    )
    for name, options in (("direct", ""), ("fmm", "force='fmm'")):
        with tempfile.TemporaryDirectory() as cache:
            for which in ("new machine", "kept code"):
                found = subprocess.run(
                    [sys.executable, "-c", code.format(options=options)],
                    env={**os.environ, "NUMBA_CACHE_DIR": cache},
                    cwd=HERE.parent,
                    check=True,
                    capture_output=True,
                    text=True,
                )
                goal = 60.0 if which == "new machine" else 5.0
                rows.append(
                    Row(
                        f"import and first step, {name}, {which}",
                        float(found.stdout),
                        "s",
                        goal=goal,
                    )
                )
    return rows, []
