"""How many runs a tenant may have at once."""

from __future__ import annotations

from django.db import connection

from simulation.models import RunsQuota
from tenants.context import current_schema

# Until somebody has been granted another number.
RUNS_ACTIVE_MAX = 4
# What may be asked for: the platform's own limit.
RUNS_ACTIVE_LIMIT = 32


def get_runs_active_max() -> int:
    """Return the tenant's limit: the one granted last, or the default."""
    granted = RunsQuota.objects.order_by("-pk").values_list("active_max", flat=True).first()
    return RUNS_ACTIVE_MAX if granted is None else granted


def lock_quota(what: str = "quota") -> None:
    """Hold a tenant's quota until the transaction ends: counting and adding are one act."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [f"simulation.{what}:{current_schema()}"],
        )
