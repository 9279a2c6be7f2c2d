"""The kept result of a study in the words of its page and its PDF. Every number comes from it."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from functools import cache
from typing import Any

from case_studies.study import RESULTS, SLUGS, as_text, describe, load_kept, number

VERDICTS = {
    "KEPT": ("ok", "Kept"),
    "CONSISTENT": ("info", "Not contradicted"),
    "BROKEN": ("warning", "Broken"),
}
ROWS_SHOWN_MAX = 12


def list_studies() -> list[dict[str, Any]]:
    """Return all studies."""
    return [get_study(slug) for slug in SLUGS]


@cache
def get_study(slug: str) -> dict[str, Any]:
    """Return a study as its page shows it. Read once for each process: results are shipped."""
    kept = load_kept(slug)
    return {
        **{name: kept[name] for name in ("slug", "title", "industry", "question")},
        # So that no line begins with a percent sign.
        "answer": kept["answer"].replace(" %", "\u00a0%"),
        **{name: kept[name] for name in ("not_promised", "assumptions", "sources")},
        "facts": list(kept["facts"].items()),
        "columns": kept["columns"],
        "policies": [_policy(each, kept["columns"]) for each in kept["policies"]],
        "promises": [_promise(each) for each in kept["promises"]],
        "breaks": [_break(each) for each in kept["breaks"]],
        "figures": [_figure(slug, each) for each in kept["figures"]],
        "seed": kept["seed"],
        "made_at": kept["made"]["at"],
        "made": f"{datetime.fromisoformat(kept['made']['at']):%-d %B %Y, %H:%M} UTC",
        "made_with": (
            f"Python {kept['made']['python']}, NumPy {kept['made']['numpy']},"
            f" scikit-learn {kept['made']['scikit_learn']}"
        ),
        "made_in": f"{number(kept['made']['seconds'], 2)} s",
        "command": f"make case-study-{slug}",
        "sha256": hashlib.sha256(_bytes(slug)).hexdigest(),
    }


def get_result(slug: str) -> dict[str, Any]:
    """Return the kept result itself."""
    result = json.loads(_bytes(slug))
    assert isinstance(result, dict)
    return result


def _bytes(slug: str) -> bytes:
    return (RESULTS / f"{slug}.json").read_bytes()


def _policy(policy: dict[str, Any], columns: list[dict[str, str]]) -> dict[str, Any]:
    cells = []
    for column in columns:
        measured = policy["measures"][column["key"]]
        low, high = as_text(measured, "low"), as_text(measured, "high")
        cells.append(
            {
                "title": column["title"],
                "value": as_text(measured, "value"),
                "unit": "" if measured["unit"] == "share" else measured["unit"],
                "interval": f"{low} to {high}",
                "method": measured["method"],
            }
        )
    return {
        "name": policy["name"],
        "rule": policy["rule"],
        "is_baseline": policy["is_baseline"],
        "cells": cells,
    }


def _promise(promise: dict[str, Any]) -> dict[str, str]:
    level, word = VERDICTS[promise["verdict"]]
    bound = {**promise["measured"], "value": promise["bound"]}
    return {
        "sentence": promise["sentence"],
        "level": level,
        "word": word,
        "bound": as_text(bound, "value"),
        "measured": describe(promise["measured"]),
        "method": promise["measured"]["method"],
    }


def _break(broken: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": broken["title"],
        "sentence": broken["sentence"],
        "promise": _promise(broken["promise"]),
        "notice": broken["notice"],
    }


def _figure(slug: str, figure: dict[str, Any]) -> dict[str, Any]:
    curves = figure["curves"]
    places = list(zip(curves[0]["x"], *(curve["y"] for curve in curves), strict=True))
    step = -(-len(places) // ROWS_SHOWN_MAX)
    return {
        "title": figure["title"],
        "sentence": figure["sentence"],
        "svg": (RESULTS / f"{slug}-{figure['name']}.svg").read_text(),
        "head": [figure["x_title"], *(curve["name"] for curve in curves)],
        # Long curves in some of their points, the last one among them.
        "rows": [[number(each) for each in row] for row in places[::-1][::step][::-1]],
    }
