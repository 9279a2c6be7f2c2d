"""What ``python -m case_studies.<study>`` does: run, print, write the files.

Exit code 0 when it ran, 2 on bad input. Progress and refusals go to standard error.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from case_studies.drawing import draw
from case_studies.study import RESULTS, Study, describe

_SEED_MAX = 2**32 - 1


def main(run: Callable[[int], Study], seed: int, arguments: list[str] | None = None) -> None:
    """Run a study from the command line."""
    chosen = _parser(run, seed).parse_args(arguments)
    started = time.perf_counter()
    study = run(chosen.seed)
    result = {**study.to_json(), "made": made(time.perf_counter() - started)}
    # The kept results are those of the shipped seed; another seed is written where it is asked for.
    folder = chosen.out or (RESULTS if chosen.seed == seed else None)
    if folder is not None:
        write(study, result, folder)
    sys.stdout.write(
        (json.dumps(result, ensure_ascii=False) if chosen.json else say(result)) + "\n"
    )
    where = f"Written: {folder}/{study.slug}.json and its figures." if folder else "Not written."
    sys.stderr.write(where + "\n")


def write(study: Study, result: dict[str, Any], folder: Path) -> None:
    """Write the result and its figures."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{study.slug}.json").write_text(text, encoding="utf-8")
    for figure in result["figures"]:
        path = folder / f"{study.slug}-{figure['name']}.svg"
        path.write_text(draw(figure), encoding="utf-8")


def made(seconds: float) -> dict[str, Any]:
    """Return when and with what it was run."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "at": now.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "scikit_learn": version("scikit-learn"),
    }


def say(result: dict[str, Any]) -> str:
    """Return the result as a table for a terminal."""
    lines = [result["title"], result["answer"], ""]
    width = max(len(policy["name"]) for policy in result["policies"]) + 2
    for column in result["columns"]:
        lines.append(f"{column['title']}: {column['sentence']}")
        for policy in result["policies"]:
            cell = describe(policy["measures"][column["key"]])
            lines.append(f"  {policy['name']:<{width}}{cell}")
    lines += ["", "Promised"]
    lines += [f"  {_promise(each)}" for each in result["promises"]]
    lines += ["", "Where it breaks"]
    for each in result["breaks"]:
        lines.append(f"  {each['title']}. {each['sentence']}")
        lines += [f"  {_promise(each['promise'])}", f"  {each['notice']}"]
    return "\n".join(lines)


def _promise(promise: dict[str, Any]) -> str:
    return f"{promise['verdict']}: {promise['sentence']} Measured: {describe(promise['measured'])}."


def _parser(run: Callable[[int], Study], seed: int) -> argparse.ArgumentParser:
    name = run.__module__ if run.__module__ != "__main__" else Path(sys.argv[0]).stem
    parser = argparse.ArgumentParser(
        prog=f"python -m case_studies.{name.rpartition('.')[2]}",
        description=f"Run a case study again. Seed {seed} gives the shipped result.",
        allow_abbrev=False,
    )
    parser.add_argument("--seed", type=_seed, default=seed, help=f"a whole number ({seed})")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to write the files")
    return parser


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > _SEED_MAX:
        raise argparse.ArgumentTypeError(f"the seed is a whole number from 0 to {_SEED_MAX}")
    return int(text)
