"""Compute the return of a saved scenario or of plain cash flows, without any database."""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandParser

from business import roi
from business.roi import BadInput

GOOD, BAD_INPUT = 0, 2


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
            answer, lines = _flows(options)
        except BadInput as refusal:
            self.stderr.write(str(refusal))
            sys.exit(BAD_INPUT)
        if options["json"]:
            self.stdout.write(json.dumps(answer, allow_nan=False))
        else:
            self.stdout.write("\n".join(lines))


def _flows(options: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    if options["flows"] is None:
        raise BadInput("Give a scenario's file, or --flows and --rate.")
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
    roots = answer["irr_roots"]
    rows = [
        ("net present value", _number(answer["npv"])),
        ("internal rate of return", _percent(answer["irr"])),
        (
            "all its roots",
            "unknown" if roots is None else ", ".join(map(_percent, roots)) or "none",
        ),
        ("modified internal rate", _percent(answer["mirr"])),
        ("return on investment", _percent(answer["roi"])),
        ("benefit-cost ratio", _number(answer["bcr"])),
        ("payback, years", _number(answer["payback_years"])),
        ("discounted payback, years", _number(answer["discounted_payback_years"])),
    ]
    head = f"{len(answer['flows'])} flows at {_percent(answer['rate'])}, {answer['timing']} of year"
    return [head, *(f"{name:<28}{value}" for name, value in rows), *answer["warnings"]]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.10g}"


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value * 100:.6g} %"


def _rate(options: dict[str, Any], name: str) -> Decimal | None:
    if options[name] is None:
        return None
    return roi.read_rate_of(f"--{name.replace('_', '-')}", options[name])
