"""Makes the template database of the tests: migrated, with the cast in it. Run as ``python -m
tests.template``.
"""

from __future__ import annotations

import datetime

import django


def main() -> None:
    django.setup()
    from django.core.management import call_command

    from tenants import services
    from tests.cast import PASSWORD, PEOPLE, TENANTS, host

    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    call_command("migrate")
    tenants = {
        slug: services.provision_tenant(
            slug=slug, name=name, host=host(slug), provisioned_by="tests", provisioned_at=now
        )
        for slug, name in TENANTS.items()
    }
    for email, places in PEOPLE.values():
        for slug, role in places:
            services.add_member(
                tenant=tenants[slug],
                email=email,
                role=role,
                password=PASSWORD,
                added_by="tests",
                added_at=now,
            )


if __name__ == "__main__":
    main()
