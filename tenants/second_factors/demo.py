"""The demo's password and the secrets of its people's apps, kept in one file."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tenants.second_factors.codes import new_secret


@dataclass(frozen=True)
class Demo:
    """What the demo's people sign in with."""

    password: str
    secrets: dict[str, str]


def read(home: Path) -> Demo | None:
    """Return what was kept, or ``None`` where there is no demo (or one without second factors)."""
    path = home / "demo.json"
    if not path.exists():
        return None
    kept = json.loads(path.read_text())
    return Demo(kept["password"], kept["secrets"]) if "secrets" in kept else None


def keep(home: Path, people: Iterable[str]) -> tuple[Demo, bool]:
    """Return what these people sign in with, and whether it was made just now."""
    kept = read(home)
    if kept is not None and set(people) <= set(kept.secrets):
        return kept, False
    made = Demo(secrets.token_urlsafe(9), {email: new_secret() for email in people})
    home.mkdir(parents=True, exist_ok=True)
    beside = home / "demo.json.new"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(made), file)
    beside.replace(home / "demo.json")
    return made, True
