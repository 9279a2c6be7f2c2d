"""Provision the two demo tenants and their people; safe to run again."""

from __future__ import annotations

import json
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from tenants import services
from tenants.context import public_context
from tenants.models import Membership, Tenant, User
from tenants.owner import OWNER_ALIAS
from tenants.second_factors import demo
from tenants.second_factors.services import enrol_totp

WHO = "manage.py provision_demo"
Role = Membership.Role
TENANTS = {
    "acme": (
        "Acme Robotics",
        [
            ("owner@acme.example", "Ada Owner", Role.OWNER),
            ("operator@acme.example", "Omar Operator", Role.OPERATOR),
            ("auditor@acme.example", "Aiko Auditor", Role.AUDITOR),
            ("viewer@acme.example", "Vera Viewer", Role.VIEWER),
            ("consultant@aii.example", "Cem Consultant", Role.VIEWER),
        ],
    ),
    "globex": (
        "Globex Energy",
        [
            ("owner@globex.example", "Gil Owner", Role.OWNER),
            ("operator@globex.example", "Gro Operator", Role.OPERATOR),
            ("consultant@aii.example", "Cem Consultant", Role.OPERATOR),
        ],
    ),
}


class Command(BaseCommand):
    """See the module."""

    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create what is missing, and print the addresses, the people and their common password."""
        kept, is_new = demo.keep(settings.AII_HOME, _need_second_factor())
        with public_context(), transaction.atomic(using=OWNER_ALIAS):
            if is_new:
                _replace_passwords(kept.password)
            for slug in TENANTS:
                _provision(slug, kept.password)
            for email, secret in kept.secrets.items():
                if is_new or not _has_app(email):
                    enrol_totp(email=email, secret=secret)
        if options["json"]:
            self.stdout.write(json.dumps(_describe(kept.password)))
            return
        for tenant in _describe(kept.password)["tenants"]:
            self.stdout.write(f"{tenant['name']}: {tenant['address']}")
            for person in tenant["people"]:
                self.stdout.write(f"  {person['email']} ({person['role'].lower()})")
        self.stdout.write(f"Password of all: {kept.password}")
        self.stdout.write("One-time codes: manage.py demo_code [EMAIL]")


def _provision(slug: str, password: str) -> None:
    name, people = TENANTS[slug]
    now = timezone.now()
    tenant = Tenant.objects.using(OWNER_ALIAS).filter(slug=slug).first()
    if tenant is None:
        tenant = services.provision_tenant(
            slug=slug,
            name=name,
            host=f"{slug}.{settings.AII_BASE_HOST}",
            provisioned_by=WHO,
            provisioned_at=now,
        )
    present = set(
        Membership.objects.using(OWNER_ALIAS)
        .filter(tenant=tenant)
        .values_list("user__email", flat=True)
    )
    for email, person, role in people:
        if email not in present:
            services.add_member(
                tenant=tenant,
                email=email,
                name=person,
                role=role,
                password=password,
                added_by=WHO,
                added_at=now,
            )


def _need_second_factor() -> list[str]:
    """Return who only gets on with a second factor: everybody but those who just look."""
    everybody = [each for _, people in TENANTS.values() for each in people]
    return sorted({email for email, _, role in everybody if role != Role.VIEWER})


def _has_app(email: str) -> bool:
    return (
        Authenticator.objects.using(OWNER_ALIAS)
        .filter(user__email=email, type=Authenticator.Type.TOTP)
        .exists()
    )


def _replace_passwords(password: str) -> None:
    # The file with the password is gone while the people are still there.
    emails = {email for _, people in TENANTS.values() for email, _, _ in people}
    for email in (
        User.objects.using(OWNER_ALIAS).filter(email__in=emails).values_list("email", flat=True)
    ):
        services.set_password(email=email, password=password, set_by=WHO, set_at=timezone.now())


def _describe(password: str) -> dict[str, Any]:
    port = settings.AII_PORT
    return {
        "password": password,
        "tenants": [
            {
                "name": name,
                "address": f"http://{slug}.{settings.AII_BASE_HOST}:{port}/",
                "people": [{"email": email, "role": str(role)} for email, _, role in people],
            }
            for slug, (name, people) in TENANTS.items()
        ],
    }
