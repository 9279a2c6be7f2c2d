"""Reads that span rows, or that look over the tenant's fence on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tenants.context import public_context, tenant_context
from tenants.models import Domain, Membership, Tenant, User


@dataclass(frozen=True)
class Place:
    """A tenant that a person belongs to, as the switcher shows it."""

    name: str
    host: str
    role: str
    slug: str


def find_tenant_by_host(host: str) -> Tenant | None:
    """Return the tenant that answers to a host name (without a port), or ``None``."""
    with public_context():
        domain = Domain.objects.select_related("tenant").filter(domain=host.lower()).first()
        return domain.tenant if domain else None


def find_membership(user: User, tenant: Tenant) -> Membership | None:
    """Return the person's membership in the tenant, if both it and the person are active."""
    if not user.is_authenticated or not user.is_active:
        return None
    membership = Membership.objects.filter(user_id=user.pk, tenant_id=tenant.pk).first()
    if membership is not None:
        # At hand already: the services write down who.
        membership.user, membership.tenant = user, tenant
    return membership


def list_places(user: User) -> list[Place]:
    """Return every tenant of one person. Looks over the fence: only at this person's own
    memberships.
    """
    with public_context():
        rows = (
            Domain.objects.filter(is_primary=True, tenant__memberships__user_id=user.pk)
            .order_by("tenant__name")
            .values_list("tenant__name", "domain", "tenant__memberships__role", "tenant__slug")
        )
        return [
            Place(name, host, Membership.Role(role).label, slug) for name, host, role, slug in rows
        ]


def list_schemas(*, provisioned_after: datetime | None = None) -> list[str]:
    """Return each tenant's schema, or those of recent tenants: for the platform's own loops."""
    with public_context():
        tenants = Tenant.objects.order_by("schema_name")
        if provisioned_after is not None:
            tenants = tenants.filter(provisioned_at__gt=provisioned_after)
        return list(tenants.values_list("schema_name", flat=True))


def get_tenant(schema: str) -> Tenant:
    """Return the tenant of a schema, seen from inside it."""
    with tenant_context(schema):
        return Tenant.objects.get(schema_name=schema)
