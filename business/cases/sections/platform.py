"""What the platform does and measured, the plan, and how success is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from business.cases import drawing
from business.cases.document import (
    NOT_MEASURED,
    Block,
    Bound,
    Figure,
    Name,
    Paragraph,
    Points,
    Said,
    Section,
    Table,
    Text,
    say,
)
from business.cases.inputs import Inputs, Plan, PlannedPhase
from business.cases.sections.common import (
    PROPOSAL,
    RESULTS,
    ROADMAP,
    cells,
    in_money,
    notes,
    of_platform,
    of_results,
)
from business.scenarios.wording import years

_STATES = {
    "READY": "Ready",
    "PLANNED": "Planned",
    "RUNNING": "Running",
    "LATE": "Late",
    "MET": "Met",
    "NOT_MET": "Not met",
    "NOT_MEASURED": "Not measured",
}
_DOES = (
    "Each step of a run is checked against the laws that were declared for it, with a tolerance"
    " and the reason of it.",
    "A step that breaks a law is rolled back, the run is marked, and somebody is told.",
    "Who did what stands in a tamper-evident log that an auditor verifies alone.",
    "A decision counts only where the evidence for it is large enough; otherwise it abstains.",
)


def write_solution(inputs: Inputs) -> Section:
    """Return what AII does, and what it measured in this tenant."""
    measured = inputs.measured
    rows = tuple(cells(one.label, (of_platform(one),)) for one in measured.figures)
    blocks: list[Block] = [
        Paragraph(
            (
                "AII runs the work, checks what must be conserved, and keeps the proof. It is"
                " compared here with going on as today.",
            )
        ),
        Points(tuple((words,) for words in _DOES)),
        Table("What the platform measured in this tenant", ("Figure", "Value"), rows, (1,)),
    ]
    blocks += _months(inputs)
    return Section("solution", "Solution overview", (*blocks, *notes(inputs, "solution")))


def _months(inputs: Inputs) -> Iterator[Block]:
    months = inputs.measured.months
    if not months:
        return
    title = "Verified runs by month"
    names = [f"{month.first_day:%b %Y}" for month in months]
    stacks = {
        "Kept every law": [float(month.kept) for month in months],
        "Broke a law": [float(month.broken) for month in months],
    }
    yield Figure(
        "runs",
        title,
        "Runs that ended, fault drills apart, by whether every law held.",
        drawing.draw_columns(names, stacks, title=title, x_title="month", y_title="runs"),
        ("runs",),
    )
    rows = tuple(
        cells(
            (Bound(f"month.{name}", "Month", name, "runs"),),
            *(
                (Bound(f"{kind}.{name}", f"{kind}, {name}", f"{values[at]:.0f}", "runs"),)
                for kind, values in stacks.items()
            ),
        )
        for at, name in enumerate(names)
    )
    yield Table(title, ("Month", *stacks), rows, (1, 2))


def write_plan(inputs: Inputs) -> Section:
    """Return the roadmap of the tenant, or the plan that is proposed."""
    plan = inputs.plan
    if plan.is_own:
        lead = "This is the tenant's own roadmap as it stood when this document was made."
    else:
        lead = "The tenant has no roadmap yet. This is the plan that AII proposes; it has no dates."
    rows = tuple(_phase_row(phase, is_own=plan.is_own) for phase in plan.phases)
    head = ("Phase", "Begins", "Ends", "Lasts", "Tasks closed", "State")
    proposed = ("Phase", "Lasts", "Tasks")
    blocks: list[Block] = [
        Paragraph((lead,)),
        Table("Phases", head if plan.is_own else proposed, rows),
        _tasks(plan),
        *_costs(inputs),
    ]
    return Section("plan", "Implementation plan", (*blocks, *notes(inputs, "plan")))


def _costs(inputs: Inputs) -> Iterator[Table]:
    rows = [row for row in inputs.priced.results["years"] if row["one_time_cost"]]
    if not rows:
        return
    amount = in_money(inputs)
    body = tuple(
        cells(
            (Bound(f"cost_year.{row['year']}", "Year", str(row["year"]), RESULTS),),
            (
                Bound(
                    f"cost.{row['year']}",
                    f"One-time costs, year {row['year']}",
                    amount(row["one_time_cost"]),
                    RESULTS,
                ),
            ),
        )
        for row in rows
    )
    yield Table("One-time costs by year of the scenario", ("Year", "Cost"), body, (1,))


def _phase_row(phase: PlannedPhase, *, is_own: bool) -> tuple[Text, ...]:
    count = str(len(phase.tasks))
    source = ROADMAP if is_own else PROPOSAL
    lasts = Bound(f"weeks.{phase.key}", f"{phase.title}: lasts", _span(phase.days), source)
    if not is_own:
        tasks = Bound(f"tasks.{phase.key}", f"{phase.title}: tasks", count, PROPOSAL)
        return cells((Name(phase.title),), (lasts,), (tasks,))
    closed = sum(task.state in ("Done", "Dropped") for task in phase.tasks)
    return cells(
        (Name(phase.title),),
        (_day(f"begins.{phase.key}", f"{phase.title}: begins", phase.starts_on),),
        (_day(f"ends.{phase.key}", f"{phase.title}: ends", phase.ends_on),),
        (lasts,),
        say(
            "{closed} of {all}",
            closed=Bound(
                f"closed.{phase.key}", f"{phase.title}: tasks closed", str(closed), ROADMAP
            ),
            all=Bound(f"tasks.{phase.key}", f"{phase.title}: tasks", count, ROADMAP),
        ),
        (Bound(f"state.{phase.key}", f"{phase.title}: state", _STATES[phase.state], ROADMAP),),
    )


def _span(days: int) -> str:
    weeks, rest = divmod(days, 7)
    count, unit = (days, "day") if rest else (weeks, "week")
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _tasks(plan: Plan) -> Table:
    rows = []
    for phase in plan.phases:
        for at, task in enumerate(phase.tasks):
            key = f"{phase.key}.{at}"
            row: list[Text | str] = [(Name(phase.title),), (Name(task.title),)]
            if plan.is_own:
                row += [
                    (Said(f"task.{key}"),) if task.owner else "nobody yet",
                    (_day(f"due.{key}", f"{task.title}: due", task.due_on),)
                    if task.due_on
                    else "no day",
                    (Bound(f"task.{key}", f"{task.title}: state", task.state, ROADMAP),),
                ]
            rows.append(cells(*row))
    head = ("Phase", "Task", "Owner", "Due", "State")
    return Table("Tasks", head if plan.is_own else head[:2], tuple(rows))


def _day(key: str, label: str, day: date | None) -> Bound:
    return Bound(key, label, f"{day:%-d %b %Y}" if day else "", ROADMAP)


def write_metrics(inputs: Inputs) -> Section:
    """Return what success is told by: the exit criteria, and the forecast to be held to."""
    source = ROADMAP if inputs.plan.is_own else PROPOSAL
    realised = inputs.measured.realised
    rows = []
    for phase in inputs.plan.phases:
        for one in phase.criteria:
            key = f"{phase.key}.{one.measure}"
            label = f"{phase.title}: {one.title}"
            row: list[Text] = [
                (Name(phase.title),),
                (Name(one.title),),
                (Bound(f"target.{key}", f"{label}, target", one.target, source),),
            ]
            if inputs.plan.is_own:
                text = NOT_MEASURED if one.why else one.value
                row += [
                    (Bound(f"value.{key}", f"{label}, now", text, source, why=one.why),),
                    (Bound(f"status.{key}", f"{label}, status", _STATES[one.status], source),),
                ]
            rows.append(cells(*row))
    head = ("Phase", "Criterion", "Target", "Now", "Status")
    blocks: list[Block] = [
        Paragraph(
            (
                "A phase ends when its exit criteria are met. They are counted from the platform's"
                " records; nobody ticks them.",
            )
        ),
        Table("Exit criteria", head if inputs.plan.is_own else head[:3], tuple(rows)),
        Paragraph(
            say(
                "The forecast to be held to: {savings} saved a year before tax, and a payback of"
                " {payback}. Realised so far: {realised}.",
                savings=of_results(inputs, "annual_savings", "Saved a year", in_money(inputs)),
                payback=of_results(
                    inputs,
                    "payback_years",
                    "Payback",
                    years,
                    why="it is not reached within the horizon",
                ),
                realised=Bound(
                    "realised",
                    "Realised savings",
                    realised.text or NOT_MEASURED,
                    realised.source,
                    why=realised.why,
                ),
            )
        ),
    ]
    return Section("metrics", "Success metrics", (*blocks, *notes(inputs, "metrics")))
