"""The simulation app."""

from django.apps import AppConfig


class SimulationConfig(AppConfig):
    """Tenant-owned: its tables live in each tenant's schema."""

    name = "simulation"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Offer what two people have to want."""
        from simulation.services import faults, quotas
        from tenants.approvals.kinds import register_kind

        for kind in (faults.KIND, quotas.KIND):
            register_kind(kind)
