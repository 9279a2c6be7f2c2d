"""The app of the log."""

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Tables in every tenant's schema, and the global tree in the shared one."""

    name = "audit"
    verbose_name = "Audit log"
