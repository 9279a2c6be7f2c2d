"""What the scenario says: the summary, the problem and the return."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from business.cases import drawing
from business.cases.document import (
    Block,
    Bound,
    Figure,
    Name,
    Paragraph,
    Points,
    Section,
    Table,
    Text,
    say,
)
from business.cases.inputs import Inputs
from business.cases.sections.common import (
    RESULTS,
    SIMULATION,
    cells,
    in_money,
    loss,
    notes,
    of_input,
    of_results,
    platform_figure,
)
from business.scenarios.charts import BENEFITS, TORNADO_MAX
from business.scenarios.outline import Held, numbers_of
from business.scenarios.selectors import titles_of
from business.scenarios.wording import describe_fact, list_thresholds, money, ratio, years
from simulation.figures import percent, sci

_NO_PAYBACK = "it is not reached within the horizon"
_NO_OUTLAY = "there is no outlay to compare with"


def write_summary(inputs: Inputs) -> Section:
    """Return the answer: what it is worth, what it costs, how sure that is, what was seen."""
    answer = inputs.priced.results
    amount = in_money(inputs)
    npv = of_results(inputs, "npv", "Net present value", amount)
    name = Name(inputs.priced.name)
    if answer["npv"] is None:
        verdict = say(
            "What {name} is worth cannot be said yet: {unknown} of its inputs are unknown.",
            name=name,
            unknown=Bound("unknown", "Unknown inputs", str(len(answer["unknown"])), RESULTS),
        )
    else:
        verb = "gains" if answer["npv"] >= 0 else "loses"
        verdict = say(
            f"{{name}} {verb} {{npv}} in present value over {{horizon}}, at a discount rate of"
            " {rate}. The payback is {payback}; the probability of a loss is {loss}.",
            name=name,
            npv=npv,
            horizon=_horizon(inputs),
            rate=_rate(inputs),
            payback=_payback(inputs),
            loss=loss(inputs),
        )
    once = sum(row["one_time_cost"] or 0.0 for row in answer["years"])
    asked = say(
        "The change costs {once} once and is compared with keeping today's system, which costs"
        " {today} over the same time.",
        once=of_results(inputs, "one_time_total", "One-time costs", amount, value=once),
        today=_tco(inputs, "tco_current", "Cost of ownership today"),
    )
    seen = say(
        "On this platform so far: runs that kept every law, {runs}; runs that broke a law,"
        " {broken}; fault drills that were caught, {drills}.",
        runs=platform_figure(inputs, "runs_kept"),
        broken=platform_figure(inputs, "runs_broken"),
        drills=platform_figure(inputs, "drills_caught"),
    )
    blocks: list[Block] = [
        Paragraph(verdict),
        Paragraph(asked),
        Paragraph(seen),
        *notes(inputs, "summary"),
    ]
    return Section("summary", "Executive summary", tuple(blocks))


def write_problem(inputs: Inputs) -> Section:
    """Return what today costs, and what the industry publishes."""
    document = inputs.priced.document
    amount = in_money(inputs)
    held = list(numbers_of(document))
    costs = [one for one in held if one.path.startswith("current_costs.")]
    losses = [one for one in held if _is_of_today(one)]
    blocks: list[Block] = [
        Paragraph(
            say(
                "Over {horizon} today's system costs {total}, in present value {present}.",
                horizon=_horizon(inputs),
                total=_tco(inputs, "tco_current", "Cost of ownership today"),
                present=of_results(
                    inputs,
                    "tco_current_present",
                    "Cost of ownership today, in present value",
                    amount,
                    value=inputs.priced.results["tco_current"]["present_value"],
                ),
            )
        )
    ]
    if costs:
        blocks.append(_inputs_table(inputs, "What today's system costs", costs))
    if losses:
        blocks.append(_inputs_table(inputs, "What goes wrong or is done by hand today", losses))
    if not costs and not losses:
        blocks.append(Paragraph(("The scenario states no cost and no loss of today.",)))
    if inputs.industry and inputs.industry.facts:
        rows = [
            cells(
                (Name(fact.label),),
                (Bound(f"fact.{at}", fact.label, describe_fact(fact), f"industry.{at}"),),
                (Name(fact.note),) if fact.note else "",
            )
            for at, fact in enumerate(inputs.industry.facts)
        ]
        blocks += [
            Paragraph(
                say(
                    "Published for {industry}. These are others' figures to compare with, and no"
                    " measurement of ours.",
                    industry=Name(inputs.industry.title.lower()),
                )
            ),
            Table("Published figures", ("Figure", "Value", "Note"), tuple(rows), (1,)),
        ]
    return Section("problem", "Problem statement", (*blocks, *notes(inputs, "problem")))


def write_return(inputs: Inputs) -> Section:
    """Return the measures, the years, how sure they are, and every input."""
    blocks: list[Block] = [
        Paragraph(_assumed(inputs)),
        _measures(inputs),
        *_cash_flow(inputs),
        *_uncertainty(inputs),
        *_break_even(inputs),
        _inputs_table(
            inputs, "Every input and what it rests on", list(numbers_of(inputs.priced.document))
        ),
        Points(
            tuple(
                (Bound(f"assumption.{at}", "Assumption", words, RESULTS),)
                for at, words in enumerate(inputs.priced.results["assumptions"])
            )
        ),
    ]
    return Section("return", "Return on investment", (*blocks, *notes(inputs, "return")))


def _assumed(inputs: Inputs) -> Text:
    return say(
        "All amounts compare the change with keeping today's system, over {horizon} at {rate}"
        f" ({inputs.priced.results['rate_kind']}). The base case takes each range at its mean.",
        horizon=_horizon(inputs),
        rate=_rate(inputs),
    )


def _measures(inputs: Inputs) -> Table:
    answer = inputs.priced.results
    amount = in_money(inputs)
    several = "the flows have several" if answer["irr_roots"] else "the flows have none"
    found = [
        of_results(inputs, "npv", "Net present value", amount),
        of_results(
            inputs, "roi", "Return on investment, in present values", percent, why=_NO_OUTLAY
        ),
        of_results(inputs, "irr", "Internal rate of return", percent, why=several),
        of_results(inputs, "mirr", "Modified internal rate of return", percent, why=_NO_OUTLAY),
        of_results(inputs, "bcr", "Benefit-cost ratio", ratio, why=_NO_OUTLAY),
        _payback(inputs),
        of_results(
            inputs, "discounted_payback_years", "Discounted payback", years, why=_NO_PAYBACK
        ),
        of_results(inputs, "annual_savings", "Saved a year, before tax", amount),
        _tco(inputs, "tco_current", "Cost of ownership today"),
        _tco(inputs, "tco_proposed", "Cost of ownership proposed"),
        loss(inputs),
    ]
    rows = tuple(cells(one.label, (one,)) for one in found)
    return Table("What the change is worth", ("Measure", "Value"), rows, (1,))


def _cash_flow(inputs: Inputs) -> Iterator[Block]:
    answer = inputs.priced.results
    rows = answer["years"]
    if any(row["cumulative_flow"] is None for row in rows):
        return
    gains = [sum(row[key] for key in BENEFITS) for row in rows]
    # 0 less something, so that nothing is 0 and not -0.
    costs = [0 - row["one_time_cost"] - row["running_cost"] for row in rows]
    taxes = [0 - row["tax"] for row in rows]
    stacks = {"Benefits": gains, "Costs": costs, **({"Tax": taxes} if any(taxes) else {})}
    yield Figure(
        "cash_flow",
        "Cash flow by year",
        "Benefits upwards, costs downwards, and the running sum after tax.",
        drawing.draw_cash_flow(
            [row["year"] for row in rows],
            stacks,
            [row["cumulative_flow"] for row in rows],
            answer["currency"],
        ),
        (RESULTS,),
    )
    columns = [("benefits", "Benefits", gains), ("costs", "Costs", costs)]
    columns += [("tax", "Tax", taxes)] if any(taxes) else []
    columns += [
        (key, title, [row[key] for row in rows])
        for key, title in (("present_value", "Present value"), ("cumulative_flow", "Running sum"))
    ]
    body = tuple(
        cells(
            (_plain(f"year.{at}", "Year", row["year"]),),
            *(
                (_amount(f"{key}.{at}", f"{title}, year {row['year']}", values[at]),)
                for key, title, values in columns
            ),
        )
        for at, row in enumerate(rows)
    )
    head = ("Year", *(title for _, title, _ in columns))
    numeric = tuple(range(len(head)))
    yield Table(f"Money by year, {answer['currency']}", head, body, numeric)


def _uncertainty(inputs: Inputs) -> Iterator[Block]:
    answer = inputs.priced.results
    found = answer["simulation"]
    if not found:
        yield Paragraph(("No input is a range, so nothing is said about how sure the result is.",))
        return
    amount = in_money(inputs)
    low, high = found["probability_of_loss_ci95"]
    quantile = found["npv_quantiles"]
    yield Paragraph(
        say(
            "Of {trials} trials with every range drawn at random, {loss} lose money ({low} to"
            " {high} by the number of trials alone). Nine in ten give a net present value between"
            " {worse} and {better}.",
            trials=_sure("trials", "Trials", f"{found['trials']:,}".replace(",", "\u202f")),
            loss=loss(inputs),
            low=_sure("loss_low", "Probability of a loss, lower limit", percent(low)),
            high=_sure("loss_high", "Probability of a loss, upper limit", percent(high)),
            worse=_sure("npv_low", "Net present value, low", amount(quantile["p05"])),
            better=_sure("npv_high", "Net present value, high", amount(quantile["p95"])),
        )
    )
    yield Figure(
        "fan",
        "Cumulative present value by year",
        "One trial in ten lies below the low line, one in ten above the high line; the red line is"
        " break-even.",
        drawing.draw_fan(found["fan"], answer["currency"]),
        (SIMULATION,),
    )
    titles = titles_of(inputs.priced.document)
    bars = answer["tornado"][:TORNADO_MAX]
    named = [(titles.get(bar["path"], bar["path"]), bar) for bar in bars]
    yield Figure(
        "tornado",
        "What moves the result",
        "The net present value with one input at the low and the high end of its range.",
        drawing.draw_ranges(
            [(title, bar["npv_at_low"], bar["npv_at_high"]) for title, bar in named],
            answer["npv"],
            title="What moves the result",
            code=answer["currency"],
        ),
        (RESULTS,),
    )
    rows = tuple(
        cells(
            (Name(title),),
            (_amount(f"{bar['path']}.low", f"{title}: value at its low end", bar["npv_at_low"]),),
            (
                _amount(
                    f"{bar['path']}.high", f"{title}: value at its high end", bar["npv_at_high"]
                ),
            ),
        )
        for title, bar in named
    )
    head = ("Input", "Value when low", "Value when high")
    yield Table(f"Net present value at the ends, {answer['currency']}", head, rows, (1, 2))


def _break_even(inputs: Inputs) -> Iterator[Block]:
    answer, document = inputs.priced.results, inputs.priced.document
    every = list_thresholds(answer, document)
    found = [one for one in every if one.value != "none"]
    if found:
        rows = tuple(
            cells(
                (Name(one.title),),
                (Bound(f"base.{one.title}", f"{one.title}: base case", one.base, RESULTS),),
                (Bound(f"even.{one.title}", f"{one.title}: break-even", one.value, RESULTS),),
            )
            for one in found
        )
        yield Table(
            "What must be true to break even, all else at its mean",
            ("Input", "Base case", "Break-even"),
            rows,
            (1, 2),
        )
    if len(found) < len(every):
        yield Paragraph(("No value of any other input makes the change worth nothing by itself.",))


def _inputs_table(inputs: Inputs, caption: str, held: list[Held]) -> Table:
    rows = tuple(cells((Name(one.title),), (of_input(inputs, one),)) for one in held)
    return Table(caption, ("Input", "Value"), rows, (1,))


def _is_of_today(held: Held) -> bool:
    today = ("errors_per_year", "cost_per_error", "baseline_cost", "loss_per_event")
    return held.place.key in (*today, "events_per_year", "threat_events_per_year", "vulnerability")


def _payback(inputs: Inputs) -> Bound:
    return of_results(inputs, "payback_years", "Payback", years, why=_NO_PAYBACK)


def _tco(inputs: Inputs, key: str, label: str) -> Bound:
    total = inputs.priced.results[key]["total"]
    return of_results(inputs, f"{key}_total", label, in_money(inputs), value=total)


def _horizon(inputs: Inputs) -> Bound:
    count = inputs.priced.results["horizon_years"]
    return Bound("horizon", "Horizon", f"{count} year{'s' if count != 1 else ''}", RESULTS)


def _rate(inputs: Inputs) -> Bound:
    return of_results(inputs, "discount_rate", "Discount rate", percent)


def _plain(key: str, label: str, value: Any) -> Bound:
    return Bound(key, label, sci(value, 6), RESULTS)


def _amount(key: str, label: str, amount: float) -> Bound:
    return Bound(key, label, money(amount, "").strip() if amount else "0", RESULTS)


def _sure(key: str, label: str, text: str) -> Bound:
    return Bound(key, label, text, SIMULATION)
