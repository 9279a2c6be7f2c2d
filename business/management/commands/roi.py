"""Compute the return of a saved scenario or of plain cash flows, without any database."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from business import roi
from business.roi import BadInput

BAD_INPUT = 2
_INPUT_BYTES_MAX = 2**20


class Command(BaseCommand):
    """Exit code 0 when it was computed, 2 on bad input."""

    help = "Compute NPV, IRR, MIRR, ROI and payback of cash flows. Needs no database."
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Refuse an unknown option in one sentence too."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def refuse(message: str) -> NoReturn:
            if message == "argument --flows: expected one argument":
                message = "Write an equals sign, as in --flows=-1000,600,600,600"
            self.stderr.write(f"{message[:1].upper()}{message[1:]}. See manage.py help roi.")
            sys.exit(BAD_INPUT)

        parser.error = refuse  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Take numbers as text: the refusals are the calculator's sentences, not argparse's."""
        parser.add_argument("scenario", nargs="?", metavar="SCENARIO.json", help="a saved scenario")
        parser.add_argument(
            "--trials", metavar="N", help="also simulate a scenario's uncertain inputs N times"
        )
        parser.add_argument("--seed", metavar="S", help="seed of the simulation (1)")
        parser.add_argument("--threads", metavar="T", help="threads; they change no result")
        parser.add_argument(
            "--flows",
            metavar="F0,F1,...",
            help="cash flows of year 0, 1, ...: --flows=-1000,600,600,600",
        )
        parser.add_argument(
            "--rate", metavar="R", help="discount rate as a fraction: 0.1 for 10 %%"
        )
        parser.add_argument("--finance-rate", metavar="F", help="of MIRR (as --rate)")
        parser.add_argument("--reinvest-rate", metavar="R", help="of MIRR (as --rate)")
        parser.add_argument(
            "--timing", metavar="T", help="when a year's flow counts: end, mid or start (end)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Compute, print, and exit with the code that says how it ended."""
        try:
            answer, lines = _scenario(options) if options["scenario"] else _flows(options)
        except BadInput as refusal:
            self.stderr.write(str(refusal))
            sys.exit(BAD_INPUT)
        if options["json"]:
            self.stdout.write(json.dumps(answer, allow_nan=False))
        else:
            self.stdout.write("\n".join(lines))


def _scenario(options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    for name in ("flows", "rate", "finance_rate", "reinvest_rate", "timing"):
        if options[name] is not None:
            option = name.replace("_", "-")
            raise BadInput(f"A scenario's file has its own numbers: leave out --{option}.")
    scenario = roi.load_scenario(_content(options["scenario"]))
    trials, seed, threads = (_whole(options, name) for name in ("trials", "seed", "threads"))
    if trials is None and (seed is not None or threads is not None):
        raise BadInput("--seed and --threads are for a simulation: give its --trials.")
    answer = roi.value_scenario(scenario).to_json()
    if trials is not None:
        found = roi.simulate(
            scenario, trials=trials, seed=1 if seed is None else seed, threads=threads
        )
        answer["simulation"] = found.to_json()
        answer["tornado"] = [asdict(bar) for bar in roi.tornado(scenario)]
        answer["break_even"] = [asdict(one) for one in roi.break_evens(scenario)]
    return answer, _scenario_table(answer)


def _content(name: str) -> bytes:
    try:
        with Path(name).open("rb") as file:
            return file.read(_INPUT_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "that is no name of a file"
        raise BadInput(f"{name[:200]!r} cannot be read: {why}.") from None


def _whole(options: dict[str, Any], name: str) -> int | None:
    text = options[name]
    if text is None:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", str(text), re.ASCII):
        raise BadInput(f"--{name} must be a whole number of at most 18 digits, not {text[:40]!r}.")
    return int(text)


def _scenario_table(answer: dict[str, Any]) -> list[str]:
    code = answer["currency"]
    lines = [
        f"{answer['name']}: {answer['horizon_years']} years, {code}",
        *_measures(answer),
        f"{'saved a year':<28}{_number(answer['annual_savings'])}",
        f"{'TCO today':<28}{_number(answer['tco_current']['total'])}",
        f"{'TCO proposed':<28}{_number(answer['tco_proposed']['total'])}",
    ]
    if "simulation" in answer:
        found = answer["simulation"]
        low, high = found["probability_of_loss_ci95"]
        spread = found["npv_quantiles"]
        lines += [
            f"{found['trials']} trials, seed {found['seed']}",
            f"{'NPV P10, P50, P90':<28}"
            + ", ".join(_number(spread[name]) for name in ("p10", "p50", "p90")),
            f"{'probability of loss':<28}{_percent(found['probability_of_loss'])}"
            f" ({_percent(low)} to {_percent(high)})",
            *(
                f"{'':<2}{bar['path']:<40}{_number(bar['npv_at_low'])} to"
                f" {_number(bar['npv_at_high'])}"
                for bar in answer["tornado"]
            ),
            *found["warnings"],
        ]
    return [*lines, *answer["assumptions"], *answer["warnings"]]


def _flows(options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if options["flows"] is None:
        raise BadInput("Give a scenario's file, or --flows and --rate.")
    if any(options[name] is not None for name in ("trials", "seed", "threads")):
        raise BadInput("--trials, --seed and --threads are for a scenario's file.")
    if options["rate"] is None:
        raise BadInput("--flows needs a --rate, as in --rate 0.1 for 10 %.")
    flows = roi.read_flows(roi.split_flows(options["flows"]))
    rate = _rate(options, "rate")
    assert rate is not None
    finance_rate, reinvest_rate = _rate(options, "finance_rate"), _rate(options, "reinvest_rate")
    timing = options["timing"] or "end"
    measures = roi.measure(
        flows, rate, finance_rate=finance_rate, reinvest_rate=reinvest_rate, timing=timing
    )
    answer = {
        "flows": [float(flow) for flow in flows],
        "rate": float(rate),
        "finance_rate": float(rate if finance_rate is None else finance_rate),
        "reinvest_rate": float(rate if reinvest_rate is None else reinvest_rate),
        "timing": timing,
        **measures.to_json(),
    }
    return answer, _table(answer)


def _table(answer: dict[str, Any]) -> list[str]:
    head = f"{len(answer['flows'])} flows at {_percent(answer['rate'])}, {answer['timing']} of year"
    return [head, *_measures(answer), *answer["warnings"]]


def _measures(answer: dict[str, Any]) -> list[str]:
    roots = answer["irr_roots"]
    all_roots = "unknown" if roots is None else ", ".join(map(_percent, roots)) or "none"
    # Where the flows are known, what has no value has none: a warning says why.
    gap = "unknown" if answer["npv"] is None else "none"
    rows = [
        ("net present value", _number(answer["npv"])),
        ("internal rate of return", _percent(answer["irr"], gap)),
        ("all its roots", all_roots),
        ("modified internal rate", _percent(answer["mirr"], gap)),
        ("return on investment", _percent(answer["roi"], gap)),
        ("benefit-cost ratio", _number(answer["bcr"], gap)),
        ("payback, years", _number(answer["payback_years"], gap)),
        ("discounted payback, years", _number(answer["discounted_payback_years"], gap)),
    ]
    return [f"{name:<28}{value}" for name, value in rows]


def _number(value: float | None, gap: str = "unknown") -> str:
    return gap if value is None else f"{value:,.10g}"


def _percent(value: float | None, gap: str = "unknown") -> str:
    return gap if value is None else f"{value * 100:.6g} %"


def _rate(options: dict[str, Any], name: str) -> Decimal | None:
    if options[name] is None:
        return None
    return roi.read_rate_of(f"--{name.replace('_', '-')}", options[name])
