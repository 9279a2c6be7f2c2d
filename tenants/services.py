"""Every write to tenants, people and memberships."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import connections, transaction
from psycopg import sql

from tenants.cloning import fill_schema
from tenants.context import public_context, tenant_context
from tenants.errors import Conflict, Invalid, Unavailable
from tenants.fences import apply_tenant_fence
from tenants.journal import Subject, note, process
from tenants.models import RESERVED_SLUGS, Domain, Membership, Tenant, User
from tenants.owner import OWNER_ALIAS
from tenants.tasks import serve_queue


class SlugTaken(Conflict):
    """Another tenant has this slug or host name."""

    code = "slug_taken"


class NotAnOwnerProcess(Unavailable):
    """This process has no credentials to create schemas."""

    code = "not_an_owner_process"


def provision_tenant(
    *, slug: str, name: str, host: str, provisioned_by: str, provisioned_at: datetime
) -> Tenant:
    """Create a tenant with its schema, role and host name, all in one transaction as the owner.

    Raises ``Invalid`` for a bad slug, name or host, ``SlugTaken``, and ``NotAnOwnerProcess`` where
    DATABASE_OWNER_URL is not known. Then the task workers are told to serve the tenant's queue.
    """
    if OWNER_ALIAS not in connections.settings:
        raise NotAnOwnerProcess("Provision tenants with manage.py provision_tenant.")
    tenant = Tenant(
        slug=slug,
        schema_name=slug,
        name=name.strip(),
        provisioned_by=provisioned_by,
        provisioned_at=provisioned_at,
    )
    _check_tenant(tenant)
    host = _clean_host(host)
    with public_context(), transaction.atomic(using=OWNER_ALIAS):
        if Tenant.objects.using(OWNER_ALIAS).filter(slug=slug).exists():
            raise SlugTaken(f"A tenant {slug!r} exists already. Choose another slug.")
        if Domain.objects.using(OWNER_ALIAS).filter(domain=host).exists():
            raise SlugTaken(f"The host name {host!r} belongs to a tenant already. Choose another.")
        # bulk_create goes around django-tenants' save(), which reads through the application's
        # alias.
        Tenant.objects.using(OWNER_ALIAS).bulk_create([tenant])
        Domain.objects.using(OWNER_ALIAS).bulk_create(
            [Domain(domain=host, tenant=tenant, is_primary=True)]
        )
        with connections[OWNER_ALIAS].cursor() as cursor:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(slug)))
        fill_schema(slug)
        apply_tenant_fence(slug)
        _note_provisioned(tenant, host)
        # Robust: should the broker be away, tenants.serve_new_queues tells the workers later.
        transaction.on_commit(partial(serve_queue, slug), using=OWNER_ALIAS, robust=True)
    return tenant


def add_member(
    *,
    tenant: Tenant,
    email: str,
    role: str,
    added_by: str,
    added_at: datetime,
    name: str = "",
    password: str | None = None,
) -> Membership:
    """Give a person a role in a tenant, creating the person or changing the role where needed; as
    the owner.

    Raises ``Invalid`` for a bad e-mail or role. The password is set only for a person who is new.
    """
    email = email.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise Invalid(f"{email!r} is not an e-mail address.") from None
    if role not in Membership.Role.values:
        raise Invalid(f"{role!r} is no role. Choose one of {', '.join(Membership.Role.values)}.")
    with public_context(), transaction.atomic(using=OWNER_ALIAS):
        users = User.objects.using(OWNER_ALIAS)
        user = users.filter(email=email).first()
        if user is None:
            user = User.objects.db_manager(OWNER_ALIAS).create_user(
                email, password, name=name, joined_at=added_at
            )
        memberships = Membership.objects.using(OWNER_ALIAS)
        earlier = memberships.filter(user=user, tenant=tenant).values_list("role", flat=True)
        was = earlier.first()
        membership, is_new = Membership.objects.using(OWNER_ALIAS).update_or_create(
            user=user,
            tenant=tenant,
            defaults={"role": role},
            create_defaults={"role": role, "added_at": added_at, "added_by": added_by},
        )
        if is_new or was != role:
            with tenant_context(tenant.schema_name):
                note(
                    who=process(added_by),
                    action="member.added" if is_new else "member.role_changed",
                    subject=Subject("person", str(user.pk), email),
                    at=added_at,
                    before=None if is_new else {"role": was},
                    after={"role": role},
                    using=OWNER_ALIAS,
                )
    return membership


def set_password(*, email: str, password: str, set_by: str, set_at: datetime) -> None:
    """Replace a person's password; as the owner. Raises ``Invalid`` when there is no such
    person. The platform's own log tells of it: the person may belong to several tenants.
    """
    with public_context(), transaction.atomic(using=OWNER_ALIAS):
        user = User.objects.using(OWNER_ALIAS).filter(email=email.lower()).first()
        if user is None:
            raise Invalid(f"Nobody signs in as {email!r}.")
        user.set_password(password)
        user.save(using=OWNER_ALIAS, update_fields=["password"])
        note(
            who=process(set_by),
            action="password.set",
            subject=Subject("person", str(user.pk), user.email),
            at=set_at,
            using=OWNER_ALIAS,
        )


def _note_provisioned(tenant: Tenant, host: str) -> None:
    """Begin the tenant's log, and tell the platform's."""
    for context in (public_context(), tenant_context(tenant.schema_name)):
        with context:
            note(
                who=process(tenant.provisioned_by),
                action="tenant.provisioned",
                subject=Subject("tenant", tenant.schema_name, tenant.name),
                at=tenant.provisioned_at,
                after={"host": host},
                using=OWNER_ALIAS,
            )


def _check_tenant(tenant: Tenant) -> None:
    if tenant.slug in RESERVED_SLUGS or tenant.slug.startswith("pg"):
        raise Invalid(f"The slug {tenant.slug!r} is reserved. Choose another.")
    try:
        tenant.clean_fields()
    except ValidationError as error:
        field, problems = next(iter(error.message_dict.items()))
        field = {"schema_name": "slug"}.get(field, field)
        raise Invalid(f"The tenant's {field} will not do: {problems[0]}") from None


def _clean_host(host: str) -> str:
    host = host.strip().lower().rstrip(".")
    labels = host.split(".")
    fits = len(host) <= 253 and all(
        0 < len(label) <= 63
        and label.isascii()
        and label.replace("-", "").isalnum()
        and not label.startswith("-")
        and not label.endswith("-")
        for label in labels
    )
    if not fits:
        raise Invalid(
            f"{host!r} is not a host name. Give one like acme.example.com, without a port."
        )
    return host
