"""The monitoring app."""

from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    """Tenant-owned: its tables live in each tenant's schema."""

    name = "monitoring"
    default_auto_field = "django.db.models.BigAutoField"
