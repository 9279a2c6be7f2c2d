"""Compiled kernels kept on disk, and made anew when anything that they are made of changes.

Numba's cache looks at a kernel's own file alone. A kernel that calls one of another file would keep
the old code when that one changes, and verify with it. So each module's kernels are kept in a
folder named by a digest of the module and of all engine modules that it imports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba as nb
from numba.core import config as numba_config

config: Any = numba_config

_ENGINE = Path(__file__).parent
_IMPORT = re.compile(r"^\s*from simulation\.engine(?:\.([\w.]+))? import ([^#\n]+)", re.MULTILINE)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function to machine code on its first call, and keep the code.

    No fastmath: reassociation gave five different digests on five instruction sets. error_model
    numpy: with Python's, each division is guarded and the loop is not vectorised (8 to 16 times
    slower).
    """
    chosen = config.CACHE_DIR
    config.CACHE_DIR = _folder(Path(function.__code__.co_filename), chosen)
    try:
        compiled = nb.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")
        return compiled(function)
    finally:
        config.CACHE_DIR = chosen


@cache
def _folder(source: Path, chosen: str) -> str:
    """Return where the kernels of a file are kept; '' leaves the choice to Numba."""
    if not source.is_relative_to(_ENGINE):
        return chosen
    found = hashlib.sha256()
    for path in sorted(_sources(source)):
        found.update(path.read_bytes())
    base = Path(chosen) if chosen else _ENGINE / "__pycache__"
    folder = base / f"{source.stem}-{found.hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return chosen
    return str(folder)


def _sources(start: Path) -> set[Path]:
    """Return a module of the engine and all modules of the engine that it imports in the end."""
    seen: set[Path] = set()
    waiting = [start]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for module, names in _IMPORT.findall(path.read_text(encoding="utf-8")):
            inside = _ENGINE.joinpath(*module.split(".")) if module else _ENGINE
            candidates = [inside.with_suffix(".py"), inside / "__init__.py"]
            candidates += [inside / f"{name}.py" for name in re.findall(r"\w+", names)]
            waiting += [candidate for candidate in candidates if candidate.is_file()]
    return seen
