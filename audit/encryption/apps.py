"""The app of the keys."""

from django.apps import AppConfig


class EncryptionConfig(AppConfig):
    """Wrapped data keys in every tenant's schema, and in the shared one for the platform's own."""

    name = "audit.encryption"
    label = "encryption"
    verbose_name = "Encryption of personal content"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks."""
        from audit.encryption import checks  # noqa: F401
