"""The sessions app: its table lies in each tenant's schema."""

from django.apps import AppConfig


class SessionsConfig(AppConfig):
    """Takes the place of ``django.contrib.sessions``."""

    name = "tenants.sessions"
    label = "people_sessions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Note where each sign-in comes from."""
        from django.contrib.auth.signals import user_logged_in

        from tenants.sessions.services import stamp_session

        user_logged_in.connect(stamp_session, dispatch_uid="tenants.sessions.stamp")
