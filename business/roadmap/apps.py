"""The adoption roadmap of a tenant."""

from django.apps import AppConfig


class RoadmapConfig(AppConfig):
    """A tenant-owned app inside the room of business."""

    name = "business.roadmap"
    label = "roadmap"
    default_auto_field = "django.db.models.BigAutoField"
