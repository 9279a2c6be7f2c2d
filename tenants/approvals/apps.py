"""The approvals of a tenant."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    """A tenant-owned app inside the room of the tenants."""

    name = "tenants.approvals"
    label = "approvals"
    default_auto_field = "django.db.models.BigAutoField"
