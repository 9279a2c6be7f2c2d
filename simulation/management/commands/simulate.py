"""Run a simulation from the command line, without any database."""

from __future__ import annotations

import json
import re
import sys
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from simulation import engine
from simulation.engine import BadRequest, Fault, Outcome, OutOfRange, Progress

GOOD, BAD_INPUT, VIOLATED = 0, 2, 3
INTERRUPTED = 130

_DIGITS_MAX = 18


class Command(BaseCommand):
    """Exit code 0 when every law held, 3 when one was violated, 2 on bad input."""

    help = "Run a simulation and verify its conservation laws. Needs no database."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """List the scenarios at the end of the help, one a line."""
        lines = [f"  {s.name:<14}{s.description}" for s in engine.SCENARIOS.values()]
        return super().create_parser(
            prog_name,
            subcommand,
            epilog="Scenarios:\n" + "\n".join(lines),
            formatter_class=RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take numbers as text: the refusals are the engine's sentences, not argparse's."""
        parser.add_argument("scenario", help="one of " + ", ".join(engine.SCENARIOS))
        parser.add_argument("--bodies", metavar="N", help="number of bodies (plummer only)")
        parser.add_argument("--steps", metavar="K", help="number of steps")
        parser.add_argument("--dt-tu", metavar="S", help="step in the scenario's unit of time")
        parser.add_argument("--seed", metavar="S", help="seed of a random initial state")
        parser.add_argument(
            "--reverse", action="store_true", help="run back to the start and compare digests"
        )
        parser.add_argument(
            "--fault",
            metavar="KIND:STEP[:QUANTITY]",
            help="a drill: momentum:100 alters a body, reading:100:energy what is reported",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run, print, and exit with the code that says how it ended."""
        try:
            outcome = self._run(options)
        except (BadRequest, OutOfRange) as refusal:
            self.stderr.write(str(refusal))
            sys.exit(BAD_INPUT)
        except KeyboardInterrupt:
            self.stderr.write("Stopped; nothing was kept.")
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
        request = engine.check_request(
            options["scenario"],
            bodies=_whole("--bodies", options["bodies"]),
            dt_tu=_real("--dt-tu", options["dt_tu"]),
            steps=_whole("--steps", options["steps"]),
            seed=_whole("--seed", options["seed"]) or 0,
        )
        fault = None if options["fault"] is None else _fault(options["fault"])
        show = self._show_progress if sys.stderr.isatty() else None
        try:
            return engine.run(request, reverse=options["reverse"], fault=fault, on_progress=show)
        finally:
            if show is not None:
                self.stderr.write("\r\033[K", ending="")

    def _show_progress(self, progress: Progress) -> None:
        way = "back" if progress.backwards else "forward"
        share = 100 * progress.steps_done / max(1, progress.steps)
        line = f"\r\033[K{way} {progress.steps_done}/{progress.steps} steps ({share:.0f} %)"
        self.stderr.write(line, ending="")
        self.stderr.flush()

    def _print_table(self, outcome: Outcome, result: dict[str, Any]) -> None:
        scenario = engine.SCENARIOS[outcome.request.scenario]
        self.stdout.write(
            f"{scenario.title}: {result['bodies']} bodies, {result['steps_done']} of "
            f"{result['steps']} steps of {result['dt_tu']:g} tu ({scenario.time_s:.6g} s), "
            f"{result['wall_s']:.3f} s\n"
        )
        heads = ("quantity", "unit", "initial", "final", "largest error", "limit", "law", "verdict")
        rows = [heads] + [_row(name, q) for name, q in result["quantities"].items()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self.stdout.write("  ".join(cells).rstrip())
        self.stdout.write("")
        for key in ("digest_start", "digest_end", "digest_reversed"):
            if key in result:
                self.stdout.write(f"{key:<16}{result[key]}")
        if outcome.violation is not None:
            self.stdout.write(outcome.violation.sentence)


def _row(name: str, quantity: dict[str, Any]) -> tuple[str, ...]:
    numbers = (quantity[key] for key in ("initial", "final", "max_abs_error", "limit"))
    shown = ("unknown" if number is None else f"{number:.10g}" for number in numbers)
    return (name, quantity["unit"], *shown, quantity["law"], quantity["verdict"])


def _whole(name: str, text: str | int | None) -> int | None:
    if text is None or isinstance(text, int):
        return text
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise BadRequest(f"{name} must be a whole number, not {text[:40]!r}.")
    if len(text) > _DIGITS_MAX:
        raise BadRequest(f"{name} must be a number of at most {_DIGITS_MAX} digits.")
    return int(text)


def _real(name: str, text: str | float | None) -> float | None:
    if text is None or isinstance(text, float):
        return text
    try:
        return float(text)
    except ValueError:
        raise BadRequest(f"{name} must be a number, not {str(text)[:40]!r}.") from None


def _fault(text: str) -> Fault:
    kind, _, rest = text.partition(":")
    step, _, quantity = rest.partition(":")
    number = _whole("The step of --fault", step)
    return Fault(kind=kind, step=number or 0, quantity=quantity or "momentum")
