"""From the inputs to the document: one pure function. Nothing here asks a clock or a database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from business.cases.document import (
    CHANGED,
    Bound,
    Change,
    Document,
    Figure,
    Name,
    Section,
    Source,
    Table,
    bounds_in,
    list_changes,
    mark_changes,
    only_source,
)
from business.cases.inputs import Inputs
from business.cases.sections.common import (
    BEFORE,
    PROPOSAL,
    REGISTER,
    RESULTS,
    ROADMAP,
    SIMULATION,
    cells,
    source_of_input,
)
from business.cases.sections.money import write_problem, write_return, write_summary
from business.cases.sections.platform import write_metrics, write_plan, write_solution
from business.cases.sections.risks import write_risks
from business.scenarios.outline import BASES, notes_of, numbers_of

_WRITERS = (
    write_summary,
    write_problem,
    write_solution,
    write_return,
    write_plan,
    write_risks,
    write_metrics,
)
SECTIONS = {
    "summary": "Executive summary",
    "problem": "Problem statement",
    "solution": "Solution overview",
    "return": "Return on investment",
    "plan": "Implementation plan",
    "risks": "Risk assessment",
    "metrics": "Success metrics",
}


def build(inputs: Inputs, *, number: int = 1, before: Document | None = None) -> Document:
    """Return the document of these inputs; beside what differs from ``before`` stands its old
    value, and each section ends with a table of that.
    """
    document = Document(
        title=inputs.title,
        tenant=inputs.tenant,
        number=number,
        made_at=inputs.made_at.isoformat(timespec="seconds"),
        sections=tuple(write(inputs) for write in _WRITERS),
        sources=(),
        said=_said(inputs),
    )
    if before is not None:
        document = _tell_changes(document, before)
    known = {each.key: each for each in chain(_sources(inputs), _before(before))}
    used = dict.fromkeys(chain.from_iterable(_sources_used(each) for each in document.sections))
    return replace(document, sources=tuple(known[key] for key in used))


def _said(inputs: Inputs) -> dict[str, str]:
    said = {f"note.{section}": text for section, text in inputs.notes.items() if text}
    said |= {f"risk.{at}": one.owner for at, one in enumerate(inputs.risks) if one.owner}
    for phase in inputs.plan.phases:
        owners = enumerate(task.owner for task in phase.tasks)
        said |= {f"task.{phase.key}.{at}": owner for at, owner in owners if owner}
    heads = {"author": inputs.author, "prepared_for": inputs.prepared_for}
    return said | {key: text for key, text in heads.items() if text}


def _tell_changes(document: Document, before: Document) -> Document:
    changes = list_changes(before, document)
    told = mark_changes(document, before)
    return replace(
        told,
        sections=tuple(
            replace(each, blocks=(*each.blocks, *_changed_table(each, changes)))
            for each in told.sections
        ),
    )


def _changed_table(section: Section, changes: list[Change]) -> Iterator[Table]:
    # What is new is marked where it stands; a list of it would repeat the section.
    own = [one for one in changes if one.section == section.title and not one.is_new]
    if not own:
        return
    rows = tuple(
        cells(
            (Name(one.label),),
            (Bound(f"before.{at}", one.label, one.before, BEFORE),),
            (Bound(f"after.{at}", one.label, one.after, one.source),)
            if one.after
            else "no longer there",
        )
        for at, one in enumerate(own)
    )
    yield Table(CHANGED, ("Value", "Before", "Now"), rows, (1, 2))


# --- sources -------------------------------------------------------------------------------------


def _sources(inputs: Inputs) -> Iterator[Source]:
    priced = inputs.priced
    saved, today = f"{priced.saved_at:%Y-%m-%d}", f"{inputs.made_at:%Y-%m-%d}"
    title = f"ROI scenario “{priced.name}”, version {priced.number}"
    engine = f"Engine {priced.engine_version}, inputs SHA-256 {priced.inputs_sha256}"
    yield Source(RESULTS, f"{title}: results", saved, engine, priced.url)
    found = priced.results["simulation"]
    if found:
        trials = f"{found['trials']} trials, seed {found['seed']}"
    else:
        trials = "none: no input is a range, or one is unknown"
    yield Source(SIMULATION, f"{title}: simulation", saved, trials, priced.url)
    yield from _sources_of_inputs(inputs, title, saved)
    if inputs.industry:
        for at, fact in enumerate(inputs.industry.facts):
            kept = f"As kept with AII on {inputs.industries_on}"
            yield Source(f"industry.{at}", fact.source, str(fact.year), kept, fact.url)
    for record in inputs.measured.records:
        yield Source(record.key, record.what, today, record.detail)
    yield Source(ROADMAP, "Adoption roadmap of this tenant", today, "Criteria as counted then")
    yield Source(PROPOSAL, "Adoption plan as AII proposes it", today)
    judged = max((one.judged_on for one in inputs.risks), default=inputs.made_at.date())
    yield Source(REGISTER, "Risk register of this case: judgements", str(judged))


def _sources_of_inputs(inputs: Inputs, title: str, saved: str) -> Iterator[Source]:
    for held in numbers_of(inputs.priced.document):
        notes = notes_of(held.value)
        basis = BASES.get(str(notes.get("basis", "")), BASES[""]).lower()
        told = ", ".join(str(notes[name]) for name in ("source", "year") if notes.get(name))
        yield Source(
            source_of_input(held),
            f"{title}: input, {basis if basis != 'not stated' else 'basis not stated'}",
            saved,
            told,
            str(notes.get("url", "")),
        )


def _before(before: Document | None) -> Iterator[Source]:
    if before is not None:
        yield Source(BEFORE, f"Version {before.number} of this case", before.made_at[:10])


def _sources_used(section: Section) -> Iterator[str]:
    """Yield the sources in the order in which a reader meets them."""
    for block in section.blocks:
        if isinstance(block, Figure):
            yield from block.sources
        elif isinstance(block, Table) and only_source(block):
            yield only_source(block)
        else:
            yield from (one.source for one in bounds_in(replace(section, blocks=(block,))))
