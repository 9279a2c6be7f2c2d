"""The second roles of a tenant's members."""

from django.apps import AppConfig


class SecondRolesConfig(AppConfig):
    """A tenant-owned app inside the room of the tenants."""

    name = "tenants.second_roles"
    label = "second_roles"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let the rules know of second roles, and note where an exception is used."""
        from tenants.permissions import EXTRA_ROLES, GUARDS
        from tenants.second_roles import selectors, use

        EXTRA_ROLES.append(selectors.extra_roles)
        GUARDS.append(use.guard)
