"""The business app."""

from django.apps import AppConfig


class BusinessConfig(AppConfig):
    """The calculator and its command; tables are in the apps inside the room."""

    name = "business"
    default_auto_field = "django.db.models.BigAutoField"
