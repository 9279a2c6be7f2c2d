"""Which code and which machine computed a run: what it takes to get the same bits again."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib import metadata
from pathlib import Path

from simulation.engine.integrators import INTEGRATORS
from simulation.engine.requests import Request


def describe_run(request: Request) -> dict[str, str]:
    """Return method, input, code, libraries and machine, as text."""
    force = "direct summation"
    if request.force == "fmm":
        force = f"fast multipole method, rms error at most {request.accuracy:g}"
    if request.box is not None:
        force += f" with all images (Ewald) in a periodic box of side {request.box:g}"
    if request.collisions == "bounce":
        force += f"; bodies bounce, restitution {request.restitution:g}"
    elif request.collisions == "merge":
        force += "; bodies that touch merge"
    source = (request.definition.limits or {}).get("input_sha256")
    return {
        "integrator": INTEGRATORS[request.integrator].title,
        "force": force,
        **({} if source is None else {"input_sha256": source}),
        **describe_machine(),
    }


@cache
def describe_machine() -> dict[str, str]:
    """Return code, libraries and machine, as text."""
    return {
        "engine_sha256": digest_of_the_engine(),
        "aii": _version("aii"),
        "python": platform.python_version(),
        "numpy": _version("numpy"),
        "numba": _version("numba"),
        "machine": f"{platform.machine()}, {_processor()}",
        "system": f"{platform.system()} {platform.release()}",
        "host": platform.node(),
    }


def digest_of_the_engine() -> str:
    """Return the SHA-256 over the engine's source and data, file by file: it names the code that
    ran.
    """
    found = hashlib.sha256()
    folder = Path(__file__).parent
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".csv")):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "from source"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
