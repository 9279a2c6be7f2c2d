"""A session of a person on a tenant's host."""

from __future__ import annotations

import uuid

from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class PersonSession(AbstractBaseSession):
    """Django's session, with what its person wants to know about it.

    The columns are copies of what the session's data says, made at each save by the store.
    """

    # Shown to people in place of the key, which is the secret itself. Not unique: while a key is
    # being replaced two rows stand for one session.
    public_id = models.UUIDField(default=uuid.uuid4, db_index=True, editable=False)
    # No foreign key: the person lies in the shared schema and outlives no session anyway.
    user_id = models.UUIDField(null=True, db_index=True)
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    signed_in_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "person_session"

    def __str__(self) -> str:
        return f"session {self.public_id}"

    @classmethod
    def get_session_store_class(cls) -> type[SessionBase]:
        """Return the store that reads and writes these rows."""
        from tenants.sessions.store import SessionStore

        return SessionStore
