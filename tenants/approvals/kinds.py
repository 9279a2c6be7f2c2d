"""What can be asked for. A room above registers its kinds when it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tenants.models import User
from tenants.permissions import CONFLICTS, find_permission


@dataclass(frozen=True)
class Approved:
    """An approval at the moment when its act is done."""

    request_id: UUID
    parameters: dict[str, Any]
    requested_by: User
    approved_by: User
    approved_at: datetime
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What was done, as the request's page links to it."""

    label: str
    url: str


@dataclass(frozen=True)
class Kind:
    """An act that two people have to want."""

    name: str
    title: str
    # Names of permissions: the table says that nobody holds both.
    ask: str
    approve: str
    # What the approver reads: terms and values.
    describe: Callable[[dict[str, Any]], list[tuple[str, str]]]
    # Does the act, inside the approval's transaction; a refusal leaves the request waiting.
    execute: Callable[[Approved], Outcome]
    lifetime: timedelta = timedelta(days=7)


KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> None:
    """Offer a kind of act. Its two duties must stand in the conflict matrix."""
    assert kind.name not in KINDS, kind.name
    assert any({kind.ask, kind.approve} == {each.first, each.second} for each in CONFLICTS), kind
    assert "not_asked_by_oneself" in find_permission(kind.approve).conditions, kind.approve
    KINDS[kind.name] = kind
