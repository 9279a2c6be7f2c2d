"""The return of a change, from stated inputs: cash flows, measures, scenarios, uncertainty.

Pure Python and NumPy; runs from a notebook. Refusals are ``BadInput`` with sentences for a person.

>>> from decimal import Decimal
>>> measure(read_flows([-1000, 600, 600, 600]), Decimal("0.1")).to_json()["bcr"]
1.4921111945905334
"""

from business.roi.errors import BadInput, Problem
from business.roi.flows import (
    FLOWS_MAX,
    TIMINGS,
    net_present_value,
    payback,
    read_flows,
    read_rate_of,
    split_flows,
)
from business.roi.formulas import FORMULAS, Formula
from business.roi.internal_rate import InternalRates, internal_rates
from business.roi.measures import (
    Measures,
    benefit_cost_ratio,
    measure,
    modified_internal_rate,
    nominal_rate,
    real_rate,
    return_on_investment,
)

__all__ = [
    "FLOWS_MAX",
    "FORMULAS",
    "TIMINGS",
    "BadInput",
    "Formula",
    "InternalRates",
    "Measures",
    "Problem",
    "benefit_cost_ratio",
    "internal_rates",
    "measure",
    "modified_internal_rate",
    "net_present_value",
    "nominal_rate",
    "payback",
    "read_flows",
    "read_rate_of",
    "real_rate",
    "return_on_investment",
    "split_flows",
]
