"""What several views need."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest

from business.scenarios import selectors
from business.scenarios.models import ScenarioVersion
from tenants.models import User


def person(request: HttpRequest) -> User:
    """Return who asks."""
    assert isinstance(request.user, User), "members alone get here"
    return request.user


def whole(text: str | None) -> int | None:
    """Return a whole number of at most six digits; None for anything else."""
    if text and text.isascii() and text.isdigit() and len(text) <= 6:
        return int(text)
    return None


def version_asked_for(request: HttpRequest, scenario_id: UUID) -> ScenarioVersion:
    """Return the version that the request names, the last one without a name."""
    values = request.POST if request.method == "POST" else request.GET
    return selectors.get_version(scenario_id, whole(values.get("version")))
