"""The simulation app."""

from django.apps import AppConfig


class SimulationConfig(AppConfig):
    """Tenant-owned: its tables live in each tenant's schema."""

    name = "simulation"
    default_auto_field = "django.db.models.BigAutoField"
