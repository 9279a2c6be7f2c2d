"""The app's name; its tables are shared by all tenants, behind row-level security."""

from django.apps import AppConfig


class TotalsConfig(AppConfig):
    """See the module."""

    name = "monitoring.totals"
    label = "totals"
