"""The app of identity providers: its tables lie in each tenant's schema."""

from django.apps import AppConfig


class SingleSignOnConfig(AppConfig):
    """A tenant's providers, and which of their accounts is which member."""

    name = "tenants.single_sign_on"
    label = "single_sign_on"
    default_auto_field = "django.db.models.BigAutoField"
