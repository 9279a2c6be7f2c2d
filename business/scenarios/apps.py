"""The scenarios of a tenant."""

from django.apps import AppConfig


class ScenariosConfig(AppConfig):
    """A tenant-owned app inside the room of the business."""

    name = "business.scenarios"
    label = "scenarios"
    default_auto_field = "django.db.models.BigAutoField"
