"""Provision the two demo tenants and their people; safe to run again."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from tenants import services
from tenants.context import public_context
from tenants.models import Membership, Tenant, User
from tenants.owner import OWNER_ALIAS

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
        password, is_new = _demo_password(settings.AII_HOME / "demo.json")
        with public_context(), transaction.atomic(using=OWNER_ALIAS):
            if is_new:
                _replace_passwords(password)
            for slug in TENANTS:
                _provision(slug, password)
        if options["json"]:
            self.stdout.write(json.dumps(_describe(password)))
            return
        for tenant in _describe(password)["tenants"]:
            self.stdout.write(f"{tenant['name']}: {tenant['address']}")
            for person in tenant["people"]:
                self.stdout.write(f"  {person['email']} ({person['role'].lower()})")
        self.stdout.write(f"Password of all: {password}")


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


def _replace_passwords(password: str) -> None:
    # The file with the password is gone while the people are still there.
    emails = {email for _, people in TENANTS.values() for email, _, _ in people}
    for email in (
        User.objects.using(OWNER_ALIAS).filter(email__in=emails).values_list("email", flat=True)
    ):
        services.set_password(email=email, password=password, set_by=WHO, set_at=timezone.now())


def _demo_password(path: Path) -> tuple[str, bool]:
    """Return this installation's demo password, and whether it was made just now."""
    if path.exists():
        return str(json.loads(path.read_text())["password"]), False
    password = secrets.token_urlsafe(9)
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"password": password}, file)
    return password, True


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
