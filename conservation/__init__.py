"""Laws, exact sums and verification: the ground floor. No framework, no input or output."""

from conservation.exact import exact_sum, total_over_accounts
from conservation.laws import Kind, Law, Number, Quantity, Reading, Value
from conservation.ordering import Arrival
from conservation.population import (
    accounts_needed,
    broken_at_most,
    draw_accounts,
    interval_of_total,
)
from conservation.sampling import AccountSample
from conservation.streaming import StreamVerifier, Trend
from conservation.trend import Slope
from conservation.verification import Status, Verdict, verify, worst

__all__ = [
    "AccountSample",
    "Arrival",
    "Kind",
    "Law",
    "Number",
    "Quantity",
    "Reading",
    "Slope",
    "Status",
    "StreamVerifier",
    "Trend",
    "Value",
    "Verdict",
    "accounts_needed",
    "broken_at_most",
    "draw_accounts",
    "exact_sum",
    "interval_of_total",
    "total_over_accounts",
    "verify",
    "worst",
]
