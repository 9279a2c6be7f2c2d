"""Links by which every member may see one version for a while."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from business.scenarios.models import ScenarioVersion, ShareLink
from business.scenarios.services.errors import BadPeriod, LinkUnknown, TooMany
from tenants.journal import Subject, note
from tenants.models import User

# How long a link may live.
DAYS = (1, 7, 30, 90)
LINKS_MAX = 50


@transaction.atomic
def share_version(
    *, acting_user: User, version: ScenarioVersion, days: int, shared_at: datetime
) -> ShareLink:
    """Make a link to a version. Raises ``BadPeriod`` and ``TooMany``."""
    if days not in DAYS:
        raise BadPeriod(f"A link lives for {', '.join(map(str, DAYS))} days.")
    open_links = ShareLink.objects.filter(
        version__scenario=version.scenario_id, revoked_at=None, expires_at__gt=shared_at
    )
    if open_links.count() >= LINKS_MAX:
        raise TooMany(f"There are {LINKS_MAX} open links to this scenario. Revoke one.")
    link = ShareLink.objects.create(
        version=version,
        made_at=shared_at,
        made_by_id=acting_user.pk,
        made_by_email=acting_user.email,
        expires_at=shared_at + timedelta(days=days),
    )
    note(
        who=acting_user,
        action="scenario.shared",
        subject=Subject("scenario", str(version.scenario_id), version.scenario.name),
        at=shared_at,
        after={
            "link": str(link.pk),
            "version": version.number,
            "expires_at": link.expires_at.isoformat(),
        },
    )
    return link


@transaction.atomic
def revoke_link(*, acting_user: User, link_id: UUID, revoked_at: datetime) -> ShareLink:
    """End a link now; one that has ended stays as it is. Raises ``LinkUnknown``."""
    link = (
        ShareLink.objects.select_for_update(of=("self",))
        .select_related("version__scenario")
        .filter(pk=link_id)
        .first()
    )
    if link is None:
        raise LinkUnknown("There is no such link here.")
    if not link.is_open(revoked_at):
        return link
    link.revoked_at = revoked_at
    link.save()
    note(
        who=acting_user,
        action="scenario.link_revoked",
        subject=Subject("scenario", str(link.version.scenario_id), link.version.scenario.name),
        at=revoked_at,
        after={"link": str(link.pk)},
    )
    return link
