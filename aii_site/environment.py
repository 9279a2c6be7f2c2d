"""Reading settings from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


class BadSetting(Exception):
    """A setting that cannot be used, with a sentence that says which and why."""


SECRET_BYTES_MAX = 64 * 1024


def is_given(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether ``NAME`` or ``NAME_FILE`` is set."""
    return bool(environment.get(name) or environment.get(f"{name}_FILE"))


def read_secret(name: str) -> str:
    """Return ``NAME``, or the content of the file that ``NAME_FILE`` names; "" for neither.

    Raises ``BadSetting`` for both at once, and for a file that holds no secret. The message names
    the file, never what is in it.
    """
    value, path = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "")
    if value and path:
        raise BadSetting(f"Set {name} or {name}_FILE, not both.")
    return _read_file(name, Path(path)) if path else value


def _read_file(name: str, path: Path) -> str:
    problem = ""
    try:
        with path.open("rb") as file:
            raw = file.read(SECRET_BYTES_MAX + 1)
        text = raw.decode().strip()
        if not text:
            problem = "is empty"
        elif len(raw) > SECRET_BYTES_MAX or "\0" in text or "\n" in text:
            problem = "does not hold one line of text"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = "does not hold text"
    if problem:
        # Outside the handler: its error would bring the file's bytes along.
        raise BadSetting(f"{name}_FILE names {path}, which {problem}.")
    return text


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
