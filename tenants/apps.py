"""The tenants app."""

from django.apps import AppConfig


class TenantsConfig(AppConfig):
    """Registers the deployment checks."""

    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Import what registers itself."""
        from tenants import checks  # noqa: F401
        from tenants.permissions import GUARDS
        from tenants.second_factors import mails, policy, services
        from tenants.sign_in import events

        GUARDS.append(policy.guard)
        services.connect()
        mails.connect()
        events.connect()
