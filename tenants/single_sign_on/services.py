"""What an owner decides about single sign-on: each with its entry in the log, no secret in any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from tenants.errors import Conflict, Invalid, NotFound
from tenants.journal import Subject, note
from tenants.models import Membership, Tenant, User
from tenants.second_factors.policy import entered_by
from tenants.sessions.models import PersonSession
from tenants.single_sign_on.models import IdentityProvider, Link

MANAGE = "tenants.manage_sign_in"
PROVIDERS_MAX = 20
# What the log tells of a provider: no secret, and of certificates only how many.
_TOLD = ("issuer", "client_id", "sso_url", "email_attribute", "factor_counts", "join_role")


class NoSuchProvider(NotFound):
    """This tenant has no such identity provider."""

    code = "provider_unknown"


class NameTaken(Conflict):
    """Another provider bears the name."""

    code = "provider_name_taken"


class TooManyProviders(Conflict):
    """More providers than anybody means."""

    code = "too_many_providers"


class NotSetUp(Conflict):
    """The provider has no issuer yet."""

    code = "provider_not_set_up"


class StillRequired(Conflict):
    """Without this provider members could not sign in."""

    code = "provider_required"


class NothingToRequire(Conflict):
    """No provider is enabled and tested."""

    code = "no_provider_tested"


class NotConfirmed(Invalid):
    """What was typed is not the provider's name."""

    code = "not_confirmed"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What holds for either protocol."""

    factor_counts: bool
    join_role: str
    join_domains: list[str]


def get_provider(provider_id: UUID) -> IdentityProvider:
    """Return a provider of the current tenant. Raises ``NoSuchProvider``."""
    found = IdentityProvider.objects.filter(pk=provider_id).first()
    if found is None:
        raise NoSuchProvider("There is no such identity provider here.")
    return found


def list_enabled() -> list[IdentityProvider]:
    """Return what the sign-in page offers."""
    return list(IdentityProvider.objects.filter(is_enabled=True).order_by("name"))


def find_enabled(provider_id: str) -> IdentityProvider | None:
    """Return the provider with an id that a session holds, while it is enabled."""
    if not provider_id:
        return None
    return IdentityProvider.objects.filter(pk=provider_id, is_enabled=True).first()


@transaction.atomic
def add_provider(
    *, acting_user: User, kind: str, name: str, added_at: datetime
) -> IdentityProvider:
    """Name a provider, so that its addresses here are known. Raises ``NameTaken``,
    ``TooManyProviders``.
    """
    if IdentityProvider.objects.count() >= PROVIDERS_MAX:
        raise TooManyProviders(f"There are {PROVIDERS_MAX} providers. Delete one first.")
    try:
        with transaction.atomic():
            provider = IdentityProvider.objects.create(kind=kind, name=name, created_at=added_at)
    except IntegrityError:
        raise NameTaken(f"There is a provider named {name} already.") from None
    note_in_log(acting_user, "identity_provider.added", provider, added_at, after={"kind": kind})
    return provider


@transaction.atomic
def configure(
    *,
    acting_user: User,
    provider_id: UUID,
    rules: Rules,
    protocol: dict[str, Any],
    changed_at: datetime,
) -> IdentityProvider:
    """Set a provider up, or change it. ``protocol`` holds the columns of its kind.

    Who was linked at another issuer is linked no more; a changed connection counts as untested.
    When its second factor counts no longer, whoever came through it is out. Locks the row.
    """
    provider = _lock(provider_id)
    before = _told(provider)
    if provider.factor_counts and not rules.factor_counts:
        _end_sessions_through(provider, acting_user)
    is_other = any(getattr(provider, name) != value for name, value in protocol.items())
    if protocol.get("issuer", provider.issuer) != provider.issuer:
        provider.links.all().delete()
    for name, value in {**protocol, **vars(rules)}.items():
        setattr(provider, name, value)
    if is_other:
        provider.tested_at = None
    provider.save()
    after = _told(provider)
    changes = {name for name in after if after[name] != before[name]}
    note_in_log(
        acting_user,
        "identity_provider.changed",
        provider,
        changed_at,
        before={name: before[name] for name in sorted(changes)},
        after={name: after[name] for name in sorted(changes)}
        | ({"client_secret": "replaced"} if "client_secret" in protocol else {}),
    )
    return provider


@transaction.atomic
def switch(
    *, acting_user: User, tenant: Tenant, provider_id: UUID, on: bool, switched_at: datetime
) -> IdentityProvider:
    """Offer a provider on the sign-in page, or no longer; then whoever came through it is out.

    Raises ``NotSetUp`` and ``StillRequired``. Locks the row.
    """
    provider = _lock(provider_id)
    if provider.is_enabled == on:
        return provider
    if on and not provider.is_set_up:
        raise NotSetUp("Set the provider up first.")
    if not on:
        _check_not_needed(tenant, provider)
        _end_sessions_through(provider, acting_user)
    provider.is_enabled = on
    provider.save(update_fields=["is_enabled"])
    action = "identity_provider.enabled" if on else "identity_provider.disabled"
    note_in_log(acting_user, action, provider, switched_at)
    return provider


@transaction.atomic
def delete_provider(
    *,
    acting_user: User,
    tenant: Tenant,
    provider_id: UUID,
    confirmation: str,
    deleted_at: datetime,
) -> None:
    """Forget a provider and its links; whoever came through it is signed out.

    ``confirmation`` is its name, typed. Raises ``NotConfirmed``, ``StillRequired``.
    """
    provider = _lock(provider_id)
    if confirmation.strip() != provider.name:
        raise NotConfirmed("Type the provider's name exactly. Nothing was changed.")
    _check_not_needed(tenant, provider)
    _end_sessions_through(provider, acting_user)
    note_in_log(
        acting_user, "identity_provider.deleted", provider, deleted_at, before=_told(provider)
    )
    provider.delete()


@transaction.atomic
def note_test(*, acting_user: User, provider_id: UUID, tested_at: datetime) -> None:
    """Note that an owner came through a provider as it is set up now."""
    provider = _lock(provider_id)
    provider.tested_at = tested_at
    provider.save(update_fields=["tested_at"])
    note_in_log(acting_user, "identity_provider.tested", provider, tested_at)


@transaction.atomic
def forget_link(
    *, acting_user: User, provider_id: UUID, user_id: UUID, forgotten_at: datetime
) -> None:
    """Let a member's next sign-in link them anew, with another account too."""
    provider = get_provider(provider_id)
    if not Link.objects.filter(provider=provider, user_id=user_id).delete()[0]:
        raise NotFound("This member is not linked here.")
    note_in_log(
        acting_user,
        "identity_provider.link_forgotten",
        provider,
        forgotten_at,
        before={"of": str(user_id)},
    )


@transaction.atomic
def require_single_sign_on(
    *, acting_user: User, tenant: Tenant, is_required: bool, changed_at: datetime
) -> None:
    """Let members other than owners in by a provider alone, or by their passwords again.

    When it begins, members who came by a password are signed out. Raises ``NothingToRequire``.
    """
    found = Tenant.objects.select_for_update().get(pk=tenant.pk)
    if found.single_sign_on_required == is_required:
        return
    if is_required:
        good = IdentityProvider.objects.filter(is_enabled=True, tested_at__isnull=False)
        if not good.exists():
            raise NothingToRequire("Enable a provider and test it first.")
        owners = set(
            Membership.objects.filter(tenant=tenant, role=Membership.Role.OWNER).values_list(
                "user_id", flat=True
            )
        )
        _end_sessions(lambda session, user_id: user_id not in owners and not entered_by(session))
    Tenant.objects.filter(pk=tenant.pk).update(single_sign_on_required=is_required)
    note(
        who=acting_user,
        action="tenant.sign_in_changed",
        subject=Subject("tenant", str(tenant.pk), tenant.name),
        before={"single_sign_on_required": found.single_sign_on_required},
        after={"single_sign_on_required": is_required},
        at=changed_at,
    )


def may_use_password(membership: Membership, tenant: Tenant) -> bool:
    """Tell whether a member may sign in by what is their own; asked at every door."""
    return not tenant.single_sign_on_required or membership.role == Membership.Role.OWNER


def _check_not_needed(tenant: Tenant, provider: IdentityProvider) -> None:
    found = Tenant.objects.select_for_update().get(pk=tenant.pk)
    others = IdentityProvider.objects.filter(is_enabled=True).exclude(pk=provider.pk)
    if found.single_sign_on_required and provider.is_enabled and not others.exists():
        raise StillRequired(
            "Members sign in by this provider alone. Allow passwords again, or enable another"
            " provider first."
        )


def _end_sessions_through(provider: IdentityProvider, acting_user: User) -> None:
    # But for who acts: their answer to this very request needs theirs.
    _end_sessions(
        lambda session, user_id: (
            user_id != acting_user.pk and entered_by(session) == str(provider.pk)
        )
    )


def _end_sessions(is_meant: Callable[[dict[str, Any], UUID], bool]) -> None:
    live = PersonSession.objects.filter(user_id__isnull=False, expire_date__gt=timezone.now())
    ended = [
        row.session_key
        for row in live.iterator()
        if row.user_id and is_meant(row.get_decoded(), row.user_id)
    ]
    PersonSession.objects.filter(session_key__in=ended).delete()


def _lock(provider_id: UUID) -> IdentityProvider:
    found = IdentityProvider.objects.select_for_update().filter(pk=provider_id).first()
    if found is None:
        raise NoSuchProvider("There is no such identity provider here.")
    return found


def _told(provider: IdentityProvider) -> dict[str, Any]:
    return {
        **{name: getattr(provider, name) for name in _TOLD},
        "join_domains": ", ".join(provider.join_domains),
        "certificates": len(provider.certificates),
    }


def note_in_log(
    who: User, action: str, provider: IdentityProvider, at: datetime, **told: Any
) -> None:
    """Add an entry about a provider to the tenant's log."""
    note(
        who=who,
        action=action,
        subject=Subject("identity_provider", str(provider.pk), provider.name),
        at=at,
        **told,
    )
