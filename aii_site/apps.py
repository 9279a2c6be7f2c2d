"""The site itself, as an app: it makes our Celery application the current one in every process."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Without models."""

    name = "aii_site"

    def ready(self) -> None:
        """Import what registers itself."""
        from aii_site import celery  # noqa: F401
