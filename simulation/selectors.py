"""Reads of runs for the pages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import TruncMonth

from simulation import engine, frames
from simulation.figures import count
from simulation.models import BodiesFile, Checkpoint, Run, RunQuerySet, RunResult, RunsQuota
from simulation.services.own_bodies import bodies_of, find_bodies_file
from simulation.services.requests import find_run
from simulation.wording import describe_proof, describe_proof_of
from tenants.approvals.selectors import list_deciders
from tenants.errors import NotFound


class NoState(NotFound):
    """The run has no stored state yet."""

    code = "no_state"


def get_run(run_id: UUID) -> Run:
    """Return a run of this tenant, or raise ``RunUnknown``."""
    return find_run(run_id)


def list_runs(*, state: str = "", scenario: str = "") -> RunQuerySet:
    """Return runs, newest first; without what only a run's own page needs."""
    runs = Run.objects.defer("summary", "provenance")
    if state:
        runs = runs.filter(state=state)
    if scenario:
        runs = runs.filter(scenario=scenario)
    return runs


def list_bodies_files() -> list[tuple[BodiesFile, int]]:
    """Return the tenant's files of bodies without what is in them, the newest first, and how many
    runs were made of each.
    """
    files = BodiesFile.objects.defer("content").annotate(made=Count("runs"))
    return [(file, file.made) for file in files]


def get_bodies_file(file_id: UUID | str) -> BodiesFile:
    """Return a file of bodies, or raise ``BodiesFileUnknown``."""
    return find_bodies_file(file_id)


def count_active() -> int:
    """Return how many runs wait or compute."""
    return Run.objects.active().count()


def list_quotas() -> list[tuple[RunsQuota, str]]:
    """Return the limits of runs at once and who granted each, the newest first."""
    granted = list(RunsQuota.objects.order_by("-pk")[:20])
    deciders = list_deciders(quota.approval_id for quota in granted)
    return [(quota, deciders.get(quota.approval_id, "")) for quota in granted]


def find_approver(run: Run) -> str:
    """Return the e-mail of who released a run with a fault; empty for any other run."""
    return "".join(list_deciders([run.approval_id]).values()) if run.approval_id else ""


def get_final_state(run: Run) -> engine.State:
    """Return the last verified state of a finished run, checked against its checksum; raises
    ``NoState``.
    """
    result = RunResult.objects.filter(run_id=run.pk).first()
    if result is None:
        raise NoState("This run has stored no state. It appears when the run has ended.")
    return engine.State.from_bytes(bytes(result.state))


def find_series(run: Run) -> dict[str, dict[str, Any]] | None:
    """Return the series of a run for its plots: the result's, or the checkpoint's while it
    computes.
    """
    result = RunResult.objects.filter(run_id=run.pk).only("series").first()
    if result is not None:
        return dict(result.series)
    return Checkpoint.objects.filter(run_id=run.pk).values_list("series", flat=True).first()


class NoFrame(NotFound):
    """No positions of the run's bodies are kept yet."""

    code = "no_frame"


def find_kept_tag(run: Run) -> str | None:
    """Return what names the step whose frame and series are kept, without reading them; None where
    there is none.
    """
    for model, kind in ((RunResult, "end"), (Checkpoint, "checkpoint")):
        found = model.objects.filter(run_id=run.pk).values_list("step", flat=True).first()
        if found is not None:
            return f"{run.pk}-{kind}-{found}-{frames.VERSION}"
    return None


def get_frame(run: Run) -> bytes:
    """Return the bodies of a run's last kept step as a frame; raises ``NoFrame``.

    A running run's is as old as its checkpoint; asking for it costs the worker nothing.
    """
    result = RunResult.objects.filter(run_id=run.pk).values_list("frame", flat=True).first()
    if result is not None:
        return bytes(result)
    if RunResult.objects.filter(run_id=run.pk).exists():
        # Stored before there were frames.
        return frames.encode(get_final_state(run), run.finished_at or run.requested_at)
    kept = Checkpoint.objects.filter(run_id=run.pk).values_list("frame", flat=True).first()
    if kept is None:
        raise NoFrame("No positions of this run are kept yet. The first come with its checkpoint.")
    return bytes(kept)


@dataclass(frozen=True)
class Outcomes:
    """What became of the tenant's runs. ``kept`` and ``broken`` leave fault drills out.

    ``months`` has the first day of a month, and the runs kept and broken that ended in it.
    """

    kept: int
    broken: int
    steps_kept: int
    drills: int
    drills_caught: int
    first_ended_at: datetime | None
    months: tuple[tuple[date, int, int], ...]


_KEPT = Q(state=Run.State.DONE, fault__isnull=True)
_BROKEN = Q(state=Run.State.VIOLATED, fault__isnull=True)


def count_outcomes(until: datetime) -> Outcomes:
    """Return what became of the runs that ended by then. Two queries."""
    ended = Run.objects.filter(
        state__in=(Run.State.DONE, Run.State.VIOLATED), finished_at__lte=until
    ).order_by()
    total = ended.aggregate(
        kept=Count("pk", filter=_KEPT),
        broken=Count("pk", filter=_BROKEN),
        steps_kept=Sum("step_done", filter=_KEPT, default=0),
        drills=Count("pk", filter=Q(fault__isnull=False)),
        drills_caught=Count("pk", filter=Q(fault__isnull=False, state=Run.State.VIOLATED)),
        first_ended_at=Min("finished_at"),
    )
    months = (
        ended.filter(fault__isnull=True)
        .annotate(month=TruncMonth("finished_at"))
        .values("month")
        .annotate(kept=Count("pk", filter=_KEPT), broken=Count("pk", filter=_BROKEN))
        .order_by("month")
    )
    rows = tuple((each["month"].date(), each["kept"], each["broken"]) for each in months)
    return Outcomes(**total, months=rows)


@dataclass(frozen=True)
class BodyRow:
    """A body of a frame for the table: its name and where it stands, in metres."""

    name: str
    x_m: float
    y_m: float
    z_m: float


BODY_ROWS_MAX = 50


def list_bodies(run: Run, frame: frames.Frame) -> list[BodyRow]:
    """Return the first bodies of a frame, with the scenario's names where it has any."""
    scenario = run.engine_request.definition
    # Whose names are left where some have merged, the frame does not say.
    is_named = scenario.is_fixed and frame.bodies == run.bodies
    names: tuple[str, ...] = ()
    if is_named and run.bodies_file is not None:
        names = bodies_of(run.bodies_file).names
    elif is_named:
        names = scenario.build(run.bodies, run.seed).names
    rows = []
    for i, position in zip(frame.chosen[:BODY_ROWS_MAX], frame.positions, strict=False):
        x, y, z = (float(component) * frame.scale_m for component in position)
        rows.append(BodyRow(names[i] if names else f"body {i}", x, y, z))
    return rows


@dataclass(frozen=True)
class Phase:
    """A step of a run's way, for its page: ``done``, ``now``, ``todo`` or ``missed``."""

    title: str
    state: str
    note: str = ""


def list_phases(run: Run) -> list[Phase]:
    """Return the way of a run: what is behind it, what it does now, what is to come."""
    titles = ["Queued", "Integrate and verify"]
    if run.proof == Run.Proof.WHOLE:
        titles.append("Retrace to the start")
    titles.append("Store")
    at = _position(run, len(titles))
    states = ["done" if i < at else "now" if i == at else "todo" for i in range(len(titles))]
    if run.state in (Run.State.VIOLATED, Run.State.FAILED, Run.State.CANCELLED):
        states = ["missed" if state in ("now", "todo") else state for state in states]
        if run.summary:
            # Cut short, and yet its last verified state was stored.
            states[-1] = "done"
    notes = [""] * len(titles)
    is_default = (run.integrator, run.force) == ("leapfrog", "direct")
    if run.state == Run.State.QUEUED and not is_default:
        notes[0] = "on a new machine its method is compiled first: up to a minute, once"
    if run.started_at:
        notes[1] = f"{count(run.step_done)} of {count(run.steps)} steps"
    return [Phase(*row) for row in zip(titles, states, notes, strict=True)]


def _position(run: Run, count: int) -> int:
    if run.state == Run.State.DONE:
        return count
    if run.started_at is None or run.state == Run.State.QUEUED:
        return 0
    return 2 if run.phase == Run.Phase.RETRACE else 1


@dataclass(frozen=True)
class Law:
    """A row of the table of laws on a run's page, in SI."""

    name: str
    unit: str
    law: str
    verdict: str
    error: float | None
    limit: float | None
    share: float | None
    meaning: str


def list_laws(run: Run) -> list[Law]:
    """Return what became of each law, in the words of the platform; empty before the end."""
    if not run.summary:
        return []
    rows = []
    for name in engine.QUANTITIES:
        found = run.summary["quantities"][name]
        share = found["worst_margin"]
        rows.append(
            Law(
                name=name.replace("_", " ").capitalize(),
                unit=found["unit"],
                law=found["law"],
                verdict=found["verdict"],
                error=found["max_abs_error"],
                limit=found["limit"],
                share=share if share is not None and math.isfinite(share) else None,
                meaning=_meaning(name, found, run),
            )
        )
    return rows


def _meaning(name: str, found: dict[str, Any], run: Run) -> str:
    steps = run.summary["steps_done"] if run.summary else run.step_done
    if name == "information":
        if run.proof == Run.Proof.NONE:
            return describe_proof_of(run)
        return describe_proof(found["proved_steps"], steps)
    if found["verdict"] == "VIOLATED":
        return f"Broken in step {count(found['worst_step'])}."
    if found["law"] == "exact":
        return "Exact: the same integer after every step."
    if found["worst_margin"] is None:
        return ""
    kind = "Bounded" if found["law"] == "bounded" else "To round-off"
    share = 100 * found["worst_margin"]
    return f"{kind}: at most {share:.3g} % of the limit, in step {count(found['worst_step'])}."
