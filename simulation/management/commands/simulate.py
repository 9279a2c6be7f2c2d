"""Run a simulation from the command line, without any database."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import RawDescriptionHelpFormatter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from simulation import engine, exports, simulate_options
from simulation.engine import (
    ArchiveDamaged,
    BadRequest,
    Outcome,
    OutOfRange,
    Progress,
    units,
)
from simulation.engine.distribution import STRATEGIES, TRANSPORTS, NoAnswer
from simulation.engine.distribution.force import WORKERS_MAX
from simulation.figures import seconds

GOOD, BAD_INPUT, VIOLATED = 0, 2, 3
INTERRUPTED = 130

_THREADS_MAX = 256
# Fewer bodies are faster on one thread.
_BODIES_FOR_THREADS = 1024
_PLAIN_PROGRESS_EVERY_S = 10.0

# What a resumed run has in its archive already.
_FIXED_BY_A_SNAPSHOT = (
    ("scenario", "a scenario"),
    ("input", "--input"),
    ("bodies", "--bodies"),
    ("dt_tu", "--dt-tu"),
    ("seed", "--seed"),
    ("integrator", "--integrator"),
    ("force", "--force"),
    ("accuracy", "--accuracy"),
    ("softening", "--softening"),
    ("collisions", "--collisions"),
    ("radius", "--radius"),
    ("restitution", "--restitution"),
    ("boundary", "--boundary"),
    ("box", "--box"),
)


class Command(BaseCommand):
    """Exit code 0 when every law held, 3 when one was violated, 2 on bad input."""

    help = "Run a simulation and verify its conservation laws. Needs no database."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """List the scenarios at the end of the help, one a line."""
        lines = [f"  {s.name:<20}{s.description}" for s in engine.SCENARIOS.values()]
        methods = [f"  {name:<20}{m.title}" for name, m in engine.INTEGRATORS.items()]
        return super().create_parser(
            prog_name,
            subcommand,
            epilog="\n".join(["Scenarios:", *lines, "", "Integrators:", *methods]),
            formatter_class=RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take numbers as text: the refusals are the engine's sentences, not argparse's."""
        parser.add_argument("scenario", nargs="?", help="one of " + ", ".join(engine.SCENARIOS))
        what = parser.add_argument_group("what to run")
        what.add_argument(
            "--input",
            metavar="FILE.csv",
            help="bodies of your own: body, mass, x, y, z, vx, vy, vz, and radius if they collide",
        )
        what.add_argument(
            "--units",
            metavar="U",
            help="of --input and of --output's .csv: N-body (G = 1), SI or au-Msun-yr (N-body)",
        )
        what.add_argument("--bodies", metavar="N", help="number of bodies (star clusters only)")
        what.add_argument("--steps", metavar="K", help="number of steps")
        what.add_argument("--dt-tu", metavar="S", help="step in the scenario's unit of time")
        what.add_argument("--seed", metavar="S", help="seed of a random initial state")
        what.add_argument("--softening", metavar="L", help="softening length in N-body units")
        what.add_argument("--integrator", metavar="I", help="see below (leapfrog)")
        what.add_argument("--force", metavar="F", help="direct, or fmm: fast multipole (direct)")
        accuracies = ", ".join(f"{a:g}" for a in engine.ACCURACIES)
        what.add_argument(
            "--accuracy", metavar="A", help=f"rms error of fmm's forces: {accuracies} (1e-4)"
        )
        what.add_argument("--collisions", metavar="C", help="bounce or merge (none)")
        what.add_argument("--radius", metavar="L", help="every body's radius (--input's, if any)")
        what.add_argument("--restitution", metavar="E", help="of a bounce, 0 to 1 (1)")
        what.add_argument("--boundary", metavar="B", help="open or periodic (open)")
        what.add_argument("--box", metavar="L", help="side of a periodic box, a power of two")
        how = parser.add_argument_group("how to run it (none of these changes a bit of the result)")
        how.add_argument("--threads", metavar="T", help="threads (all cores from 1024 bodies on)")
        how.add_argument("--workers", metavar="W", help="processes to share the forces among (1)")
        how.add_argument(
            "--transport",
            metavar="T",
            help=f"how these are reached: auto, {', '.join(TRANSPORTS)} (auto)",
        )
        how.add_argument(
            "--strategy",
            metavar="S",
            help=f"how work is dealt out: {', '.join(STRATEGIES)} (load)",
        )
        how.add_argument(
            "--reverse", action="store_true", help="run back to the start and compare digests"
        )
        how.add_argument(
            "--fault",
            metavar="KIND:STEP[:QUANTITY]",
            help="a drill: momentum:100 alters a body, reading:100:energy what is reported",
        )
        keep = parser.add_argument_group("what to keep")
        keep.add_argument("--archive", metavar="FILE", help="append snapshots to this file")
        keep.add_argument("--snapshot-every", metavar="K", help="one every K steps")
        keep.add_argument("--resume", metavar="FILE", help="go on from an archive's last snapshot")
        keep.add_argument("--resume-at", metavar="STEP", help="or from the one at this step")
        keep.add_argument(
            "--output",
            metavar="FILE",
            help=".csv: the last bodies, as --input takes them; .npz: these and every error",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, print, and exit with the code that says how it ended."""
        try:
            outcome = self._run(options)
        except (BadRequest, OutOfRange, ArchiveDamaged, NoAnswer) as refusal:
            self.stderr.write(str(refusal))
            sys.exit(BAD_INPUT)
        except KeyboardInterrupt:
            kept = "; the archive has what was kept" if options["archive"] else "; nothing was kept"
            self.stderr.write(f"Stopped{kept}.")
            sys.exit(INTERRUPTED)
        result = outcome.to_json()
        if options["json"]:
            self.stdout.write(json.dumps(result, allow_nan=False))
        else:
            self._print_table(outcome, result)
        quantities = result["quantities"].values()
        if any(quantity["verdict"] == "VIOLATED" for quantity in quantities):
            sys.exit(VIOLATED)

    def _run(self, options: dict[str, Any]) -> Outcome:
        start = None
        if options["resume"] is None:
            if options["resume_at"] is not None:
                raise BadRequest("--resume-at says where in the archive of --resume to start.")
            request = simulate_options.request_of(options)
        else:
            start = _snapshot(options)
            steps = simulate_options.whole("--steps", options["steps"])
            request = engine.request_to_continue(start, steps)
        fault = None if options["fault"] is None else simulate_options.fault_of(options["fault"])
        workers = simulate_options.between("--workers", options["workers"], WORKERS_MAX) or 1
        threads = simulate_options.between("--threads", options["threads"], _THREADS_MAX)
        if threads is None:
            threads = _default_threads(request.bodies, workers)
        every = simulate_options.whole("--snapshot-every", options["snapshot_every"])
        if every is not None and (every < 1 or options["archive"] is None):
            raise BadRequest("--snapshot-every is 1 or more and needs an --archive.")
        output = _output(options["output"])
        if options["units"] is not None:
            units.find_units(options["units"])
        if fault is not None:
            engine.check_fault(fault, request)
        progress = _ProgressLine(self)
        try:
            with _archive(options) as archive:
                outcome = engine.run(
                    request,
                    start=start,
                    threads=threads,
                    workers=workers,
                    transport=options["transport"] or "auto",
                    strategy=options["strategy"] or "load",
                    reverse=options["reverse"],
                    fault=fault,
                    archive=archive,
                    snapshot_every=every,
                    on_progress=progress.show,
                )
        finally:
            progress.clear()
        if output is not None:
            _write_output(output, outcome, options["units"])
        return outcome

    def _print_table(self, outcome: Outcome, result: dict[str, Any]) -> None:
        scenario = outcome.request.definition
        self.stdout.write(
            f"{scenario.title}: {result['bodies']} bodies, {result['steps_done']} of "
            f"{result['steps']} steps of {result['dt_tu']:g} tu ({scenario.time_s:.6g} s), "
            f"{result['wall_s']:.3f} s"
        )
        provenance = result["provenance"]
        self.stdout.write(f"{provenance['integrator']}, {provenance['force']}\n")
        heads = ("quantity", "unit", "initial", "final", "largest error", "limit", "law", "verdict")
        rows = [heads] + [_row(name, q) for name, q in result["quantities"].items()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())
        self.stdout.write("")
        for event in result.get("distribution", {}).get("events", ()):
            self.stdout.write(f"step {event['step']}: {event['why']}")
        for key in ("digest_start", "digest_end", "digest_reversed"):
            if key in result:
                self.stdout.write(f"{key:<16}{result[key]}")
        if outcome.violation is not None:
            self.stdout.write(outcome.violation.sentence)


class _ProgressLine:
    """Progress on standard error: one line that changes, or a line every ten seconds in a log."""

    def __init__(self, command: Command) -> None:
        self._stderr = command.stderr
        self._changes = sys.stderr.isatty()
        self._shown_at = time.monotonic()

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._shown_at < (0.1 if self._changes else _PLAIN_PROGRESS_EVERY_S):
            return
        self._shown_at = now
        way = "back" if progress.backwards else "forward"
        share = 100 * progress.steps_done / max(1, progress.steps)
        left = seconds(progress.left_s).replace("\u202f", " ")
        line = f"{way} {progress.steps_done}/{progress.steps} steps ({share:.0f} %), {left} left"
        if self._changes:
            self._stderr.write(f"\r\033[K{line}", ending="")
            self._stderr.flush()
        else:
            self._stderr.write(line)

    def clear(self) -> None:
        if self._changes:
            self._stderr.write("\r\033[K", ending="")


def _snapshot(options: dict[str, Any]) -> Any:
    for name, title in _FIXED_BY_A_SNAPSHOT:
        if options[name] is not None:
            raise BadRequest(f"--resume goes on with what its archive holds: leave out {title}.")
    at = simulate_options.whole("--resume-at", options["resume_at"])
    return engine.read_snapshot(options["resume"], step=at)


def _archive(options: dict[str, Any]) -> AbstractContextManager[engine.Archive | None]:
    path = options["archive"]
    if path is None:
        return nullcontext()
    resume = options["resume"]
    if resume is None or not Path(path).exists() or not Path(path).samefile(resume):
        return engine.Archive.create(path)
    if options["resume_at"] is not None:
        raise BadRequest("Snapshots after --resume-at would be lost: name a new --archive.")
    return engine.Archive.open(path)


def _output(name: str | None) -> Path | None:
    """Return where the result goes, known to be writable before anything is computed."""
    if name is None:
        return None
    path = Path(name)
    if path.suffix not in (".csv", ".npz"):
        raise BadRequest(f"--output ends in .csv or .npz, not {path.name[:40]!r}.")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise BadRequest(f"{path} cannot be written.")
    return path


def _write_output(path: Path, outcome: Outcome, units_name: str | None) -> None:
    """Write all of the file or nothing: under another name first."""
    if path.suffix == ".csv":
        bodies = outcome.state.bodies_now()
        if units_name is not None:
            own = units.units_of(outcome.request.definition)
            bodies = units.convert_bodies(bodies, own, units.find_units(units_name))
        content = engine.write_bodies(bodies).encode("utf-8")
    else:
        content = exports.to_npz(outcome.state, summary=outcome.to_json())
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError as error:
        raise BadRequest(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _default_threads(bodies: int, workers: int) -> int:
    if bodies < _BODIES_FOR_THREADS:
        return 1
    return max(1, len(os.sched_getaffinity(0)) // workers)


def _row(name: str, quantity: dict[str, Any]) -> tuple[str, ...]:
    numbers = (quantity[key] for key in ("initial", "final", "max_abs_error", "limit"))
    shown = ("unknown" if number is None else f"{number:.10g}" for number in numbers)
    return (name, quantity["unit"], *shown, quantity["law"], quantity["verdict"])
