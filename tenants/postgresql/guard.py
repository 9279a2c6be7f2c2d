"""Refuses statements that would change tenant, role or transaction behind the backend's back.

The backend remembers which tenant a connection serves. A raw ``SET ROLE``, ``RESET``, ``ROLLBACK``
and the like make that memory wrong, and the next query would read another tenant's rows. Nobody
needs them: ``tenant_context`` and ``transaction.atomic`` do the same and keep the books.

Limit: this stops mistakes and the plainest injections. Whoever can run SQL of their own choice
can spell a switch so that no pattern finds it (docs/explanation/security.md).
"""

from __future__ import annotations

import re
from typing import Any

# Between two words of SQL: blanks and comments.
_GAP = r"(?:\s|--[^\n]*\n|/\*.*?\*/)"
_SETTINGS = r"\"?(?:role|search_path|row_security|session_authorization|all|schema)\"?\b"
_FIRST = re.compile(
    rf"{_GAP}*(?:"
    rf"(?:set|reset){_GAP}+(?:(?:local|session){_GAP}+)?"
    rf"(?:{_SETTINGS}|authorization\b|transaction\b|characteristics\b)"
    r"|(?:begin|start|commit|end|rollback|abort|savepoint|release|discard|do)\b"
    rf"|prepare{_GAP}+transaction\b"
    r")",
    re.IGNORECASE | re.DOTALL,
)


class SwitchRefused(RuntimeError):
    """A statement would switch tenant or transaction unseen: a bug, never a refusal."""


def refuse_switch(statement: Any) -> None:
    """Raise ``SwitchRefused`` where a statement does what only the backend may do."""
    text = statement if isinstance(statement, str) else _text_of(statement)
    parts = text.split(";") if ";" in text else (text,)
    if any(_FIRST.match(part) for part in parts) or "set_config" in text.lower():
        raise SwitchRefused(
            "use tenant_context(schema) and transaction.atomic(): no statement of its own may "
            "change role, search path or transaction"
        )


def _text_of(statement: Any) -> str:
    if isinstance(statement, bytes):
        return statement.decode()
    return str(statement.as_string(None))
