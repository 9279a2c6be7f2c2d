"""Every write of the audit across tenants."""

from monitoring.totals.services.openings import NotDrawn, check_openings, show_openings
from monitoring.totals.services.postings import (
    NoParticipant,
    RoundClosed,
    RoundUnknown,
    post_totals,
)
from monitoring.totals.services.rounds import RoundStillOpen, open_round, publish_round

__all__ = [
    "NoParticipant",
    "NotDrawn",
    "RoundClosed",
    "RoundStillOpen",
    "RoundUnknown",
    "check_openings",
    "open_round",
    "post_totals",
    "publish_round",
    "show_openings",
]
