"""The business cases of a tenant."""

from django.apps import AppConfig


class CasesConfig(AppConfig):
    """A tenant-owned app inside the room of business."""

    name = "business.cases"
    label = "cases"
    default_auto_field = "django.db.models.BigAutoField"
