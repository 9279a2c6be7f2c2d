"""A deployment check: without a usable KEK nothing personal can be written or read."""

from __future__ import annotations

from typing import Any

from django.core.checks import Error, Tags, register

from audit.encryption import keys
from audit.encryption.errors import KekUnusable


@register(Tags.security, deploy=True)
def check_kek(app_configs: Any, **kwargs: Any) -> list[Error]:
    """Refuse an installation whose KEKs are missing or cannot be read; a program is asked."""
    try:
        keys.keyring().get()
    except KekUnusable as problem:
        return [Error(str(problem), id="encryption.E001")]
    return []
