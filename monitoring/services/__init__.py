"""Every write to nodes, accounts, observations, samples and alerts."""

from monitoring.readings import BadReading, QuantityReading
from monitoring.services.accounts import (
    AccountClosed,
    AccountUnknown,
    close_account,
    open_account,
)
from monitoring.services.alerts import (
    AlertUnknown,
    AlreadyAcknowledged,
    AlreadyResolved,
    acknowledge_alert,
    clear_alert,
    open_alert,
    resolve_alert,
)
from monitoring.services.observations import publish_run, record_observation
from monitoring.services.retention import delete_old_rows

__all__ = [
    "AccountClosed",
    "AccountUnknown",
    "AlertUnknown",
    "AlreadyAcknowledged",
    "AlreadyResolved",
    "BadReading",
    "QuantityReading",
    "acknowledge_alert",
    "clear_alert",
    "close_account",
    "delete_old_rows",
    "open_account",
    "open_alert",
    "publish_run",
    "record_observation",
    "resolve_alert",
]
