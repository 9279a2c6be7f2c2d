"""Secrets of second factors, sealed for their person in the shared schema.

A person's factors are theirs in every tenant, so the key lies where all of them find it; with the
key of an erased person their secrets are gone.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from uuid import UUID

from audit.encryption.services import open_sealed, seal
from tenants.context import public_context

_CONTEXT = "mfa_authenticator|secret"


def seal_secret(user_id: UUID, text: str, *, using: str = "default") -> str:
    """Return the secret sealed for this person, as text."""
    with public_context():
        sealed = seal(f"person:{user_id}", text.encode(), context=_CONTEXT, using=using)
    return b64encode(sealed).decode()


def open_secret(sealed: str, *, using: str = "default") -> str:
    """Return the secret; empty, and so good for nothing, once its person was erased."""
    with public_context():
        opened = open_sealed(b64decode(sealed), context=_CONTEXT, using=using)
    return opened.decode() if opened is not None else ""
