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
from business.roi.industries import INDUSTRIES, INDUSTRIES_AS_OF, Fact, Industry
from business.roi.internal_rate import InternalRates, internal_rates
from business.roi.loading import load_scenario, read_scenario
from business.roi.measures import (
    Measures,
    benefit_cost_ratio,
    measure,
    modified_internal_rate,
    nominal_rate,
    real_rate,
    return_on_investment,
)
from business.roi.monte_carlo import TRIALS_MAX, TRIALS_MIN, Simulation, simulate, wilson_interval
from business.roi.scenario import HORIZON_MAX, Input, Scenario
from business.roi.sensitivity import (
    Bar,
    BreakEven,
    break_even,
    break_evens,
    compare,
    net_present_values,
    tornado,
)
from business.roi.valuation import Valuation, value_scenario

# Raised when a formula changes what the same inputs give.
VERSION = "1"

__all__ = [
    "FLOWS_MAX",
    "FORMULAS",
    "HORIZON_MAX",
    "INDUSTRIES",
    "INDUSTRIES_AS_OF",
    "TIMINGS",
    "TRIALS_MAX",
    "TRIALS_MIN",
    "VERSION",
    "BadInput",
    "Bar",
    "BreakEven",
    "Fact",
    "Formula",
    "Industry",
    "Input",
    "InternalRates",
    "Measures",
    "Problem",
    "Scenario",
    "Simulation",
    "Valuation",
    "benefit_cost_ratio",
    "break_even",
    "break_evens",
    "compare",
    "internal_rates",
    "load_scenario",
    "measure",
    "modified_internal_rate",
    "net_present_value",
    "net_present_values",
    "nominal_rate",
    "payback",
    "read_flows",
    "read_rate_of",
    "read_scenario",
    "real_rate",
    "return_on_investment",
    "simulate",
    "split_flows",
    "tornado",
    "value_scenario",
    "wilson_interval",
]
