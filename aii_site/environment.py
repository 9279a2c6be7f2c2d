"""Reading settings from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class BadSetting(Exception):
    """A setting that cannot be used, with a sentence that says which and why."""


def read_secret(name: str) -> str:
    """Return ``NAME``, or the content of the file that ``NAME_FILE`` names; refuse both at once."""
    value, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if value and path:
        raise BadSetting(f"Set {name} or {name}_FILE, not both.")
    return Path(path).read_text().strip() if path else value


def parse_database_url(url: str) -> dict[str, Any]:
    """Return Django's settings for ``postgresql://user:password@host:port/name``."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
        # The URL itself stays out of the message: it holds a password.
        raise BadSetting("A database URL looks like postgresql://user:password@host:5432/name.")
    return {
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
    }
