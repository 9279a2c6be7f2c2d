"""Each study is run once, at the shipped seed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def run_again(slug: str) -> dict[str, Any]:
    module = import_module(f"case_studies.{slug}")
    return module.run(module.SEED).to_json()
