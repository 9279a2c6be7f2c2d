"""The business app."""

from django.apps import AppConfig


class BusinessConfig(AppConfig):
    """Tenant-owned; it has no tables yet."""

    name = "business"
    default_auto_field = "django.db.models.BigAutoField"
