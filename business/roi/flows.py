"""Cash flows in time: when each counts, what it is worth now, when it has paid back.

``flows[0]`` is now and is never discounted. ``flows[t]``, t >= 1, belongs to year t and counts

=======  ==========  ================================================================
timing   at (years)  meaning
=======  ==========  ================================================================
end      t           at the end of its year, the convention of spreadsheets' NPV
mid      t - 1/2     in the middle of its year, for flows that come evenly through it
start    t - 1       at the start of its year, for what is paid in advance
=======  ==========  ================================================================

Source of all three: Brealey, Myers, Allen, *Principles of Corporate Finance* (NPV, annuities due);
the mid-year convention: Pratt, Grabowski, *Cost of Capital* (5th ed., 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from itertools import accumulate

from business.roi.amounts import EXACT, MONEY_MAX, NotANumber, read_number, read_rate
from business.roi.errors import BadInput, Problem

TIMINGS = ("end", "mid", "start")
# A century by the month. The roots of a longer series are not looked for, so it is not taken.
FLOWS_MAX = 1201


def read_flows(values: Sequence[object]) -> tuple[Decimal, ...]:
    """Return the flows as Decimals, or raise ``BadInput`` naming the first that is wrong."""
    if not values:
        raise BadInput("Give at least one cash flow, as in -1000,600,600,600.")
    if len(values) > FLOWS_MAX:
        raise BadInput(f"At most {FLOWS_MAX} cash flows can be given, not {len(values)}.")
    flows = []
    for year, value in enumerate(values):
        try:
            flows.append(read_number(value, low=-MONEY_MAX, high=MONEY_MAX))
        except NotANumber as wrong:
            raise BadInput(f"The flow of year {year} {wrong}") from None
    return tuple(flows)


def split_flows(text: str) -> list[str]:
    """Return the parts of ``-1000,600,600``; an empty text has none."""
    return text.split(",") if text.strip() else []


def read_rate_of(name: str, value: object) -> Decimal:
    """Return a rate as a fraction above -1, or raise ``BadInput`` beginning with ``name``."""
    try:
        return read_rate(value)
    except NotANumber as wrong:
        raise BadInput([Problem("", f"{name} {wrong}")]) from None


def halves(timing: str, year: int) -> int:
    """Return when a year's flow counts, in half years, so that it is a whole number."""
    if timing not in TIMINGS:
        raise BadInput(f"The timing is one of {', '.join(TIMINGS)}, not {timing!r}.")
    if year == 0:
        return 0
    return 2 * year - TIMINGS.index(timing)


def discount_factors(rate: Decimal, count: int, timing: str) -> tuple[Decimal, ...]:
    """Return (1 + rate) ** -time for ``count`` years, the first being year 0."""
    with localcontext(EXACT):
        root = (1 + rate).sqrt()
        return tuple(
            (1 + rate) ** -(half // 2) / (root if half % 2 else 1)
            for half in (halves(timing, year) for year in range(count))
        )


def net_present_value(flows: Sequence[Decimal], rate: Decimal, timing: str = "end") -> Decimal:
    """Return sum of flow_t * (1 + rate) ** -time_t, to 34 digits."""
    return sum_exact(present_values(flows, rate, timing))


def present_values(
    flows: Sequence[Decimal], rate: Decimal, timing: str = "end"
) -> tuple[Decimal, ...]:
    """Return each flow as worth now."""
    factors = discount_factors(rate, len(flows), timing)
    with localcontext(EXACT):
        return tuple(flow * factor for flow, factor in zip(flows, factors, strict=True))


def sum_exact(amounts: Sequence[Decimal]) -> Decimal:
    """Return the sum to 34 digits."""
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def cumulative(amounts: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Return the running sums."""
    with localcontext(EXACT):
        return tuple(accumulate(amounts))


def payback(amounts: Sequence[Decimal]) -> tuple[float | None, bool]:
    """Return the time in years from which the running sum stays at 0 or above, and whether it had
    been there before and fell below again.

    The flow of year t is spread evenly over year t (linear interpolation), whatever the timing.
    None when the sum ends below 0, and when it never was below: then nothing was there to pay back.
    """
    sums = cumulative(amounts)
    below = [year for year, total in enumerate(sums) if total < 0]
    if not below or below[-1] == len(sums) - 1:
        was_there = bool(below) and any(total >= 0 for total in sums[below[0] :])
        return None, was_there
    last = below[-1]
    with localcontext(EXACT):
        years = last + -sums[last] / amounts[last + 1]
    return float(years), len(below) != last - below[0] + 1
