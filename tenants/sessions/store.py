"""The session engine: Django's database store on ``PersonSession``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore

# What a sign-in notes in the session's data (tenants.sessions.services.stamp_session).
IP = "aii_ip"
USER_AGENT = "aii_user_agent"
SIGNED_IN_AT = "aii_signed_in_at"
SEEN_AT = "aii_seen_at"
PUBLIC_ID = "aii_public_id"


class SessionStore(DatabaseStore):
    """See the module."""

    @classmethod
    def get_model_class(cls) -> Any:
        """Return the model of the rows."""
        from tenants.sessions.models import PersonSession

        return PersonSession

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        """Return the row, its columns filled from the data."""
        row: Any = super().create_model_instance(data)
        if data.get(SESSION_KEY):
            row.user_id = UUID(str(data[SESSION_KEY]))
            row.ip = data.get(IP)
            row.user_agent = data.get(USER_AGENT, "")
            row.signed_in_at = _time(data.get(SIGNED_IN_AT))
            row.seen_at = _time(data.get(SEEN_AT))
            if data.get(PUBLIC_ID):
                row.public_id = UUID(data[PUBLIC_ID])
        return row


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
