"""No task yet: Celery imports this module in its processes, which then report themselves."""

from monitoring import worker

__all__ = ["worker"]
