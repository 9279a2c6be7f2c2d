"""Laws, exact sums and verification: the ground floor. No framework, no input or output."""

from conservation.exact import exact_sum, total_over_accounts
from conservation.laws import Kind, Law, Number, Quantity, Reading, Value
from conservation.verification import Status, Verdict, verify, worst

__all__ = [
    "Kind",
    "Law",
    "Number",
    "Quantity",
    "Reading",
    "Status",
    "Value",
    "Verdict",
    "exact_sum",
    "total_over_accounts",
    "verify",
    "worst",
]
